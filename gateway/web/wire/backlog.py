"""How much of what was written a caller has not taken yet. What follows from it is wire's."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress


def backlog_of(transport: asyncio.Transport) -> int:
    """Bytes unread, 0 where the system had room for all of them.

    What the system itself holds counts as soon as it is full: it makes room for us only when a
    good part of that was read, and a slow reader would till then look like one that reads nothing.
    """
    unsent = transport.get_write_buffer_size()
    return unsent + _held_by_system(transport) if unsent else 0


def _held_by_system(transport: asyncio.Transport) -> int:
    """Sent and not acknowledged (tcp(7), SIOCOUTQ); 0 where the system does not tell."""
    with suppress(OSError):
        told = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return int(struct.unpack("i", told)[0])
    return 0
