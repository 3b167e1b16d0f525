"""The sweep of a process without Redis, and the comparison of pages with its facts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from gateway.adapters.ledger.marks import Ledger
from gateway.core.cache.entry import Key
from gateway.core.cache.marks import Ticket
from gateway.core.sweep.catalogue import Head, Leaf, News
from gateway.core.sweep.list_item import Listed, judge
from gateway.core.sweep.progress import Progress
from gateway.ports import Clock, Compared, Turn


class LedgerSweep:
    """The sweeps of this process. `Turn.is_read` is False for a partition that no caller has read
    for `pause_after` seconds."""

    lifetime = math.inf

    def __init__(self, ledger: Ledger, clock: Clock, *, pause_after: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._pause_after = pause_after
        self._progress: dict[str, Progress] = {}  # by partition
        self._read_at: dict[str, float] = {}  # the time of the last `take` with `was_read`

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        """As SharedSweep.take. This process always leads."""
        now = self._clock.now()
        if was_read:
            self._read_at[partition] = now
        is_read = now - self._read_at.get(partition, -math.inf) < self._pause_after
        return Turn(True, self._progress.get(partition, Progress()), is_read, now)

    async def note(self, partition: str, progress: Progress, news: News | None = None) -> bool:
        self._progress[partition] = progress
        return True

    async def catalogue(
        self, partition: str, known: Mapping[int, Leaf]
    ) -> tuple[Head, Mapping[int, Leaf]] | None:
        """Always None: nobody copies it."""
        return None

    async def compare(
        self, partition: str, items: Sequence[Listed], page: Ticket, *, stores: bool
    ) -> list[Compared]:
        """As SharedSweep.compare."""
        return [
            self._compared(Key(partition, item.training_id), item, page, stores=stores)
            for item in items
        ]

    def _compared(self, key: Key, item: Listed, page: Ticket, *, stores: bool) -> Compared:
        ledger = self._ledger
        new_word = ledger.new_word if stores else None
        judged = judge(item, ledger.found(key).marks, ledger.slot(key), page, new_word)
        ledger.write(key, judged.slot)
        stored = judged.slot.stored
        is_held = stored is not None and stored.version is not None
        return Compared(judged.verdict, ledger.found(key), judged.ticket, is_held)
