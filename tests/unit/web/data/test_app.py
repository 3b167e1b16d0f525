"""Routes, ids, methods, credentials and request ids of the data plane, through ASGI."""

from __future__ import annotations

import logging

import pytest
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from gateway.core.access.caller import Open
from gateway.core.errors import UpstreamUnreachable
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import AccessRefusal, FailureReason, Outcome, Part, Problem, Tier
from gateway.ports import RefusedRequest
from tests.unit.web.planes import AUTHORIZED, Data, Fields, problem_word, training_reply

REFUSED_FIELDS: list[tuple[Fields, str]] = [
    ({}, "credential-missing"),
    ({"authorization": ""}, "credential-missing"),
    ({"authorization": "my-token"}, "credential-missing"),
    ({"authorization": "Basic dDp0"}, "credential-missing"),
    ({"authorization": "Bearer"}, "credential-unknown"),
    ({"authorization": "Bearer a b"}, "credential-unknown"),
    ([("authorization", "Bearer a"), ("authorization", "Bearer a")], "credential-unknown"),
]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/training/trn_1", "trn_1"),
        ("/training/%74rn%5F1", "trn_1"),
        ("/training/a.b~c-D", "a.b~c-D"),
        ("/training/...", "..."),
        ("/training/" + "a" * 128, "a" * 128),
        ("/training/a?id=b", "a"),
    ],
)
async def test_a_path_asks_upstream_for_its_id(path: str, wanted: str) -> None:
    """The id is decoded once, its case kept, and a query is no part of it."""
    data = Data(training_reply(wanted))

    response = await data.ask(path)

    assert response.status_code == 200
    assert [call.training_id for call in data.upstream.calls] == [wanted]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_read_passes_the_router_by(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its layers would be a sixth of what a hit in Redis costs; other requests go through them."""
    data, routed = Data(training_reply("a")), list[str]()
    ordinary = Router.__call__

    async def overheard(router: Router, scope: Scope, receive: Receive, send: Send) -> None:
        routed.append(scope["path"])
        await ordinary(router, scope, receive, send)

    monkeypatch.setattr(Router, "__call__", overheard)

    paths = ("/training/a", "/training?ids=a", "/livez")
    statuses = [(await data.ask(path, method)).status_code for path in paths]

    assert (statuses, routed) == ([200] * 3, ["/livez"])


@pytest.mark.parametrize(
    "path",
    [
        "/training/.",
        "/training/..",
        "/training/%2e%2E",
        "/training/a%2Fb",
        "/training/..%2f..%2fstatus",
        "/training/a%00",
        "/training/a%0A",
        "/training/%C3%A9",
        "/training/a%2",
        "/training/a%252Fb",
        "/training/a+b",
        "/training/a;b",
        "/training/" + "a" * 129,
    ],
)
async def test_what_is_no_id_is_refused(path: str) -> None:
    """400 bad-id, whatever the method, and nobody upstream hears of it."""
    data = Data()

    assert problem_word(await data.ask(path)) == "bad-id"
    assert problem_word(await data.ask(path, "PUT")) == "bad-id"
    assert data.upstream.count == 0


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/training/",
        "/training/a/",
        "/training/a/b",
        "/training//a",
        "//training/a",
        "/Training/a",
        "/x/../training/a",
        "/livez/",
        "/status",
        "/metrics",
    ],
)
async def test_another_path_is_not_there(path: str) -> None:
    """404 in every method, and never a redirect."""
    data = Data()

    for method in ("GET", "POST"):
        response = await data.ask(path, method)
        assert (response.status_code, problem_word(response)) == (404, "no-such-route")
        assert data.access_log.lines[-1].outcome is Outcome.REJECTED


@pytest.mark.parametrize("path", ["/training/a/", "/training/a/b", "/trainings/a"])
async def test_a_404_says_which_paths_there_are(path: str) -> None:
    """A caller sees its slip without reading the documents."""
    response = await Data().ask(path)

    assert response.json()["detail"].startswith("a training is at /training/{id}, without a slash")


@pytest.mark.parametrize("path", ["/training/a", "/livez", "/readyz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"])
async def test_another_method_is_not_allowed(path: str, method: str) -> None:
    """405, telling which methods are."""
    response = await Data().ask(path, method)

    assert (response.status_code, problem_word(response)) == (405, "method-not-allowed")
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(("headers", "word"), REFUSED_FIELDS)
async def test_who_shows_no_token_is_turned_away(headers: Fields, word: str) -> None:
    """401 with a challenge and no call, for a field that is missing, malformed or sent twice."""
    data = Data()

    response = await data.ask("/training/a", headers=headers)

    assert (response.status_code, problem_word(response)) == (401, word)
    assert response.headers["www-authenticate"] == "Bearer"
    assert data.upstream.count == 0
    ((_, request),) = data.observer.of("access_refused")
    assert request == RefusedRequest(
        "127.0.0.1", response.headers["x-request-id"], "GET", "/training/a"
    )


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, AccessRefusal.UPSTREAM_UNAUTHORIZED), (403, AccessRefusal.UPSTREAM_FORBIDDEN)],
)
async def test_a_caller_that_the_api_refuses_is_told_by_request_and_client(
    status: int, reason: AccessRefusal
) -> None:
    """Also where no call is made because the API refused the same token a moment ago (401)."""
    body = b'{"statusCode": %d, "message": "no"}' % status
    data = Data(*[Reply(status, ((b"content-type", b"application/json"),), body)] * 2)

    responses = [await data.ask("/training/a") for _ in range(2)]

    told = data.observer.of("access_refused")
    ids = [response.headers["x-request-id"] for response in responses]
    of = ("GET", "/training/a", "passthrough")
    assert told == [(reason, RefusedRequest("127.0.0.1", each, *of)) for each in ids]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("my-token", "the word `Bearer` is missing"),
        ("Basic dDp0", "the word `Bearer` is missing"),
        ("Bearer", "a space and one token"),
        ("Bearer a b", "a space and one token"),
    ],
)
async def test_a_401_says_what_is_wrong_with_the_field(sent: str, said: str) -> None:
    """`Authorization` is there, and is no bearer token."""
    response = await Data().ask("/training/a", headers={"authorization": sent})

    assert said in response.json()["detail"]


async def test_the_id_is_judged_before_the_credential() -> None:
    """A bad id is told to anybody: it says nothing about what exists."""
    assert problem_word(await Data().ask("/training/..", headers={})) == "bad-id"


async def test_the_callers_token_goes_upstream() -> None:
    """In passthrough it is the caller's own, and two callers share nothing."""
    data = Data(training_reply("a"), training_reply("a"))

    await data.ask("/training/a", headers={"authorization": "bearer one"})
    await data.ask("/training/a", headers={"authorization": "Bearer  two"})

    assert [call.token for call in data.upstream.calls] == ["one", "two"]


async def test_open_asks_for_no_token() -> None:
    """On a trusted network the gateway's own token is used, whatever the caller sends."""
    data = Data(training_reply("a"), access=Open("http://upstream.test", None, "ours"))

    assert (await data.ask("/training/a", headers={})).status_code == 200
    assert (await data.ask("/training/a")).headers["cache-status"].startswith("gateway; hit")
    assert [call.token for call in data.upstream.calls] == ["ours"]


@pytest.mark.parametrize("given", ["a", "x" * 128, "a/b:c+d=e@f.g_h~i-1"])
async def test_a_harmless_request_id_is_kept(given: str) -> None:
    """It comes back with an answer as with a problem, and stands in the log."""
    data = Data(training_reply("a"))

    answer = await data.ask("/training/a", headers=AUTHORIZED | {"x-request-id": given})
    problem = await data.ask("/nothing", headers={"x-request-id": given})

    assert [each.headers["x-request-id"] for each in (answer, problem)] == [given, given]
    assert [line.request_id for line in data.access_log.lines] == [given, given]


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "a,b", "<b>", "é"])
async def test_another_request_id_is_replaced(given: str) -> None:
    """What could break a log line or a page never comes back."""
    response = await Data().ask("/nothing", headers={"x-request-id": given})

    assert response.headers["x-request-id"] == "made-here"


TRACEPARENT = f"00-{'1' * 32}-{'2' * 16}-01"


async def test_only_named_headers_go_upstream() -> None:
    """`traceparent`, and what the settings name; nothing else that a caller sends."""
    data = Data(training_reply("a"), forward=frozenset({b"x-team"}))
    extra = {"traceparent": TRACEPARENT, "x-team": "blue", "cookie": "c=1", "x-other": "o"}

    await data.ask("/training/a", headers=AUTHORIZED | extra)

    (call,) = data.upstream.calls
    assert set(call.extra) == {(b"traceparent", TRACEPARENT.encode()), (b"x-team", b"blue")}


async def test_a_line_tells_how_it_went() -> None:
    """Outcome, tier, status, trace and client stand in the access log, and are counted alike."""
    data = Data(training_reply("a"))
    trace = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"

    await data.ask("/training/a", headers=AUTHORIZED | {"traceparent": trace})

    (line,) = data.access_log.lines
    assert (line.outcome, line.tier, line.status) == (Outcome.FILLED, Tier.UPSTREAM, 200)
    assert (line.training_id, line.method, line.client) == ("a", "GET", "passthrough")
    assert line.trace_id == "ab" * 16
    ((outcome, tier, status, _, _),) = data.observer.of("requested")
    assert (outcome, tier, status) == (Outcome.FILLED, Tier.UPSTREAM, 200)


async def test_a_problem_is_a_line_too() -> None:
    """Its word is the detail; a caller's fault is rejected, everything else failed."""
    down = UpstreamUnreachable("no connection", FailureReason.CONNECT, sent=True)
    data = Data(down)

    await data.ask("/training/..")
    await data.ask("/training/a")

    told = [(line.outcome, line.detail) for line in data.access_log.lines]
    assert told == [
        (Outcome.REJECTED, Problem.BAD_ID),
        (Outcome.FAILED, Problem.UPSTREAM_UNREACHABLE),
    ]


async def test_what_nobody_expected_is_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    """500 without a word of what it was; the log has it."""
    data = Data(ZeroDivisionError("secret detail"))

    with caplog.at_level(logging.ERROR):
        response = await data.ask("/training/a")

    assert (response.status_code, problem_word(response)) == (500, "internal")
    assert "secret detail" not in response.text
    assert "secret detail" in caplog.text


async def test_probes_answer_without_a_credential() -> None:
    """/livez whenever the process runs, /readyz only while traffic is wanted."""
    data = Data()

    assert (await data.ask("/livez", headers={})).status_code == 200
    assert (await data.ask("/readyz", headers={})).status_code == 200
    data.ready = False
    assert (await data.ask("/readyz", headers={})).status_code == 503
    assert (await data.ask("/livez", headers={})).status_code == 200


@pytest.mark.parametrize(("flags", "told"), [("01", b"a" * 32), ("00", None)])
async def test_a_sampled_trace_is_told(flags: str, told: bytes | None) -> None:
    """To whoever counts; a miss and a hit alike."""
    data = Data(training_reply("a"))
    trace = AUTHORIZED | {"traceparent": f"00-{'a' * 32}-{'b' * 16}-{flags}"}

    for _ in range(2):
        await data.ask("/training/a", headers=trace)

    assert data.observer.of("traced") == [(told,), (told,)]


async def test_a_line_says_what_was_waited_for() -> None:
    """A miss looks up, pays, asks and stores; a hit waits for nothing."""
    data = Data(training_reply("a"))

    for _ in range(2):
        await data.ask("/training/a")

    missed, hit = data.access_log.lines
    assert missed.parts is not None
    assert list(missed.parts) == [*Part]
    assert hit.parts is None


@pytest.mark.parametrize("value", ["00-x", "not one", f"00-{'1' * 32}-{'2' * 16}-01, 00"])
async def test_a_traceparent_that_is_none_is_not_sent_on(value: str) -> None:
    """What cannot be sent would fail the call, and with it all who wait for the same one."""
    data = Data(training_reply("a"))

    await data.ask("/training/a", headers=AUTHORIZED | {"traceparent": value})

    (call,) = data.upstream.calls
    assert call.extra == ()


async def test_forwarded_values_are_sound() -> None:
    """Blanks around a value are no part of it, and a control character ends its way here."""
    data = Data(training_reply("a"), forward=frozenset({b"x-team", b"x-odd"}))
    extra = {"x-team": "blue \t", "x-odd": "a\x01b"}

    await data.ask("/training/a", headers=AUTHORIZED | extra)

    (call,) = data.upstream.calls
    assert call.extra == ((b"x-team", b"blue"),)
