"""Unit: bytes that nobody asked for, and framing that can be read in two ways."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from gateway.core.errors import InvalidPayload, UpstreamUnreachable
from gateway.core.vocabulary import FailureReason, InvalidReason
from tests.unit.adapters.upstream.peers import Peer, answer, request, settle, upstream

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


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param((b"Content-Length: 2", b"Transfer-Encoding: chunked"), id="length and chunks"),
        pytest.param((b"Content-Length: 2", b"Content-Length: 2"), id="a length twice"),
        pytest.param((b"Content-Length: +2",), id="a length with a sign"),
        pytest.param((b"Content-Length: 2", b"X: a\r\n b"), id="a folded field"),
        pytest.param((b"Content-Length : 2",), id="a space before the colon"),
    ],
)
async def test_framing_in_doubt_is_refused(fields: tuple[bytes, ...]) -> None:
    """Somebody else might have read it otherwise."""
    async with Peer(answer(*fields, body=b"{}")).listening() as url, upstream(url) as adapter:
        with pytest.raises(UpstreamUnreachable) as caught:
            await adapter.call(request())

    assert (caught.value.reason, caught.value.sent) == (FailureReason.PROTOCOL, True)


async def test_another_version_of_http_is_refused() -> None:
    """It was asked for HTTP/1.1."""
    reply = b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    async with Peer(reply).listening() as url, upstream(url) as adapter:
        with pytest.raises(UpstreamUnreachable) as caught:
            await adapter.call(request())

    assert caught.value.reason is FailureReason.PROTOCOL


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    """As HTTP/1.0 had it."""
    peer = Peer(answer(b"Server: old", body=b"{}"), closes=True)
    async with peer.listening() as url, upstream(url) as adapter:
        assert (await adapter.call(request())).body == b"{}"


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
