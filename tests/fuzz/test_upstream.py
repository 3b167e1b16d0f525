"""A server of raw bytes in the upstream's place: each reply ends as an answer or an error of ours,
in time; and the next call is not answered with what was left of it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.redis.records import decode, encode
from gateway.adapters.upstream import HttpxUpstream
from gateway.core.cache.policy import Windows, admit
from gateway.core.errors import UpstreamFailure
from gateway.core.http.fields import Reply
from gateway.core.upstream.classification import Question, judge
from gateway.core.upstream.training import Training, parse
from tests.fuzz.examples import damaged, times
from tests.fuzz.test_replies import KEY, NOW, START
from tests.unit.adapters.upstream.peers import Peer, request, settle, upstream

TOKEN = "tok-5ecre7-93ab"
BODY = b'{"id": "t1", "updated_at": "2025-01-01T00:00:00Z"}'
OTHER = b'{"statusCode": 404, "message": "somebody else\'s"}'
PACKED = gzip.compress(BODY)
LONGEST = 1_000
DEADLINE = 0.5
PATIENCE = 20.0


def message(head: bytes, body: bytes = b"") -> bytes:
    """An answer; lines of the head are separated by `|`."""
    return head.replace(b"|", b"\r\n") + b"\r\n\r\n" + body


SOUND = (
    message(b'HTTP/1.1 200 OK|Content-Length: %d|ETag: "a"' % len(BODY), BODY),
    message(b"HTTP/1.1 200 OK|Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (50, BODY)),
    message(
        b"HTTP/1.1 200 OK|Transfer-Encoding: chunked",
        b"5;a=b\r\n%s\r\n2d\r\n%s\r\n0\r\nX-Trailer: a\r\n\r\n" % (BODY[:5], BODY[5:]),
    ),
    message(b"HTTP/1.0 200 OK|Content-Type: application/json", BODY),
    message(b"HTTP/1.1 100 Continue")
    + message(b"HTTP/1.1 103 Early Hints|Link: </a>")
    + message(b"HTTP/1.1 404 Not Found|Content-Length: %d" % len(OTHER), OTHER),
    message(b"HTTP/1.1 200 OK|Content-Encoding: gzip|Content-Length: %d" % len(PACKED), PACKED),
    message(b"HTTP/1.1 304 Not Modified|Content-Length: 50"),
    message(b"HTTP/1.1 204 No Content"),
    message(b"HTTP/1.1 101 Switching Protocols|Upgrade: h2c|Connection: upgrade"),
    message(b"HTTP/1.1 200 OK|Content-Length: 2000", b" " * 2_000),
    BODY,
    b"",
)
ECHO = TOKEN.encode()
PIECES = (
    *(b"\r\n", b"\n", b"\r", b"|", b":", b" ", b"\0", b"0\r\n\r\n", b"ffffffffffffffff\r\n", ECHO),
    *(b"Content-Length: 5\r\n", b"Content-Length: 9999999999999999999999\r\n", b"HTTP/1.1 "),
    *(b"Content-Length: -1\r\n", b"Content-Length: 5, 6\r\n", b"Content-Length: +5\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"X: \xff\r\n"),
    *(b"Content-Encoding: br\r\n", b"Content-Encoding: %s\r\n" % ECHO, b" folded\r\n", b"200"),
    *(b"X-%s: a\r\n" % ECHO, b"X: %s\r\n" % ECHO, b"Connection: close\r\n", b"HTTP/2 "),
    *(b"X: " + b"a" * 120_000 + b"\r\n", b"X: a\r\n" * 300, b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    *(b"Location: http://[\r\n", b"Set-Cookie: %s\r\n" % ECHO, b"Date: never\r\n", PACKED[:9]),
)
raw = damaged(SOUND, (*PIECES, *SOUND)) | st.binary(max_size=80)


class Hostile(Peer):
    """Answers each call with what it is told to, in so many pieces; the good one in between."""

    def __init__(self) -> None:
        super().__init__(closes=True)
        self.pieces = 1
        self._speaking = asyncio.Lock()

    async def reply(self, writer: asyncio.StreamWriter) -> None:
        """In pieces, some of which come alone; each reply whole as it was when it began."""
        answer, size, closes = self.answer, max(1, len(self.answer) // self.pieces), self._closes
        async with self._speaking:
            with suppress(ConnectionError):
                for at in range(0, len(answer), size):
                    writer.write(answer[at : at + size])
                    await asyncio.sleep(0)
                await writer.drain()
            if closes:
                writer.close()

    def says(self, answer: bytes, pieces: int, *, closes: bool) -> None:
        """From now on."""
        self.answer, self.pieces, self._closes = answer, pieces, closes

    async def said(self) -> None:
        """It has nothing more to say: what comes behind an answer after the next request was sent
        cannot be told from the answer to that.
        """
        async with asyncio.timeout(PATIENCE), self._speaking:
            await settle()


@pytest.fixture
def hostile() -> Hostile:
    """The peer that `adapter` calls."""
    return Hostile()


@pytest.fixture
async def adapter(hostile: Hostile) -> AsyncIterator[HttpxUpstream]:
    """The real one, with connections that it keeps."""
    async with (
        hostile.listening() as url,
        upstream(
            url,
            max_body=LONGEST,
            connections=2,
            timeout=PATIENCE,
            connect_timeout=PATIENCE,
        ) as adapter,
    ):
        yield adapter


@times(250)
@given(raw, st.integers(1, 4), st.sampled_from([True, True, True, False]))
async def test_any_bytes_end_as_an_answer_or_our_error(
    adapter: HttpxUpstream, hostile: Hostile, answer: bytes, pieces: int, closes: bool
) -> None:
    """Within the deadline, without the token in the error, and nothing is left of them."""
    hostile.says(answer, pieces, closes=closes)
    reply, failure = await _called(adapter, DEADLINE if closes else DEADLINE / 10)
    if reply is not None:
        _check(reply)
    else:
        assert failure is not None
        assert TOKEN not in f"{failure} {failure!r} {failure.what}"
        assert len(failure.what) < 1_000

    await hostile.said()
    hostile.says(SOUND[0], 1, closes=False)
    good, failure = await _called(adapter, PATIENCE)
    assert failure is None, failure.reason
    assert good is not None
    assert (good.status, good.body) == (200, BODY)


async def _called(
    adapter: HttpxUpstream, within: float
) -> tuple[Reply | None, UpstreamFailure | None]:
    """What comes of a call, which is over in time."""
    async with asyncio.timeout(within + 10.0):
        try:
            return await adapter.call(request("t1", token=TOKEN, within=within)), None
        except UpstreamFailure as failure:
            return None, failure


def _check(reply: Reply) -> None:
    """It has its bounds, and what is stored of it passes its checks."""
    assert len(reply.body) <= LONGEST
    assert all(name == name.lower() for name, _ in reply.headers)
    with suppress(UpstreamFailure):
        judged = judge(reply, Question("t1", False, True), NOW)
        if isinstance(judged, Training):
            entry = admit(reply, judged, START, Windows(), 0.0)
            assert decode(KEY, entry.facts, encode(KEY, entry)) == entry
            assert parse(entry.body, "t1").updated_at == entry.updated_at
