"""Looks up the addresses of one host, so that a name server that hangs delays nothing else.

The event loop would look names up in four threads that all parts of the process share. Look-ups
that hang would then take the threads that new connections to Redis need.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias

# For so many seconds after a look-up began, connections wait for its result. After that they use
# the addresses of the last one.
_PATIENCE: Final = 0.5

# The family of a socket, and what it connects to.
Address: TypeAlias = tuple[int, Any]
LookUp: TypeAlias = Callable[[str, int], list[Address]]


def system_look_up(host: str, port: int) -> list[Address]:
    """The addresses of the host. Blocks. Raises OSError, UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


class LookUps:
    """The look-ups of one host. Each new connection asks for one, and one at a time is made."""

    def __init__(self, host: str, port: int, look_up: LookUp = system_look_up) -> None:
        self._host = host
        self._port = port
        self._look_up = look_up
        self._last: list[Address] = []
        self._began = 0.0
        self._pending: asyncio.Future[list[Address]] | None = None

    async def addresses(self) -> list[Address]:
        """The addresses, the one that worked last first. Raises OSError, UnicodeError if no
        look-up has ever succeeded."""
        loop = asyncio.get_running_loop()
        pending = self._pending
        if pending is None:
            pending = self._pending = self._begin(loop)
            self._began = loop.time()
        if not self._last:
            return await asyncio.shield(pending)
        left = self._began + _PATIENCE - loop.time()
        await asyncio.wait([pending], timeout=max(left, 0.0))
        return self._last

    def worked(self, address: Address) -> None:
        """Try this address first the next time."""
        if address in self._last:
            self._last = [address, *(each for each in self._last if each != address)]

    def _begin(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[list[Address]]:
        result: asyncio.Future[list[Address]] = loop.create_future()
        result.add_done_callback(self._ended)

        def run() -> None:
            found: list[Address] | Exception
            try:
                found = self._look_up(self._host, self._port)
            except (OSError, UnicodeError) as error:
                found = error
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(_settle, result, found)

        # A daemon: the process can end while a look-up hangs.
        threading.Thread(target=run, name="look-up", daemon=True).start()
        return result

    def _ended(self, result: asyncio.Future[list[Address]]) -> None:
        self._pending = None
        if result.cancelled() or result.exception() is not None:
            return
        first = self._last[:1]
        self._last = result.result()
        for address in first:
            self.worked(address)


def _settle(result: asyncio.Future[list[Address]], found: list[Address] | Exception) -> None:
    if result.done():
        return
    if isinstance(found, Exception):
        result.set_exception(found)
    else:
        result.set_result(found)
