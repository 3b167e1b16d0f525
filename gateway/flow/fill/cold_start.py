"""Misses that wait for the first sweep of their partition, because one call of the sweep brings a
hundred trainings."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class ColdStart:
    """The partitions whose cache is empty and is being filled by a sweep. A miss waits for
    `patience` seconds at most."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._ended: dict[str, asyncio.Event] = {}  # by partition

    def note(self, partition: str, *, is_filling: bool) -> None:
        """Note whether a sweep is filling the empty cache of the partition."""
        if is_filling:
            self._ended.setdefault(partition, asyncio.Event())
        elif partition in self._ended:
            self._ended.pop(partition).set()

    async def wait(self, partition: str) -> None:
        """Wait until the partition's first sweep has ended."""
        ended = self._ended.get(partition)
        if ended is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await ended.wait()
