"""Version floors in memory, for a process alone: what RedisStore is for replicas.

Follows the rules of adapters/redis/lua one for one; bodies live in L1 only. Nothing here
waits; it is async because the port is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from cachetools import LRUCache

from gateway.adapters.ledger.orders import Orders
from gateway.core.doubt import Doubt, doubt_of
from gateway.core.entry import Entry, Floor, Key, Ticket
from gateway.core.instant import Instant
from gateway.core.status import StoreVerdict
from gateway.ports import Clock, Copies, Found, Standing, Stored


class Last(Enum):
    """What the last answer taken under a floor was."""

    NONE = "-"
    VERSION = "v"
    NEGATIVE = "n"


@dataclass(slots=True)
class Record:
    """A floor, and what scripts know beside it.

    `trusts_next`: nothing came since a drop; `ordered_at`: when an event last invalidated it.
    """

    epoch: str
    generation: int = 0
    updated_at: Instant | None = None
    last: Last = Last.NONE
    digest: str = ""
    started: float = 0.0
    doubt: Doubt | None = None
    trusts_next: bool = False
    ordered_at: float = 0.0

    def seen(self) -> Floor:
        """The floor as others see it."""
        return Floor(self.epoch, self.generation, self.updated_at, self.digest, self.started)

    def judge(self, entry: Entry) -> StoreVerdict:
        """What store.lua says to it.

        A negative entry has no version: it and what follows it are ordered by their fetches.
        """
        if (entry.epoch, entry.generation) != (self.epoch, self.generation):
            return StoreVerdict.INVALIDATED
        is_later = entry.confirmed_at >= self.started
        if entry.updated_at is None:
            return self._judge_negative(is_later)
        if entry.is_ahead and _before(self.updated_at, entry.updated_at) and not self.trusts_next:
            return StoreVerdict.AHEAD
        if _before(entry.updated_at, self.updated_at):
            return StoreVerdict.OLDER
        if self.last is Last.NEGATIVE and not is_later:
            return StoreVerdict.OLDER
        if self.last is Last.VERSION and entry.updated_at == self.updated_at:
            if entry.digest == self.digest:
                return StoreVerdict.UNCHANGED
            return StoreVerdict.CHANGED if is_later else StoreVerdict.OLDER
        return self._news()

    def _judge_negative(self, is_later: bool) -> StoreVerdict:
        if not is_later:
            return StoreVerdict.OLDER
        return StoreVerdict.UNCHANGED if self.last is Last.NEGATIVE else self._news()

    def _news(self) -> StoreVerdict:
        known_nothing = self.last is Last.NONE and self.updated_at is None
        return StoreVerdict.FIRST if known_nothing else StoreVerdict.CHANGED

    def take(self, entry: Entry) -> None:
        """Know this answer from now on."""
        self.last = Last.NEGATIVE if entry.updated_at is None else Last.VERSION
        if _before(self.updated_at, entry.updated_at):
            self.updated_at = entry.updated_at
        self.digest = entry.digest
        self.started = max(self.started, entry.confirmed_at)
        self.trusts_next = False
        if self.doubt is not None and self.doubt.is_ended_by(entry):
            self.doubt = None

    def believes(self, entry: Entry, believe_after: float) -> bool:
        """Note an answer that was refused; whether it is believed, and known, from now on."""
        behind = _before(entry.updated_at, self.updated_at)
        ahead = entry.is_ahead and not behind
        if entry.updated_at is None or not (behind or ahead) or entry.confirmed_at < self.started:
            return False  # refused for its fetch, which others have overtaken
        doubt = doubt_of(entry) if self.doubt is None else self.doubt.after(entry, self.updated_at)
        self.doubt, self.trusts_next = doubt, False
        if not doubt.is_believed(believe_after):
            return False
        self.generation += 1
        self.updated_at, self.last, self.digest = entry.updated_at, Last.VERSION, entry.digest
        self.started, self.doubt = entry.confirmed_at, None
        return True

    def forget(self) -> None:
        """Rule out all there is, know no version any more, and take the next one unquestioned."""
        self.generation += 1
        self.updated_at, self.last, self.digest, self.started = None, Last.NONE, "", 0.0
        self.doubt, self.trusts_next = None, True

    def raise_to(self, bound: Instant, now: float) -> None:
        """Rule out what is older than the bound, and negative answers to earlier calls."""
        if _before(self.updated_at, bound):
            self.updated_at, self.last, self.digest = bound, Last.NONE, ""
            self.started = max(self.started, now)


def _before(one: Instant | None, other: Instant | None) -> bool:
    """Whether a version precedes another; None precedes all of them."""
    return other is not None and (one is None or one < other)


class Ledger:
    """SharedStore without bodies; `entropy` makes the epoch of each floor.

    At most `max_floors` floors, the least recently used forgotten first: such a key is
    "unknown" again, and a fetch that began under its floor is refused.
    """

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
        self._strikes: LRUCache[str, float] = LRUCache(max_floors)

    @property
    def is_up(self) -> bool:
        """Always."""
        return True

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

    async def lookup(self, key: Key) -> Found:
        """The floor alone."""
        record = self._floors.get(key)
        struck_at = self._strikes.get(key.partition, -math.inf)
        orders = self._orders.get(key.training_id)
        if record is None and orders is not None:
            return orders.found(struck_at)
        return Found(None, None if record is None else record.seen(), struck_at)

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
            record = Record(self._entropy(), updated_at=orders.bound if orders else None)
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
        elif verdict is not StoreVerdict.INVALIDATED and record.believes(
            entry, self._believe_after
        ):
            verdict = StoreVerdict.BELIEVED
        return Stored(verdict, record.seen())

    async def drop(self, key: Key) -> None:
        """Raise the generation and forget the version of one key."""
        record = self._floors.get(key)
        if record is not None:
            record.forget()

    async def invalidate(self, training_id: str, updated_at: int | None) -> None:
        """Make what is older than `updated_at` (all, for None) unusable in every partition.

        A partition without a floor has neither an entry nor a fetch in flight; what it may
        fetch later is bound as well, as long as the event is remembered.
        """
        records, now = self._records(lambda key: key.training_id == training_id), self._clock.now()
        orders = self._orders.setdefault(training_id, Orders())
        orders.add(updated_at, now)
        for record in records:
            record.ordered_at = now
            if updated_at is None:
                record.generation += 1
            elif orders.bound is not None:
                record.raise_to(orders.bound, now)

    async def strike(self, partition: str) -> None:
        """Rule out all that was fetched for a partition up to now."""
        before = self._strikes.get(partition, -math.inf)
        self._strikes[partition] = max(self._clock.now(), before)

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
