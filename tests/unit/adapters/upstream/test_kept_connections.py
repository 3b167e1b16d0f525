"""Unit: what is told of a connection that the upstream closes as a request is sent on it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from dataclasses import replace

import pytest

from gateway.core.errors import UpstreamUnreachable
from gateway.core.vocabulary import Purpose
from gateway.ports import Write
from tests.unit.adapters.upstream.peers import CERTIFICATE, Peer, request, upstream

NONSENSE = b"SSH-2.0-OpenSSH\r\n\r\n"


class Ending(Peer):
    """Answers the first request on each connection, and ends the connection at the next one."""

    def __init__(self, last: bytes = b"", *, resets: bool = False) -> None:
        super().__init__()
        self._last = last
        self._resets = resets
        self._met: set[asyncio.StreamWriter] = set()

    async def reply(self, writer: asyncio.StreamWriter) -> None:
        """What happens once a request's head has come."""
        if writer not in self._met:
            self._met.add(writer)
            await super().reply(writer)
            return
        writer.write(self._last)
        if self._resets:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        writer.close()


async def second(peer: Ending) -> UpstreamUnreachable:
    """How the second call fails, which is sent on the connection of the first."""
    async with peer.listening() as url, upstream(url) as adapter:
        await adapter.call(request())
        with pytest.raises(UpstreamUnreachable) as caught:
            await adapter.call(request())
    assert peer.connections == 1
    return caught.value


@pytest.mark.parametrize("resets", [False, True], ids=["closed", "reset"])
async def test_a_kept_connection_that_ends_is_told(resets: bool) -> None:
    """The request may have left, and may be repeated if it is a read."""
    failure = await second(Ending(resets=resets))

    assert (failure.sent, failure.was_kept) == (True, True)


async def test_nonsense_on_a_kept_connection_is_another_failure() -> None:
    """Something came back."""
    failure = await second(Ending(NONSENSE))

    assert (failure.sent, failure.was_kept) == (True, False)


async def test_a_new_connection_that_ends_is_another_failure() -> None:
    """The upstream took this request, and may have died of it."""
    async with Peer(b"", closes=True).listening() as url, upstream(url) as adapter:
        with pytest.raises(UpstreamUnreachable) as caught:
            await adapter.call(request())

    assert (caught.value.sent, caught.value.was_kept) == (True, False)


async def test_a_retry_takes_no_kept_connection() -> None:
    """And leaves none."""
    peer = Ending()
    async with peer.listening() as url, upstream(url) as adapter:
        await adapter.call(request())
        for _ in range(2):
            await adapter.call(replace(request(), purpose=Purpose.RETRY))

    assert peer.connections == 3


async def test_a_write_takes_no_kept_connection() -> None:
    """A write cannot be sent again if the upstream closes a kept connection just then."""
    peer, write = Ending(), Write("PUT", "/training/t1", b"{}")
    async with peer.listening() as url, upstream(url) as adapter:
        await adapter.call(request())
        reply = await adapter.call(replace(request(), write=write))

    assert (reply.status, peer.connections) == (200, 2)


@pytest.mark.parametrize("resets", [False, True], ids=["closed", "reset"])
async def test_tls_makes_no_difference(resets: bool) -> None:
    """With its `close_notify`, and without."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE)
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    peer = Ending(resets=resets)
    async with (
        peer.listening(server) as url,
        upstream(url.replace("127.0.0.1", "localhost"), tls=trusting) as adapter,
    ):
        await adapter.call(request())
        with pytest.raises(UpstreamUnreachable) as caught:
            await adapter.call(request())

    assert caught.value.was_kept
