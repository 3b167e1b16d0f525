"""The admin plane's routes and the fields of its answers, through ASGI."""

from __future__ import annotations

import asyncio
import logging
from email.utils import parsedate_to_datetime

import pytest

from gateway.core.errors import BadRequest, RedisUnavailable
from gateway.core.vocabulary import AccessRefusal
from gateway.ports import RefusedRequest
from tests.unit.web.operations import Admin
from tests.unit.web.planes import problem_word

PATHS = ("/", "/page.css", "/page.js", "/metrics", "/livez", "/readyz", "/status", "/explain/a")
PARTITION = "0123456789abcdef" * 2
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/explain/..", "/status/"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("token", [None, "t"])
async def test_every_answer_carries_the_same_fields(
    path: str, method: str, token: str | None
) -> None:
    """Pages, figures, problems and refusals: nothing is stored, framed, sniffed or referred."""
    headers = (await Admin(token=token).ask(path, method)).headers

    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers.get_list("cache-control") == ["no-store"]
    assert headers.get_list("x-request-id") == ["id-1"]
    assert parsedate_to_datetime(headers["date"]).year == 2023


async def test_metrics_are_handed_on_as_they_are() -> None:
    """Bytes and content type are the operations'; they see what the scraper accepts."""
    admin = Admin()

    response = await admin.ask("/metrics", headers=[("accept", "a/b"), ("accept", "c/d")])

    assert response.content == b"gateway_ready 1\n"
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert admin.operations.accepts == ["a/b, c/d"]


async def test_a_scrape_lets_others_have_their_turn_after_each_piece() -> None:
    """Callers do not wait for all of it."""
    admin, turns = Admin(), []

    async def other() -> None:
        while True:
            turns.append(len(admin.operations.pieces))
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await admin.ask("/metrics")
    task.cancel()

    assert {1, 2} <= set(turns)


async def test_probes_tell_life_from_readiness() -> None:
    """/livez whenever the process runs, /readyz only while traffic is wanted."""
    admin = Admin()

    ready = [(await admin.ask(path)).status_code for path in ("/livez", "/readyz")]
    admin.operations.ready = False
    draining = [(await admin.ask(path)).status_code for path in ("/livez", "/readyz")]

    assert (ready, draining) == ([200, 200], [200, 503])


async def test_status_is_json_whatever_it_holds() -> None:
    """What JSON has no form for is told as text, and what is no number as null."""
    admin = Admin()
    admin.operations.words = {"odd": 1j, "nan": float("nan"), "deep": {"list": [None, "ü"]}}

    response = await admin.ask("/status")

    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"odd": "1j", "nan": None, "deep": {"list": [None, "ü"]}}


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/explain/trn_1", ("trn_1", None)),
        ("/explain/%74rn_1", ("trn_1", None)),
        (f"/explain/a?partition={PARTITION}", ("a", PARTITION)),
    ],
)
async def test_explain_asks_for_id_and_partition(path: str, asked: tuple[str, str | None]) -> None:
    """The id by the data plane's grammar; no partition where none is named."""
    admin = Admin()

    response = await admin.ask(path)

    assert response.json() == {"id": asked[0], "partition": asked[1]}
    assert admin.operations.explained == [asked]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/explain/..", "bad-id"),
        ("/explain/a%2Fb", "bad-id"),
        ("/explain/" + "a" * 129, "bad-id"),
        ("/explain/a?partition=p1", "bad-request"),
        ("/explain/a?partition=", "bad-request"),
        (f"/explain/a?partition={PARTITION}%0A", "bad-request"),
        ("/explain/a?partition=*", "bad-request"),
        ("/explain/", "no-such-route"),
        ("/explain", "no-such-route"),
        ("/explain/a/", "no-such-route"),
        ("/explain/a/b", "no-such-route"),
        ("/explain/a%2Fb/c", "no-such-route"),
        ("/status/", "no-such-route"),
        ("/metrics/x", "no-such-route"),
        ("//", "no-such-route"),
        ("/page.html", "no-such-route"),
        ("/static/page.js", "no-such-route"),
        ("/../admin.py", "no-such-route"),
        ("/training/a", "no-such-route"),
    ],
)
async def test_what_is_not_there_is_a_problem(path: str, word: str) -> None:
    """Never a redirect, never a file, and the operations are not asked."""
    admin = Admin()

    response = await admin.ask(path)

    assert problem_word(response) == word
    assert response.status_code == (404 if word == "no-such-route" else 400)
    assert admin.operations.explained == []


@pytest.mark.parametrize("path", PATHS)
async def test_another_method_is_not_allowed(path: str) -> None:
    """405 with `Allow`, for a change that the door lets in."""
    response = await Admin().ask(path, "PUT", {"content-type": "application/json"})

    assert (response.status_code, problem_word(response)) == (405, "method-not-allowed")
    assert response.headers["allow"] == "GET, HEAD"


async def test_what_the_operations_refuse_is_a_problem() -> None:
    """In the words of the data plane, with what they said and when to come back."""
    admin = Admin()

    admin.operations.failure = BadRequest("several partitions hold it: a, b")
    several = await admin.ask("/explain/a")
    admin.operations.failure = RedisUnavailable("lookup", "refused")
    away = await admin.ask("/explain/a")

    assert (several.status_code, problem_word(several)) == (400, "bad-request")
    assert several.json()["detail"] == "several partitions hold it: a, b"
    assert (away.status_code, problem_word(away)) == (503, "redis-unavailable")
    assert away.headers["retry-after"] == "1"


async def test_what_nobody_expected_is_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    """500 without a word of what it was; the log has it."""
    admin = Admin()
    admin.operations.failure = ZeroDivisionError("secret detail")

    with caplog.at_level(logging.ERROR):
        response = await admin.ask("/status")

    assert (response.status_code, problem_word(response)) == (500, "internal")
    assert "secret detail" not in response.text
    assert "secret detail" in caplog.text


async def test_the_token_opens_and_another_does_not() -> None:
    """A wrong one is credential-unknown, and is not repeated."""
    admin = Admin("0.0.0.0", "right")

    assert (await admin.ask("/status", headers={"authorization": "Bearer right"})).is_success
    refused = await admin.ask("/status", headers={"authorization": "Bearer wr0ng"})
    assert (refused.status_code, problem_word(refused)) == (401, "credential-unknown")
    request = RefusedRequest("127.0.0.1", refused.headers["x-request-id"], "GET", "/status")
    told = (AccessRefusal.CREDENTIAL_UNKNOWN, request)
    assert admin.observer.of("access_refused") == [told]
    assert "wr0ng" not in refused.text


@pytest.mark.parametrize(("given", "kept"), [("mine-1", "mine-1"), ("not harmless", "id-1")])
async def test_an_operators_request_id_is_kept(given: str, kept: str) -> None:
    """It is answered and logged, where it is harmless."""
    admin = Admin("0.0.0.0", "right")

    refused = await admin.ask("/status", headers={"x-request-id": given})

    assert refused.headers["x-request-id"] == kept
    assert refused.json()["request_id"] == kept
    ((_, request),) = admin.observer.of("access_refused")
    assert request == RefusedRequest("127.0.0.1", kept, "GET", "/status")
