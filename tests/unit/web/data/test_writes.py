"""Writes as HTTP: which routes there are, and what is handed on."""

from __future__ import annotations

import pytest

from gateway.core.http.response import Reply
from gateway.ports import Write
from gateway.web.data.writes import Target, target_of
from tests.unit.web.planes import AUTHORIZED, Data, problem_word, training_reply


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("PUT", b"/training/a", Target("a", b"/training/a")),
        ("PUT", b"/training/%61", Target("a", b"/training/a")),
        ("DELETE", b"/training/a", Target("a", b"/training/a")),
        ("PUT", b"/training/a/draft", Target("a", b"/training/a/draft")),
        ("POST", b"/training", Target(None, b"/training")),
        ("PUT", b"/training/draft", Target("draft", b"/training/draft")),
        ("DELETE", b"/training/a/draft", None),
        ("POST", b"/training/a", None),
        ("PUT", b"/training", None),
        ("PUT", b"/training/a/b/draft", None),
        ("DELETE", b"/livez", None),
    ],
)
def test_four_writes_have_a_route(method: str, path: bytes, target: Target | None) -> None:
    """Those that the API has."""
    assert target_of(method, path) == target


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/training/a", "GET, HEAD, PUT, DELETE"),
        ("PATCH", "/training/a", "GET, HEAD, PUT, DELETE"),
        ("GET", "/training/a/draft", "PUT"),
        ("GET", "/training", "POST"),
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
    [("PUT", "/training/a"), ("DELETE", "/training/a"), ("PUT", "/training/a/draft")],
)
async def test_by_default_nothing_is_written(method: str, path: str) -> None:
    """`server.writes = "deny"`: the routes are not there."""
    data = Data()

    response = await data.ask(path, method)

    assert response.status_code == (404 if path.endswith("draft") else 405)
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


async def test_who_reads_after_a_write_reads_what_was_written() -> None:
    """The answer that was stored is gone before the write is answered."""
    data = Data(
        training_reply("a"), Reply(200, (), b"{}"), training_reply("a", words="new"), writes=True
    )
    await data.ask("/training/a")

    await data.ask("/training/a", "PUT", content=b"{}")
    response = await data.ask("/training/a")

    assert response.headers["cache-status"] == "gateway; fwd=uri-miss; fwd-status=200; stored"


async def test_a_body_that_is_too_large_is_refused() -> None:
    """Nothing of it goes on."""
    data = Data(writes=True)

    response = await data.ask("/training/a", "PUT", content=b"x" * 1_001)

    assert problem_word(response) == "too-large"
    assert data.upstream.count == 0


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
