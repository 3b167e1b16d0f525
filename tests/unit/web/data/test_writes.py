"""Writes as HTTP: which routes there are, and what is handed on."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.access.caller import Open
from gateway.core.http.fields import Reply
from gateway.ports import Write
from gateway.web.data import writes
from gateway.web.data.writes import Target, target_of
from tests.unit.flow.house import settle
from tests.unit.web.planes import AUTHORIZED, UPSTREAM, Data, problem_word, training_reply


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("PUT", b"/training/a", Target("a", b"/training/a")),
        ("PUT", b"/training/%61", Target("a", b"/training/a")),
        ("DELETE", b"/training/a", Target("a", b"/training/a")),
        ("PUT", b"/training/a/draft", Target("a", b"/training/a/draft")),
        ("POST", b"/training", Target(None, b"/training")),
        ("PUT", b"/training/draft", Target("draft", b"/training/draft")),
        ("POST", b"/training/a", None),
        ("PATCH", b"/training/a", None),
        ("PUT", b"/training", None),
        ("DELETE", b"/livez", None),
        ("POST", b"/folder/a/move", None),
    ],
)
def test_the_writes_of_the_api_have_a_route(
    method: str, path: bytes, target: Target | None
) -> None:
    """Those that its documentation has, and no other of a training itself."""
    assert target_of(method, path) == target


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "POST", "PUT"])
@pytest.mark.parametrize("tail", [b"move", b"draft", b"directory/dir_1", b"a/b/c/d", b"v2.0~x"])
def test_any_write_below_a_training_has_a_route(method: str, tail: bytes) -> None:
    """What the API has there is not guessed: it answers itself."""
    target = target_of(method, b"/training/a/" + tail)

    assert target == Target("a", b"/training/a/" + tail)


@pytest.mark.parametrize(
    "tail",
    [
        *(b"", b"/", b"move/", b"/move", b"a//b", b"..", b".", b"../b", b"b/..", b"a%2fb"),
        *(b"%2e%2e", b"%2E%2E/%2e%2e/user", b"a%3fb=c", b"a%23", b"a%00", b"\xc3\xbc", b"x" * 129),
    ],
)
def test_no_name_below_a_training_leads_elsewhere(tail: bytes) -> None:
    """With the gateway's token a caller would reach what it may not."""
    assert target_of("POST", b"/training/a/" + tail) is None


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/training/a", "GET, HEAD, PUT, DELETE"),
        ("PATCH", "/training/a", "GET, HEAD, PUT, DELETE"),
        ("GET", "/training/a/draft", "DELETE, PATCH, POST, PUT"),
        ("GET", "/training/a/b/c", "DELETE, PATCH, POST, PUT"),
        ("GET", "/training/a/%2e%2e", None),
        ("PUT", "/training", "GET, HEAD, POST"),
        ("DELETE", "/livez", "GET, HEAD"),
        ("PUT", "/elsewhere", None),
    ],
)
async def test_other_methods_are_told_which_there_are(
    method: str, path: str, allow: str | None
) -> None:
    """405 with `Allow`, or 404."""
    response = await Data(writes=True).ask(path, method)

    assert response.status_code == (404 if allow is None else 405)
    assert response.headers.get("allow") == allow


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("PUT", "/training/a"), ("DELETE", "/training/a")),
        *(("PUT", "/training/a/draft"), ("POST", "/training/a/move")),
    ],
)
async def test_by_default_nothing_is_written(method: str, path: str) -> None:
    """`server.writes = "deny"`: the routes are not there."""
    data = Data()

    response = await data.ask(path, method)

    assert response.status_code == (405 if path == "/training/a" else 404)
    assert data.upstream.count == 0


async def test_what_is_written_goes_on_unchanged() -> None:
    """Body, kind, conditions and what the operator forwards; no credential but the token."""
    data = Data(Reply(200, ((b"etag", b'"2"'),), b"{}"), writes=True, forward=frozenset({b"x-a"}))
    fields = {
        **AUTHORIZED,
        "Content-Type": "application/json; charset=utf-8",
        "If-Match": '"1"',
        "Cookie": "a=b",
        "X-A": "1",
        "X-B": "1",
    }

    response = await data.ask("/training/a", "PUT", fields, b'{"title": "\xc3\xbc"}')

    handed_on = data.upstream.calls[0].write
    assert handed_on == Write("PUT", "/training/a", b'{"title": "\xc3\xbc"}', handed_on.fields)  # type: ignore[union-attr]
    assert set(handed_on.fields) == {
        (b"content-type", b"application/json; charset=utf-8"),
        (b"if-match", b'"1"'),
        (b"x-a", b"1"),
    }
    assert (response.status_code, response.content) == (200, b"{}")
    assert response.headers["etag"] == '"2"'
    assert response.headers["cache-status"] == "gateway; fwd=method; fwd-status=200"


async def test_a_field_that_is_also_in_the_settings_is_handed_on_once() -> None:
    """An API that joins two fields of a name would see another idempotency key."""
    data = Data(Reply(200, (), b"{}"), writes=True, forward=frozenset({b"idempotency-key"}))

    await data.ask("/training", "POST", {**AUTHORIZED, "Idempotency-Key": "k-1"}, b"{}")

    handed_on = data.upstream.calls[0].write
    assert handed_on is not None
    assert handed_on.fields == ((b"idempotency-key", b"k-1"),)


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "POST", "PUT"])
async def test_a_write_below_a_training_passes_once_and_outdates_that_training(method: str) -> None:
    """And no other: what is stored of its neighbour stays."""
    replies = (training_reply(each) for each in "ab")
    data = Data(*replies, Reply(200, (), b"{}"), training_reply("a", words="new"), writes=True)
    for each in "ab":
        await data.ask(f"/training/{each}")

    answer = await data.ask("/training/a/move", method, content=b'{"directory": "b"}')
    moved, neighbour = await data.ask("/training/a"), await data.ask("/training/b")

    written = [call.write for call in data.upstream.calls if call.write is not None]
    assert [(each.method, each.path) for each in written] == [(method, "/training/a/move")]
    assert answer.headers["cache-status"] == "gateway; fwd=method; fwd-status=200"
    assert "fwd=uri-miss" in moved.headers["cache-status"]
    assert "; hit" in neighbour.headers["cache-status"]


async def test_a_body_that_is_too_large_is_refused() -> None:
    """Nothing of it goes on."""
    data = Data(writes=True)

    response = await data.ask("/training/a", "PUT", content=b"x" * 1_001)

    assert problem_word(response) == "too-large"
    assert data.upstream.count == 0


async def test_the_bodies_of_writes_under_way_are_bounded_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until the API has answered. A write beyond that is not sent, and may come again."""
    monkeypatch.setattr(writes, "_MOST_BODIES", 1_500)
    data, body = Data(writes=True), b"x" * 1_000
    data.upstream.always = Reply(200, (), b"{}")
    data.upstream.hold()
    first = asyncio.create_task(data.ask("/training/a", "PUT", content=body))
    await settle()

    second = asyncio.create_task(data.ask("/training/b", "PUT", content=body))
    await settle()
    data.upstream.release()
    answered, refused = await first, await second
    again = await data.ask("/training/b", "PUT", content=body)

    assert (answered.status_code, again.status_code, data.upstream.count) == (200, 200, 2)
    assert problem_word(refused) == "too-many-connections"
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")


async def test_who_may_not_ask_may_not_write() -> None:
    """A credential is needed."""
    response = await Data(writes=True).ask("/training/a", "DELETE", headers={})

    assert problem_word(response) == "credential-missing"


@pytest.mark.parametrize(
    "fields",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.test"},
        {"Origin": "null"},
    ],
)
async def test_a_page_of_another_site_does_not_write(fields: dict[str, str]) -> None:
    """In mode `open` nothing else would stop its form."""
    data = Data(writes=True)

    response = await data.ask("/training", "POST", {**AUTHORIZED, **fields}, b"{}")

    assert problem_word(response) == "bad-request"
    assert data.upstream.count == 0


OPEN = Open(UPSTREAM, None, "t-1")


@pytest.mark.parametrize(
    "fields",
    [
        {"Host": "evil.test:8080", "Origin": "http://evil.test:8080"},
        {"Host": "evil.test", "Sec-Fetch-Site": "same-origin"},
        {"Host": "localhost:8080", "Origin": "http://localhost:8080"},
    ],
)
async def test_in_the_mode_open_no_page_writes(fields: dict[str, str]) -> None:
    """A name that is bound to the gateway's address later makes any page one of its site."""
    data = Data(access=OPEN, writes=True)

    response = await data.ask("/training", "POST", fields, b"{}")

    assert problem_word(response) == "bad-request"
    assert data.upstream.count == 0


async def test_in_the_mode_open_programs_write() -> None:
    """Among them Node's `fetch`, which sends this field; and with a credential so do pages."""
    made = Data(training_reply("a"), access=OPEN, writes=True)
    written = Data(training_reply("a"), writes=True)
    page = {**AUTHORIZED, "Host": "app.test", "Origin": "http://app.test"}

    by_node = await made.ask("/training", "POST", {"Sec-Fetch-Mode": "cors"}, b"{}")
    by_page = await written.ask("/training", "POST", page, b"{}")

    assert (by_node.status_code, by_page.status_code) == (200, 200)
