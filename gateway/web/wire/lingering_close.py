"""Closes a connection so that the last response arrives.

If a socket is closed while the peer's bytes are unread or on their way, the system resets the
connection. The reset can destroy the last response (RFC 9112, 9.6). So the gateway first closes
only its own direction. Then it drops what it reads, until the peer closes too.
"""

from __future__ import annotations

import asyncio
from typing import Final

# If the peer does not close its direction in two seconds after the last byte of the last response
# went into the system's buffer, the connection is aborted. Time is counted in looks (see `Wire`).
_LINGER: Final = 2


class LingeringClose(asyncio.Transport):
    """The transport of uvicorn's request cycle. Its `close` does not destroy the response.

    `peer_has_ended` says whether the peer has closed its own direction.
    """

    __slots__ = ("_looks", "_transport", "peer_has_ended")

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._looks: int | None = None  # how many looks have come in the linger time
        self.peer_has_ended = False

    @property
    def is_closed(self) -> bool:
        """Whether `close` or `linger` was called."""
        return self._looks is not None

    def is_closing(self) -> bool:
        """Whether `close` or `linger` was called, or the transport is closing."""
        return self.is_closed or self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        """Write to the transport."""
        self._transport.write(data)

    def close(self) -> None:
        """Close the gateway's direction. Close the whole connection if the peer has closed its own
        direction, or with TLS: there asyncio can only close both directions, and aborts after half
        a minute."""
        self.linger()
        if self.peer_has_ended or not self._transport.can_write_eof():
            self._transport.close()

    def linger(self) -> None:
        """Close the gateway's direction (not with TLS), and begin the linger time."""
        if self._looks is None:
            self._looks = 0
            if self._transport.can_write_eof() and not self._transport.is_closing():
                self._close_own_direction()

    def _close_own_direction(self) -> None:
        try:
            self._transport.write_eof()
        except OSError:  # the peer reset the connection, and the transport has not noticed it yet
            self._transport.abort()

    def is_overdue(self) -> bool:
        """Whether the linger time is over. Each look asks once. While the system's buffer has no
        room for the rest of the response, the time begins anew. With TLS the transport does not
        tell this, so a close has no linger time here."""
        if self._looks is None or self._is_closing_tls():
            return False
        self._looks = 0 if self._transport.get_write_buffer_size() else self._looks + 1
        return self._looks > _LINGER

    def _is_closing_tls(self) -> bool:
        return self._transport.is_closing() and not self._transport.can_write_eof()
