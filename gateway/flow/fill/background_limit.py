"""How many fetches that nobody waits for are under way at once, and room for the next one.

Lives here: the count and its bound. Which of those that wait is next is refresh_queue's business.
"""

from __future__ import annotations

import asyncio
from typing import Final

# Seconds that keep fetches from following each other without a pause where the upstream answers at
# once: each is 2.5 ms of work between which hits wait, and four at a time would be half of a core.
REST: Final = 0.25


class Background:
    """At most so many at once; the room of one that has ended stays taken for `rest` seconds.
    Whoever begins one has looked before, without a pause between."""

    def __init__(self, most: int, rest: float = 0.0) -> None:
        self._most = most
        self._rest = rest
        self._ended = asyncio.Event()
        self.under_way = 0

    @property
    def has_room(self) -> bool:
        """Whether another one may begin."""
        return self.under_way < self._most

    def begin(self) -> None:
        """One begins."""
        assert self.has_room, "whoever begins one has looked before"
        self.under_way += 1

    def end(self) -> None:
        """One has ended, however it did."""
        if self._rest > 0.0:
            asyncio.get_running_loop().call_later(self._rest, self._leave)
        else:
            self._leave()

    def _leave(self) -> None:
        self.under_way -= 1
        self._ended.set()

    async def room(self) -> None:
        """Wait until another one may begin."""
        while not self.has_room:
            self._ended.clear()
            await self._ended.wait()
