"""The floor: uvloop answers fixed bytes to any input and parses nothing.

Nothing that runs in this interpreter and answers over TCP can cost less.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

_BODY = b'{"content":"' + b"x" * 1600 + b'"}'
_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\n"
    b'etag: "0123456789abcdef0123456789abcdef"\r\nlast-modified: Tue, 24 Nov 2026 12:00:00 GMT\r\n'
    b"date: Tue, 24 Nov 2026 12:00:00 GMT\r\nage: 12\r\ncache-control: private, max-age=30\r\n"
    b"vary: Authorization\r\ncache-status: gateway; hit; ttl=18; detail=l1\r\n"
    b"training-updated-at: 2026-11-24T12:00:00.000Z\r\n"
    b"x-request-id: 0123456789abcdef0123456789abcdef\r\n"
    b"content-length: " + str(len(_BODY)).encode() + b"\r\n\r\n" + _BODY
)


class Floor(asyncio.Protocol):
    """One answer for whatever arrives."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self._transport.write(_ANSWER)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
