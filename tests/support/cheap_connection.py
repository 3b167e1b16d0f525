"""One connection of a caller that costs as little as it can: what is measured is the gateways."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple, Self
from urllib.parse import urlsplit


class Reply(NamedTuple):
    """One answer, and when it was read (monotonic); status 0: the connection ended before it."""

    status: int
    head: bytes
    body: bytes
    at: float


class Line(asyncio.Protocol):
    """Requests made in advance, sent one at a time; answers that are cut, not parsed."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._reply: asyncio.Future[Reply] | None = None

    @classmethod
    async def to(cls, url: str) -> Self:
        """A connection to that base URL."""
        where = urlsplit(url)
        assert where.hostname is not None
        assert where.port is not None
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(cls, where.hostname, where.port)
        return line

    @property
    def is_open(self) -> bool:
        """Whether it may be asked."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes) -> asyncio.Future[Reply]:
        """Send it, and be told of its answer."""
        assert self._transport is not None
        self._data = b""
        self._reply = asyncio.get_running_loop().create_future()
        if self.is_open:
            self._transport.write(request)
        else:
            self._tell(0)
        return self._reply

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if end and len(body) >= _length(head):
            self._tell(int(head[9:12]), head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell(0)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def _tell(self, status: int, head: bytes = b"", body: bytes = b"") -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(Reply(status, head, body, time.monotonic()))


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0])
