"""What a caller has not taken yet, on a real pair of sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trustme

from gateway.web.wire.lingering_close import LingeringClose, _held_by_system, backlog_of

# More than the system takes below, and less than would make TLS itself wait.
HIDDEN = 60_000


async def test_what_the_system_holds_counts_once_it_is_full() -> None:
    """Not before: then there is nothing that we would wait for. A little read shows at once."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    with theirs:
        transport.write(b"x" * 1_000)
        await asyncio.sleep(0)
        assert backlog_of(transport) == 0

        transport.write(b"x" * (1 << 21))
        full = backlog_of(transport)
        assert full > transport.get_write_buffer_size() > 0

        for _ in range(4):
            await loop.sock_recv(theirs, 8_192)
        assert backlog_of(transport) < full
        transport.abort()
        await asyncio.sleep(0)


async def test_with_tls_the_system_tells_what_the_transport_hides() -> None:
    """The transport beneath TLS has it all, and TLS itself nothing. A response that the system
    took whole does not count, as without TLS."""
    async with over_tls() as (transport, caller):
        transport.write(b"x" * 1_000)
        assert backlog_of(transport) == 0

        transport.write(b"x" * HIDDEN)
        assert transport.get_write_buffer_size() == 0
        assert backlog_of(transport) > 0

        await asyncio.to_thread(read, caller, 1_000 + HIDDEN)
        while backlog_of(transport):  # noqa: ASYNC110 - the system says nothing
            await asyncio.sleep(0.01)


async def test_with_tls_a_response_that_fills_less_than_a_third_does_not_count() -> None:
    """A buffer that takes no more has more, so that nothing can wait beneath TLS."""
    async with over_tls() as (transport, _):
        connection = transport.get_extra_info("socket")
        size = connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        held = 0
        while held < size * 0.27:
            transport.write(b"x" * 100)
            held = _held_by_system(transport)

        assert held < size * 0.32
        assert backlog_of(transport) == 0


async def test_a_slow_peer_over_tls_gets_the_whole_last_response() -> None:
    """Its two seconds begin when the system has all of it."""
    async with over_tls() as (transport, caller):
        outlet = LingeringClose(transport, lambda: 5.0)
        outlet.write(b"x" * (HIDDEN))
        outlet.close()

        assert not outlet.is_overdue(7.0)
        await asyncio.to_thread(read, caller, HIDDEN)


@asynccontextmanager
async def over_tls() -> AsyncIterator[tuple[asyncio.Transport, ssl.SSLSocket]]:
    """Both ends of a connection. The caller's end blocks."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("caller.test").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.socket()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        theirs.connect(listener.getsockname())
        ours, _ = listener.accept()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
    accepting = asyncio.create_task(
        loop.connect_accepted_socket(asyncio.Protocol, ours, ssl=context)
    )
    caller = await asyncio.to_thread(trusting.wrap_socket, theirs, server_hostname="caller.test")
    transport, _ = await accepting
    with caller:
        caller.settimeout(30)
        yield transport, caller
        transport.abort()
        await asyncio.sleep(0)


def read(caller: ssl.SSLSocket, size: int) -> None:
    """Take so many bytes."""
    while size > 0:
        data = caller.recv(min(size, 1 << 16))
        assert data, f"{size} bytes are missing"
        size -= len(data)
