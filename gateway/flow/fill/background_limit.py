"""Limits how many background fetches are under way at once. No caller waits for such a fetch."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

# Seconds of pause after each fetch. A fetch takes 2.5 ms of work, and hits wait meanwhile. Without
# the pause, eight fetches at a time (the default) could take a large part of a core.
REST: Final = 0.25


class Background:
    """Allows `most` fetches at once, and one partition half of them, so that a tenant whose calls
    hang leaves places to the others. A place becomes free `rest` seconds after its fetch has ended.
    Check `has_room` before `begin`, without an await in between.

    under_way  the number of places that are not free
    stirred    set when a place becomes free. The queue waits for it, clears it, and also sets it
    """

    def __init__(self, most: int, rest: float = 0.0) -> None:
        self._most = most
        self._half = (most + 1) // 2
        self._rest = rest
        self._taken: Counter[str] = Counter()
        self.under_way = 0
        self.stirred = asyncio.Event()

    def has_room(self, partition: str) -> bool:
        """Whether another fetch for the partition may begin."""
        return self.under_way < self._most and self._taken[partition] < self._half

    def begin(self, partition: str) -> None:
        """Count a fetch that begins."""
        assert self.has_room(partition), "has_room was not checked before"
        self.under_way += 1
        self._taken[partition] += 1

    def end(self, partition: str) -> None:
        """Note that a fetch has ended, with or without success."""
        if self._rest > 0.0:
            asyncio.get_running_loop().call_later(self._rest, self._leave, partition)
        else:
            self._leave(partition)

    def _leave(self, partition: str) -> None:
        self.under_way -= 1
        self._taken[partition] -= 1
        if not self._taken[partition]:
            del self._taken[partition]
        self.stirred.set()
