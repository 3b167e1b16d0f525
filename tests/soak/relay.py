"""A relay to a server as a process: stopped, it is a network that swallows all; killed, a refusal.

Run as `python relay.py PORT TARGET`, both on the loopback interface.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_HOST = "127.0.0.1"
_MOST = 1 << 16


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_MOST):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


async def _relay(port: int, target: int) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far = await asyncio.open_connection(_HOST, target)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_pump(reader, far), _pump(far_reader, writer))

    server = await asyncio.start_server(accept, _HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_relay(int(sys.argv[1]), int(sys.argv[2])))
