"""How many fetches that nobody waits for are under way at once, and room for the next one.

Lives here: the count and its bound. Which of those that wait is next is following's business.
"""

from __future__ import annotations

import asyncio


class Background:
    """At most so many at once. Whoever begins one has looked before, without a pause between."""

    def __init__(self, most: int) -> None:
        self._most = most
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
        self.under_way -= 1
        self._ended.set()

    async def room(self) -> None:
        """Wait until another one may begin."""
        while not self.has_room:
            self._ended.clear()
            await self._ended.wait()
