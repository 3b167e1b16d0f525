"""Version floors in memory, for a process alone: what RedisStore is for replicas.

Follows the rules of adapters/redis/lua one for one; bodies live in L1 only. Nothing here
waits; it is async because the port is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from gateway.adapters.ledger.record import Record
from gateway.core.cache.entry import Entry, Key, Ticket
from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import Clock, Copies, Found, Standing, Stored


@dataclass(slots=True)
class Orders:
    """`struck_at`: when the last one came that leaves nothing to rescue; `bound`: the version below
    which such orders left nothing; `soft_bound`: below which soft ones left it for rescue."""

    struck_at: float = -math.inf
    bound: Instant | None = None
    soft_bound: Instant | None = None

    def add(self, updated_at: int | None, now: float) -> None:
        """One more, for versions below `updated_at` (all, for None)."""
        self.struck_at = max(self.struck_at, now)
        if updated_at is not None:
            self.bound = Instant(max(updated_at, self.bound or updated_at))

    def add_soft(self, updated_at: int | None) -> None:
        """One more that leaves what it rules out for rescue."""
        if updated_at is not None:
            self.soft_bound = Instant(max(updated_at, self.soft_bound or updated_at))

    @property
    def lowest(self) -> Instant | None:
        """The version below which nothing is taken, whatever asked for it."""
        asked = [each for each in (self.bound, self.soft_bound) if each is not None]
        return max(asked, default=None)


class Ledger:
    """SharedStore without bodies; `entropy` makes the epoch of each floor.

    At most `max_floors` floors, the least recently used forgotten first: such a key is
    "unknown" again, and a fetch that began under its floor is refused.
    """

    is_up: Final = True  # no property: each hit reads it

    def __init__(
        self,
        clock: Clock,
        entropy: Callable[[], str],
        max_floors: int = 100_000,
        *,
        believe_after: float = 60.0,
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        self._believe_after = believe_after
        self._floors: LRUCache[Key, Record] = LRUCache(max_floors)
        self._orders: LRUCache[str, Orders] = LRUCache(max_floors)
        self._partition_invalidations: LRUCache[str, float] = LRUCache(max_floors)

    def reaches(self, _key: Key) -> bool:
        """Always."""
        return True

    @property
    def holds_bodies(self) -> bool:
        """It does not: L1 does."""
        return False

    def record(self, key: Key) -> Record | None:
        """What is known under the key."""
        return self._floors.get(key)

    def asked_for(self, training_id: str) -> Instant | None:
        """The version that orders asked for, None where none did."""
        orders = self._orders.get(training_id)
        return None if orders is None else orders.lowest

    async def lookup(self, key: Key) -> Found:
        """The floor alone."""
        record = self._floors.get(key)
        struck_at = self._partition_invalidations.get(key.partition, -math.inf)
        if record is not None:
            return Found(None, record.seen(), struck_at)
        orders = self._orders.get(key.training_id)
        return Found(None, None, max(struck_at, orders.struck_at) if orders else struck_at)

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Standing | None]:
        """The floors; what came beside the bodies only L1 has."""
        founds = {key: await self.lookup(key) for key in keys}
        return {
            key: None
            if found.floor is None
            else Standing(found.floor, lambda: None, found.struck_at)
            for key, found in founds.items()
        }

    async def begin(self, key: Key) -> Ticket:
        """Take the generation before a fetch; makes the floor where there is none."""
        record = self._floors.get(key)
        if record is None:
            orders = self._orders.get(key.training_id)
            record = Record(epoch=self._entropy(), updated_at=orders.lowest if orders else None)
            self._floors[key] = record
        return Ticket(record.epoch, record.generation, self._clock.now())

    async def store(self, key: Key, entry: Entry, keep: float) -> Stored:
        """Judge an entry and know its version; `keep` is of no use without a body."""
        record = self._floors.get(key)
        if record is None:
            return Stored(StoreVerdict.INVALIDATED, None)
        verdict = record.judge(entry)
        if not verdict.is_refusal:
            record.take(entry)
        elif verdict is StoreVerdict.INVALIDATED:
            record.learn_of(entry)
        elif record.believes(entry, self._believe_after):
            verdict = StoreVerdict.BELIEVED
        return Stored(verdict, record.seen())

    async def drop(self, key: Key) -> None:
        """Raise the generation and forget the version of one key."""
        record = self._floors.get(key)
        if record is not None:
            record.forget()

    async def invalidate(
        self, training_id: str, updated_at: int | None, *, soft: bool = False
    ) -> None:
        """Make what is older than `updated_at` (all, for None) unusable in every partition; `soft`
        leaves it for rescue.

        A partition without a floor has neither an entry nor a fetch in flight; what it may
        fetch later is bound as well, as long as the event is remembered.
        """
        records, now = self._records(lambda key: key.training_id == training_id), self._clock.now()
        orders = self._orders.setdefault(training_id, Orders())
        if soft:
            orders.add_soft(updated_at)
        else:
            orders.add(updated_at, now)
        bound = orders.soft_bound if soft else orders.bound
        for record in records:
            record.ordered_at = now
            record.invalidate(None if updated_at is None else bound, now, soft=soft)

    async def invalidate_partition(self, partition: str) -> None:
        """Rule out all that was fetched for a partition up to now."""
        before = self._partition_invalidations.get(partition, -math.inf)
        self._partition_invalidations[partition] = max(self._clock.now(), before)

    async def purge(self, partition: str | None, *, soft: bool) -> int:
        """Drop every key (of a partition); how many. There are no bodies to remove."""
        records = self._records(lambda key: partition in (None, key.partition))
        for record in records:
            record.forget()
        return len(records)

    async def secure(self, patience: float) -> Copies | None:
        """There is no other than this one."""
        return None

    def _records(self, wanted: Callable[[Key], bool]) -> list[Record]:
        """Those of the wanted keys; the order of the others stays."""
        return [self._floors[key] for key in list(self._floors) if wanted(key)]
