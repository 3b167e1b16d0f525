"""Closes a connection so that the last response arrives.

If a socket is closed while the peer's bytes are unread or on their way, the system resets the
connection. The reset can destroy the last response (RFC 9112, 9.6). So the gateway first closes
only its own direction. Then it drops what it reads, until the peer closes too.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Final

# The linger time, in seconds: if the peer does not close its direction in this time, the connection
# is aborted. The time begins when the last byte of the last response is in the system's buffer.
_LINGER: Final = 2.0


# With TLS, the system's buffer counts as full if its bytes fill this share of its size or more.
# The bytes fill at least half of the used space. The system's own data about them fills the rest. A
# buffer that has become full accepts no more bytes until a third of its size is free. Until then,
# two thirds or more are used, so the bytes fill a third of the size or more.
_FULL: Final = 1 / 3


def backlog_of(transport: asyncio.Transport) -> int:
    """The number of written bytes that have not reached the caller.

    0 if all of them fit into the system's buffer. Otherwise the bytes in the system's buffer count
    too, because they become fewer when a slow caller reads, even while this process cannot write
    more.

    With TLS, asyncio does not tell how many bytes wait in the transport below TLS, so they do not
    count. But while bytes wait there, the system's buffer is full. So if this buffer is full, its
    bytes count even if no other bytes are known. A response that fills less than a third of the
    buffer never counts.
    """
    unsent = transport.get_write_buffer_size()
    if unsent or (not transport.can_write_eof() and _is_full(transport)):
        return unsent + _held_by_system(transport)
    return 0


def _is_full(transport: asyncio.Transport) -> bool:
    """Whether the system's buffer counts as full (see `_FULL`)."""
    held = _held_by_system(transport)
    if not held:
        return False
    connection = transport.get_extra_info("socket")
    size: int = connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    return held >= size * _FULL


def _held_by_system(transport: asyncio.Transport) -> int:
    """The number of unacknowledged bytes (tcp(7), SIOCOUTQ). 0 if it is not known."""
    connection = transport.get_extra_info("socket")
    with suppress(OSError, ValueError):  # ValueError: the socket is closed
        if connection is not None:
            told = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
            return int(struct.unpack("i", told)[0])
    return 0


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
        """Whether `close` or `linger` was called, or the transport is closing."""
        return self.is_closed or self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        """Write to the transport."""
        self._transport.write(data)

    def close(self) -> None:
        """Close the gateway's direction. Close the whole connection if the peer has closed its own
        direction, or with TLS: there asyncio can only close both directions."""
        self.linger()
        if self.peer_has_ended or not self._transport.can_write_eof():
            self._transport.close()

    def linger(self) -> None:
        """Close the gateway's direction (not with TLS), and begin the linger time."""
        if self._closed_at is None:
            self._closed_at = self._time()
            if self._transport.can_write_eof() and not self._transport.is_closing():
                self._close_own_direction()

    def _close_own_direction(self) -> None:
        try:
            self._transport.write_eof()
        except OSError:  # the peer reset the connection, and the transport has not noticed it yet
            self._transport.abort()

    def is_overdue(self, now: float) -> bool:
        """Whether the linger time is over. While the system's buffer has no room for the rest of
        the response, each call begins the time anew."""
        if self.is_closed and backlog_of(self._transport):
            self._closed_at = now
        return self._closed_at is not None and now - self._closed_at >= _LINGER

    def excuse(self, seconds: float) -> None:
        """Prolong the linger time by the seconds for which this process did not run."""
        if self._closed_at is not None:
            self._closed_at += seconds

    def is_reset(self) -> bool:
        """Whether the connection was reset after the peer closed its direction. Nothing is read any
        more, so no read reports the reset. Only the socket's error shows it."""
        if not self.peer_has_ended or self._transport.is_closing():
            return False
        connection = self._transport.get_extra_info("socket")
        return bool(connection and connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
