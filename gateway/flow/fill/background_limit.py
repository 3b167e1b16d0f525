"""Limits how many background fetches are under way at once. No caller waits for such a fetch."""

from __future__ import annotations

import asyncio
from typing import Final

# Seconds of pause after each fetch. A fetch takes 2.5 ms of work, and hits wait meanwhile. Without
# the pause, four fetches at a time (the default) could take a large part of a core.
REST: Final = 0.25


class Background:
    """Allows `most` fetches at once. A place becomes free `rest` seconds after its fetch has ended.
    Check `has_room` before `begin`, without an await in between.

    `under_way`: the number of places that are not free.
    """

    def __init__(self, most: int, rest: float = 0.0) -> None:
        self._most = most
        self._rest = rest
        self._ended = asyncio.Event()
        self.under_way = 0

    @property
    def has_room(self) -> bool:
        """Whether another fetch may begin."""
        return self.under_way < self._most

    def begin(self) -> None:
        """Count a fetch that begins."""
        assert self.has_room, "has_room was not checked before"
        self.under_way += 1

    def end(self) -> None:
        """Note that a fetch has ended, with or without success."""
        if self._rest > 0.0:
            asyncio.get_running_loop().call_later(self._rest, self._leave)
        else:
            self._leave()

    def _leave(self) -> None:
        self.under_way -= 1
        self._ended.set()

    async def room(self) -> None:
        """Wait until another fetch may begin."""
        while not self.has_room:
            self._ended.clear()
            await self._ended.wait()
