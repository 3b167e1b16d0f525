"""Closes a connection so that the last response arrives.

If a socket is closed while the peer's bytes are unread or on their way, the system resets the
connection. The reset can destroy the last response (RFC 9112, 9.6). So the gateway first closes
only its own direction. Then it drops what it reads, until the peer closes too.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

# Seconds that the peer has after the last response is in the system's buffer. Then the connection
# is aborted.
_LINGER: Final = 2.0


class LingeringClose(asyncio.Transport):
    """The transport of uvicorn's request cycle. Its `close` does not destroy the response.

    `peer_has_ended` says whether the peer has closed its own direction.
    """

    __slots__ = ("_closed_at", "_time", "_transport", "peer_has_ended")

    def __init__(self, transport: asyncio.Transport, time: Callable[[], float]) -> None:
        super().__init__()
        self._transport = transport
        self._time = time
        self._closed_at: float | None = None
        self.peer_has_ended = False

    @property
    def is_closed(self) -> bool:
        """Whether `close` or `linger` was called."""
        return self._closed_at is not None

    def is_closing(self) -> bool:
        """As asyncio defines it."""
        return self.is_closed or self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        """Write to the transport."""
        self._transport.write(data)

    def close(self) -> None:
        """Close the gateway's direction, or the whole connection if the peer has closed its own.
        With TLS, asyncio can only close both directions."""
        self.linger()
        if self.peer_has_ended or not self._transport.can_write_eof():
            self._transport.close()

    def linger(self) -> None:
        """Close the gateway's direction (not with TLS), and begin to count the peer's time."""
        if self._closed_at is None:
            self._closed_at = self._time()
            if self._transport.can_write_eof() and not self._transport.is_closing():
                self._transport.write_eof()

    def is_overdue(self, now: float) -> bool:
        """Whether the peer's time is over. It begins anew while the system has no room for the rest
        of the response."""
        if self.is_closed and self._transport.get_write_buffer_size():
            self._closed_at = now
        return self._closed_at is not None and now - self._closed_at >= _LINGER

    def excuse(self, seconds: float) -> None:
        """Add the seconds for which this process did not run to the peer's time."""
        if self._closed_at is not None:
            self._closed_at += seconds

    def is_reset(self) -> bool:
        """Whether the connection was reset after the peer closed its direction. The error of the
        socket says so, because nothing is read any more."""
        if not self.peer_has_ended or self._transport.is_closing():
            return False
        connection = self._transport.get_extra_info("socket")
        return bool(connection and connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
