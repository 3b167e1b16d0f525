"""Closing a connection so that the last response arrives.

A socket that is closed while bytes of the peer are unread, or on their way, answers them with a
reset, which may destroy what the peer has not read yet (RFC 9112, 9.6). So the connection is closed
in one direction first, and read until the peer closes it as well. What is read is dropped by the
connection's protocol (see `connection`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

# Seconds in which the peer may read the last response before the connection is cut.
_LINGER: Final = 2.0


class LingeringClose(asyncio.Transport):
    """The transport as a request's cycle in uvicorn uses it: `close` does not destroy anything.

    `time` is the loop's. `peer_has_ended`: the peer has closed its direction.
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
        """Whether the last byte was written."""
        return self._closed_at is not None

    def is_closing(self) -> bool:
        """As asyncio's."""
        return self.is_closed or self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        """Write through."""
        self._transport.write(data)

    def close(self) -> None:
        """Close after the response to a request that was read as a whole.

        TLS knows one direction alone in asyncio, which sends its `close_notify` and waits for the
        peer's.
        """
        self.linger()
        if self.peer_has_ended or not self._transport.can_write_eof():
            self._transport.close()

    def linger(self) -> None:
        """Write no more, and leave it to the peer to close: it may still be sending."""
        if self._closed_at is None:
            self._closed_at = self._time()
            if self._transport.can_write_eof() and not self._transport.is_closing():
                self._transport.write_eof()

    def is_overdue(self, now: float) -> bool:
        """Whether the peer had its time to close the connection, and did not."""
        return self._closed_at is not None and now - self._closed_at >= _LINGER

    def excuse(self, seconds: float) -> None:
        """This process did not look for so long."""
        if self._closed_at is not None:
            self._closed_at += seconds

    def is_reset(self) -> bool:
        """Whether a peer that had ended its direction has gone; nothing is read any more that
        would tell."""
        if not self.peer_has_ended or self._transport.is_closing():
            return False
        connection = self._transport.get_extra_info("socket")
        return bool(connection and connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
