"""The floors of a process without Redis, in memory. A floor is the record of a key's versions.

The rules are those of adapters/redis/lua. No method waits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cachetools import LRUCache

from gateway.core.cache.entry import SOFT, Entry, Floor, Key, Ticket, era, next_era
from gateway.core.cache.version_verdict import Known, Last, before
from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import Clock, Found, Standing, Stored


@dataclass(slots=True)
class Orders:
    """The orders to invalidate a training.

    struck_at   the time of the last hard order (-inf: there was none)
    ordered_at  the time of the last order without a version, hard or soft (-inf: there was none)
    bound       hard orders ruled out the versions below this one (None: no hard order named a
                version)
    soft_bound  as `bound`, for soft orders
    """

    struck_at: float = -math.inf
    ordered_at: float = -math.inf
    bound: Instant | None = None
    soft_bound: Instant | None = None

    def add(self, updated_at: int | None, now: float) -> None:
        """Add a hard order for versions below `updated_at` (None: all versions)."""
        self.struck_at = max(self.struck_at, now)
        if updated_at is not None:
            self.bound = Instant(max(updated_at, self.bound or updated_at))

    def add_soft(self, updated_at: int | None) -> None:
        """As `add`, for a soft order. An order for all versions is not noted here: it changes only
        the floors that exist now."""
        if updated_at is not None:
            self.soft_bound = Instant(max(updated_at, self.soft_bound or updated_at))

    @property
    def lowest(self) -> Instant | None:
        """The lowest version that the orders allow. None if no order named a version."""
        asked = [each for each in (self.bound, self.soft_bound) if each is not None]
        return max(asked, default=None)


class Ledger:
    """The SharedStore of a process without Redis. It has floors, but no bodies. Only L1 has bodies.

    There are at most `max_floors` floors. The least recently used one is forgotten first. If this
    happens during a fetch of its key, the fetched answer is refused.

    `entropy` makes the epoch of a new floor. For `believe_after` (seconds) see
    `Doubt.is_believed` in core/cache/version_verdict.
    """

    is_up: Final = True  # an attribute: each hit reads it, and a property would be slower

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
        self._floors = _Floors(max_floors)
        self._orders: LRUCache[str, Orders] = LRUCache(max_floors)
        self._partition_invalidations: LRUCache[str, float] = LRUCache(max_floors)

    @property
    def holds_bodies(self) -> bool:
        """Always False."""
        return False

    def record(self, key: Key) -> Record | None:
        """The floor of the key, or None."""
        return self._floors.get(key)

    def ordered_at(self, key: Key) -> float:
        """The time of the last order without a version about this training (-inf: none)."""
        orders = self._orders.get(key.training_id)
        return -math.inf if orders is None else orders.ordered_at

    async def lookup(self, key: Key) -> Found:
        """As SharedStore.lookup. There is never a body."""
        record = self._floors.get(key)
        struck_at = self._partition_invalidations.get(key.partition, -math.inf)
        if record is not None:
            return Found(None, record.as_floor(), struck_at)
        # If the key has no floor, only `Found.struck_at` shows that a hard order came.
        orders = self._orders.get(key.training_id)
        return Found(None, None, max(struck_at, orders.struck_at) if orders else struck_at)

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Standing | None]:
        """As SharedStore.confirm. `Standing.last` always returns None."""
        founds = {key: await self.lookup(key) for key in keys}
        return {
            key: None
            if found.floor is None
            else Standing(found.floor, lambda: None, found.struck_at)
            for key, found in founds.items()
        }

    async def begin(self, key: Key) -> Ticket:
        record = self.known_or_new(key)
        return Ticket(record.epoch, record.generation, self._clock.now())

    def known_or_new(self, key: Key) -> Record:
        """The floor of the key, which is made if there is none."""
        record = self._floors.get(key)
        if record is None:
            orders = self._orders.get(key.training_id)
            record = Record(epoch=self._entropy(), updated_at=orders.lowest if orders else None)
            self._floors[key] = record
        return record

    async def store(self, key: Key, entry: Entry, keep: float) -> Stored:
        """As SharedStore.store. `keep` has no effect."""
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
        return Stored(verdict, record.as_floor())

    async def drop(self, key: Key) -> None:
        record = self._floors.get(key)
        if record is not None:
            record.forget(self._clock.now())

    async def invalidate(
        self, training_id: str, updated_at: int | None, *, soft: bool = False
    ) -> None:
        """As SharedStore.invalidate. A floor that is made later begins with `Orders.lowest`."""
        now = self._clock.now()
        records = [self._floors[key] for key in self._floors.keys_of(training_id)]
        orders = self._orders.setdefault(training_id, Orders())
        if soft:
            orders.add_soft(updated_at)
        else:
            orders.add(updated_at, now)
        if updated_at is None:
            orders.ordered_at = max(orders.ordered_at, now)
        bound = orders.soft_bound if soft else orders.bound
        for record in records:
            record.invalidate(None if updated_at is None else bound, now, soft=soft)

    async def invalidate_key(self, key: Key) -> None:
        self.known_or_new(key).invalidate(None, self._clock.now(), soft=False)

    async def invalidate_partition(self, partition: str) -> None:
        before = self._partition_invalidations.get(partition, -math.inf)
        self._partition_invalidations[partition] = max(self._clock.now(), before)

    async def purge(self, partition: str | None, *, soft: bool) -> int:
        """As SharedStore.purge. `soft` has no effect: it concerns bodies, which are in L1."""
        keys = [key for key in self._floors if partition in (None, key.partition)]
        for key in keys:
            self._floors[key].forget(self._clock.now())
        return len(keys)


class _Floors(LRUCache[Key, "Record"]):
    """At most `most` floors, with an index: the keys of each training. Without the index, an order
    for 1,000 trainings would search all floors 1,000 times (each time 5 ms for 100,000 floors)."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._keys: dict[str, tuple[Key, ...]] = {}

    def keys_of(self, training_id: str) -> tuple[Key, ...]:
        return self._keys.get(training_id, ())

    def __setitem__(self, key: Key, record: Record) -> None:
        is_new = key not in self
        super().__setitem__(key, record)
        if is_new:
            self._keys[key.training_id] = (*self.keys_of(key.training_id), key)

    def __delitem__(self, key: Key) -> None:
        super().__delitem__(key)
        left = tuple(each for each in self._keys.pop(key.training_id) if each != key)
        if left:
            self._keys[key.training_id] = left


@dataclass(slots=True)
class Record(Known):
    """A floor. `epoch` and `generation` are explained in docs/glossary.md."""

    epoch: str = field(kw_only=True)
    generation: int = 0

    def as_floor(self) -> Floor:
        """The floor as the port returns it."""
        return Floor(self.epoch, self.generation, self.updated_at, self.digest, self.started)

    def judge(self, entry: Entry) -> StoreVerdict:
        """The verdict on an entry, as in store.lua."""
        if (entry.epoch, entry.generation) != (self.epoch, self.generation):
            return StoreVerdict.INVALIDATED
        return self.verdict(entry)

    def believes(self, entry: Entry, believe_after: float) -> bool:
        """As `Known.believes`. A version that is believed becomes the known version."""
        if not Known.believes(self, entry, believe_after):
            return False
        self._begin_era()
        self.updated_at, self.last, self.digest = entry.updated_at, Last.VERSION, entry.digest
        self.started, self.doubt, self.raised_from = entry.confirmed_at, None, None
        return True

    def forget(self, now: float) -> None:
        """Rule out all entries, and pages that were asked for before `now`. The next answer is
        accepted, whatever its version is."""
        self._begin_era()
        self.updated_at, self.last, self.digest, self.started = None, Last.NONE, "", now
        self.doubt, self.trusts_next, self.raised_from = None, True, None

    def learn_of(self, entry: Entry) -> None:
        """Raise the floor to the version of an entry that an order ruled out during its fetch. A
        caller perhaps gets this entry, so later requests must not get an older version. A version
        far in the future changes nothing, because it is perhaps a mistake."""
        same = entry.epoch == self.epoch and era(entry.generation) == era(self.generation)
        if not same or entry.updated_at is None or entry.is_ahead:
            return
        if before(self.updated_at, entry.updated_at):
            self.raise_to(entry.updated_at, entry.confirmed_at)

    def invalidate(self, bound: Instant | None, now: float, *, soft: bool) -> None:
        """Apply an order for the versions below `bound` (None: all versions)."""
        if bound is None:
            self.generation += SOFT if soft else 1
        elif not soft:
            self.raise_to(bound, now)
        elif before(self.updated_at, bound) or self._is_negative_after(bound):
            self._raise_softly(bound, now)

    def _begin_era(self) -> None:
        self.generation = next_era(self.generation)

    def raise_to(self, bound: Instant, now: float) -> None:
        """Rule out versions below `bound`, and negative answers (404 or 410) of fetches that began
        before `now`."""
        if before(self.raised_from or self.updated_at, bound) or self._is_negative_after(bound):
            self.updated_at = max(bound, self.updated_at or bound)
            self.last, self.digest, self.raised_from = Last.NONE, "", None
            self.started = max(self.started, now)

    def _is_negative_after(self, bound: Instant) -> bool:
        """Whether the last answer is negative, and `bound` is the version that was known before.
        An order that names `bound` says that this version exists, so the answer is ruled out."""
        return self.last is Last.NEGATIVE and self.updated_at == bound

    def _raise_softly(self, bound: Instant, now: float) -> None:
        """As `raise_to`, but the stored version can still be used for rescue. `raised_from`
        remembers the stored version."""
        if self.last is not Last.VERSION:
            self.raise_to(bound, now)
            return
        self.raised_from, self.updated_at = self.raised_from or self.updated_at, bound
        self.started = max(self.started, now)
