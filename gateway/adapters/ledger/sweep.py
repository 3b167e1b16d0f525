"""The sweep of a process without Redis, by the rules of adapters/redis/lua/sweep.lua."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gateway.adapters.ledger.floors import Ledger, Record
from gateway.core.cache.entry import Key, Ticket
from gateway.core.cache.version_verdict import Last
from gateway.core.sweep.list_item import Listed, ListVerdict
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

    async def note(self, partition: str, progress: Progress) -> bool:
        self._progress[partition] = progress
        return True

    async def compare(
        self, partition: str, items: Sequence[Listed], page: Ticket, *, stores: bool
    ) -> list[Compared]:
        """As SharedSweep.compare. `page` has no effect."""
        return [
            self._compared(Key(partition, item.training_id), item, stores=stores) for item in items
        ]

    def _compared(self, key: Key, item: Listed, *, stores: bool) -> Compared:
        known = self._ledger.record(key)
        since = 0.0 if known is None else known.started
        if self._ledger.ordered_at(key) > since:
            return Compared(ListVerdict.PASSED, None, is_held=False)
        record = self._ledger.known_or_new(key) if stores else known
        if record is None:
            return Compared(ListVerdict.UNKNOWN, None, is_held=False)
        verdict = _judge(record, item)
        if verdict is ListVerdict.CONFIRMED:
            record.started = item.confirmed_at
        return Compared(verdict, record.as_floor(), is_held=record.last is Last.VERSION)


def _judge(record: Record, item: Listed) -> ListVerdict:
    known = record.updated_at
    if record.started > item.confirmed_at:
        return ListVerdict.PASSED
    if record.last is Last.NEGATIVE:
        return ListVerdict.DOUBTFUL
    if known is not None and item.updated_at < known:
        return ListVerdict.DOUBTFUL
    if item.is_ahead and item.updated_at != known:
        return ListVerdict.DOUBTFUL
    if record.last is Last.NONE and known is None:
        return ListVerdict.UNKNOWN
    if record.last is Last.VERSION and item.updated_at == known and record.raised_from is None:
        return ListVerdict.CONFIRMED
    return ListVerdict.NEWER
