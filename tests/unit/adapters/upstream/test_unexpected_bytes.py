"""Unit: bytes that nobody asked for, and framing that can be read in two ways."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from gateway.core.errors import InvalidPayload, UpstreamUnreachable
from gateway.core.vocabulary import FailureReason, InvalidReason
from tests.unit.adapters.upstream.peers import (
    Peer,
    answer,
    request,
    server_tls,
    settle,
    trusting,
    upstream,
)

_NO_LINGER = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
OTHERS = answer(b"Content-Length: 6", body=b"others")


class Chatty(Peer):
    """Says more on a connection than it was asked."""

    def say(self, data: bytes) -> None:
        """On the first connection, at once."""
        self._writers[0].write(data)


@pytest.mark.parametrize("is_read", [False, True], ids=["unread", "read"])
async def test_what_comes_between_two_calls_answers_none(is_read: bool) -> None:
    """Nor where it still lies in the socket as the second call is made."""
    peer = Chatty()
    async with peer.listening() as url, upstream(url) as adapter:
        await adapter.call(request())
        peer.say(OTHERS)
        if is_read:
            await settle()
        reply = await adapter.call(request())

    assert (reply.body, peer.connections) == (b"{}", 2)


CHUNKED = answer(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "first", [answer(b"Content-Length: 2", body=b"{}"), CHUNKED], ids=["length", "chunked"]
)
async def test_what_comes_with_a_response_answers_no_later_call(first: bytes) -> None:
    """It was read in one piece with the response."""
    peer = Peer(first + OTHERS)
    async with peer.listening() as url, upstream(url) as adapter:
        replies = [await adapter.call(request()) for _ in range(2)]

    assert [reply.body for reply in replies] == [b"{}", b"{}"]
    assert peer.connections == 2


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param((b"Content-Length: 2", b"Content-Length: 3"), id="two lengths"),
        pytest.param((b"Transfer-Encoding: gzip, chunked",), id="a coding nobody asked for"),
        pytest.param((b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"), id="two codings"),
        pytest.param((b"Content-Length: +2",), id="a length with a sign"),
        pytest.param((b"Content-Length : 2",), id="a space before the colon"),
    ],
)
async def test_framing_in_doubt_is_refused(fields: tuple[bytes, ...]) -> None:
    """Somebody else might have read it otherwise."""
    async with Peer(answer(*fields, body=b"{}")).listening() as url, upstream(url) as adapter:
        with pytest.raises(UpstreamUnreachable) as caught:
            await adapter.call(request())

    assert (caught.value.reason, caught.value.sent) == (FailureReason.PROTOCOL, True)


@pytest.mark.parametrize("length", [0, 6])
async def test_a_204_ends_its_connection(length: int) -> None:
    """A body must not be there, and may come when another call has been sent."""
    peer = Peer(answer(b"Content-Length: %d" % length, status=b"204 No Content"))
    async with peer.listening() as url, upstream(url) as adapter:
        for _ in range(2):
            await adapter.call(request())

    assert peer.connections == 2


@pytest.mark.parametrize("status", [b"000 None", b"099 Below"])
async def test_a_status_that_is_none_is_refused(status: bytes) -> None:
    """It is no interim response, behind which another one is to be waited for."""
    async with Peer(answer(status=status)).listening() as url, upstream(url) as adapter:
        with pytest.raises(UpstreamUnreachable) as caught:
            await adapter.call(request(within=1.0))

    assert caught.value.reason is FailureReason.PROTOCOL


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"0\r\n" + b"X: y\r\n" * 100_000, id="trailers"),
        pytest.param(b"0\r\nX: " + b"y" * 600_000, id="a trailer"),
        pytest.param(b"2;a=" + b"b" * 600_000, id="an extension of a chunk"),
    ],
)
async def test_what_is_no_body_is_bounded_behind_it_too(endless: bytes) -> None:
    """The peer keeps the connection open: the call ends since it stops reading."""
    reply = answer(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n" + endless)
    async with Peer(reply).listening() as url, upstream(url) as adapter:
        with pytest.raises(InvalidPayload) as caught:
            await adapter.call(request(within=2.0))

    assert caught.value.invalid is InvalidReason.TRUNCATED


@pytest.mark.parametrize("is_secure", [False, True], ids=["tcp", "tls"])
async def test_a_body_without_a_length_ends_with_its_connection(is_secure: bool) -> None:
    """As HTTP/1.0 had it."""
    peer = Peer(answer(b"Server: old", body=b"{}"), closes=True)
    async with (
        peer.listening(server_tls() if is_secure else None) as url,
        upstream(url.replace("127.0.0.1", "localhost"), tls=trusting()) as adapter,
    ):
        assert (await adapter.call(request())).body == b"{}"


@pytest.mark.asyncio(loop_factories=["uvloop"])  # asyncio makes no difference
async def test_a_body_without_a_length_is_cut_short_where_tls_is() -> None:
    """Without a `close_notify` anybody on the way may have ended it (RFC 9112, 9.8)."""

    class Vanishing(Peer):
        async def reply(self, writer: asyncio.StreamWriter) -> None:
            writer.write(self.answer)
            await settle()
            writer.transport.abort()

    peer = Vanishing(answer(b"Server: old", body=b"{}"))
    async with (
        peer.listening(server_tls()) as url,
        upstream(url.replace("127.0.0.1", "localhost"), tls=trusting()) as adapter,
    ):
        with pytest.raises(InvalidPayload) as caught:
            await adapter.call(request())

    assert caught.value.invalid is InvalidReason.TRUNCATED


async def test_a_body_without_a_length_that_we_end_is_cut_short() -> None:
    """As all connections are closed, and the peer has not come to its end."""
    has_begun = asyncio.Event()

    class Unending(Peer):
        async def reply(self, writer: asyncio.StreamWriter) -> None:
            await super().reply(writer)
            has_begun.set()

    async with Unending(answer(b"Server: old", body=b"{}")).listening() as url:
        async with upstream(url) as adapter:
            call = asyncio.create_task(adapter.call(request()))
            await has_begun.wait()
            await settle()
        with pytest.raises(InvalidPayload) as caught:
            await call

    assert caught.value.invalid is InvalidReason.TRUNCATED


async def test_a_body_without_a_length_that_is_reset_is_cut_short() -> None:
    """How much of it there was to be, nobody knows."""

    class Resetting(Peer):
        async def reply(self, writer: asyncio.StreamWriter) -> None:
            writer.write(self.answer)
            await settle()
            connection = writer.get_extra_info("socket")
            connection.setsockopt(*_NO_LINGER)
            writer.transport.abort()

    peer = Resetting(answer(b"Server: old", body=b"{}"))
    async with peer.listening() as url, upstream(url) as adapter:
        with pytest.raises(InvalidPayload) as caught:
            await adapter.call(request())

    assert caught.value.invalid is InvalidReason.TRUNCATED


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
async def test_a_connection_is_kept_where_both_may(version: bytes) -> None:
    """HTTP/1.0 closes unless it says otherwise."""
    peer = Peer(version + b" 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    async with peer.listening() as url, upstream(url) as adapter:
        for _ in range(3):
            await adapter.call(request())

    assert peer.connections == (1 if version == b"HTTP/1.1" else 3)
