"""What a caller has not taken yet, on a real pair of sockets."""

from __future__ import annotations

import asyncio
import socket

from gateway.web.wire.connection import backlog_of


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
