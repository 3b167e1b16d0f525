"""Looks up, stores and drops entries in the two tiers: L1 (memory of this replica) and L2 (Redis).

While Redis is away, only L1 is used. A gap is a time in which this replica has perhaps missed
orders.
"""

from __future__ import annotations

from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from cachetools import LRUCache

from gateway.core.cache.content_coding import coded_body, is_worth_coding
from gateway.core.cache.entry import Entry, FetchStart, Key
from gateway.core.cache.marks import Facts, State, Ticket, better, is_later, is_older
from gateway.core.cache.policy import Rules
from gateway.core.errors import RedisUnavailable
from gateway.core.instant import Instant
from gateway.core.vocabulary import Part, StoreVerdict, Tier
from gateway.flow.cache.l1_revalidation import Confirming
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.singleflight import Course
from gateway.flow.timings import on
from gateway.ports import NEVER, Bus, Clock, Found, Held, SharedStore, Stored

_MOST_PARTITIONS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Seen:
    """The result of a look-up in both tiers.

    held          the entry; perhaps L1 does not have it any more
    only_rescue   `held` may only be used for rescue
    """

    held: Held
    tier: Tier
    only_rescue: bool


class Tiers:
    """The two stores, used as if they were one."""

    def __init__(
        self,
        local: LocalStore,
        shared: SharedStore,
        bus: Bus,
        clock: Clock,
        rules: Rules,
        *,
        l1_lifetime: float,
    ) -> None:
        self._local = local
        self._shared = shared
        self.clock = clock
        self.rules = rules
        self.held = local.peek
        self.orders = 0  # how many orders were applied to L1
        # When the last of them was applied (monotonic), by partition (None: to all partitions).
        self._ordered_at: dict[str | None, float] = {None: NEVER}
        # How many of them were purges, by partition (None: of all partitions).
        self._purges: LRUCache[str | None, int] = LRUCache(_MOST_PARTITIONS)
        self.confirming = Confirming(
            local, shared, bus, clock, self.render, l1_lifetime=l1_lifetime
        )

    def ordered_at(self, partition: str) -> float:
        """When the last order about the partition was applied to L1, or was perhaps missed
        (monotonic)."""
        to_all, gap_ended_at = self._ordered_at[None], self.confirming.gap_ended_at
        return max(to_all, gap_ended_at, self._ordered_at.get(partition, NEVER))

    def knows_orders_since(self, partition: str, asked_at: float) -> bool:
        """Whether there was no order about the partition since `asked_at` (monotonic), as far as
        orders are complete (see `Confirming.hears_orders`)."""
        return asked_at > self.ordered_at(partition) and self.confirming.hears_orders()

    def _note_order(self, partition: str | None) -> None:
        self.orders += 1
        if len(self._ordered_at) > _MOST_PARTITIONS:
            self._ordered_at.clear()
            partition = None  # those of the others are forgotten
        self._ordered_at[partition] = self.clock.monotonic()

    def purges(self, partition: str) -> int:
        """A number that changes with each purge of the partition."""
        return self._purges.get(partition, 0) + self._purges.get(None, 0)

    def peek(self, key: Key) -> Held | None:
        """The entry that L1 may serve without asking Redis, or None."""
        held = self._local.get(key)
        if held is None or not self.confirming.vouches(key, held):
            return None
        return held

    def render(self, entry: Entry, checked_at: float) -> Held:
        """The entry with its rendered head."""
        return Held(
            entry,
            *self.rules.head(entry),
            checked_at,
            is_plain=entry.updated_at is not None and not entry.selecting,
            is_verbatim=self.rules.is_verbatim,
            is_codable=is_worth_coding(entry),
        )

    def coded(self, key: Key, held: Held) -> Held:
        """The compressed form of the entry, or the entry itself if compressing gains nothing."""
        if held.is_codable and held.coded is None:
            held.code(coded_body(held.entry.body))
            if self._local.peek(key) is held:
                self._local.put(key, held)  # the entry takes more memory now
        return held.coded or held

    async def lookup(self, key: Key, flight: Course) -> Seen | None:
        """The better entry of both tiers (see `better`). None if no entry may be used.

        The entry is put into L1, if `flight` is still current at the end.
        """
        with on(Part.LOOKUP):
            held = self._local.peek(key)
            confirmed = None if held is None else await self._confirmed(key)
            return confirmed or await self._read(key, flight)

    async def _confirmed(self, key: Key) -> Seen | None:
        try:
            agreed = await self.confirming.confirm((key,))
        except RedisUnavailable:
            return None
        held = self._local.peek(key)
        return Seen(held, Tier.L1, only_rescue=False) if agreed and held is not None else None

    async def _read(self, key: Key, flight: Course) -> Seen | None:
        asked_at = self.clock.monotonic()
        try:
            found = await self._shared.lookup(key)
        except RedisUnavailable:
            return self._held_alone(key)
        return self._judged(key, flight, asked_at, found)

    def _judged(self, key: Key, flight: Course, asked_at: float, found: Found) -> Seen | None:
        held = self._local.peek(key)  # read only now: perhaps a fetch ended while Redis was asked
        if held is not None and held.checked_at >= asked_at:
            # Redis agreed with this entry after `asked_at`, so `found` is outdated.
            return self._by_itself(key, held, self.confirming.hears_orders(held))
        seen = self._better(held, asked_at, found)
        if not flight.is_current:
            return seen
        if seen is None:
            self._local.drop(key)
        else:
            self._remember(key, seen, asked_at)
        return seen

    def _better(self, held: Held | None, asked_at: float, found: Found) -> Seen | None:
        facts = None if held is None else held.entry.facts
        best, state = better(found.marks, found.stored, facts)
        only_rescue = state is not State.CURRENT
        if held is not None and best is not None and best is facts:
            entry = held.entry.renewed_by(found.stored)
            only_rescue = only_rescue or held.is_purged
            if entry is not held.entry:
                held = self.render(entry, asked_at)
            return Seen(held, Tier.L1, only_rescue)
        if best is None or found.entry is None:
            return None
        return Seen(self.render(found.entry, asked_at), Tier.L2, only_rescue)

    def _held_alone(self, key: Key) -> Seen | None:
        held = self._local.peek(key)
        return self._by_itself(key, held, self.confirming.hears_orders(held))

    def _by_itself(self, key: Key, held: Held | None, vouches: bool) -> Seen | None:
        """The result from L1 alone. `vouches` False: the entry may only be used for rescue."""
        if held is None:
            return None
        return Seen(held, Tier.L1, only_rescue=held.is_purged or not vouches)

    def _remember(self, key: Key, seen: Seen, asked_at: float) -> None:
        """Put the entry into L1, also if it may only be used for rescue."""
        if not seen.only_rescue:
            seen.held.checked_at = max(seen.held.checked_at, asked_at)
        else:
            seen.held.leave_to_rescue()
        self._local.put(key, seen.held)

    async def begin(self, key: Key) -> FetchStart:
        """Begin a fetch. While Redis is away, no marks are read, and the ticket has no words."""
        try:
            return await self._shared.begin(key)
        except RedisUnavailable:
            return FetchStart(self.clock.now())

    async def store(self, key: Key, held: Held, flight: Course) -> Stored:
        """Offer a fetched entry to Redis, and put it into L1 if Redis accepts it. If an order came
        during the fetch, the entry is put into L1 only for rescue, and only if Redis stored it for
        rescue.

        After a refusal, Redis is asked before L1 serves the key again. Reason: the requests that
        wait for this fetch perhaps get the refused entry. If Redis were not asked, the next request
        could get an older entry from L1.
        """
        orders = self.orders
        stored = await self._offer(key, held, flight)
        if stored.verdict.is_refusal:
            self.doubt(key)
            if stored.facts == held.entry.facts and self.orders == orders:
                held.leave_to_rescue()
                self._local.put(key, held)
            return stored
        if stored.verdict is StoreVerdict.BELIEVED and stored.facts is not None:
            # To believe the entry, the store changed the words of the mark.
            held.entry = held.entry.but(ticket=stored.facts.ticket)
        if flight.is_current and not self.holds_later(key, held.entry):
            self._local.put(key, held)
        return stored

    async def _offer(self, key: Key, held: Held, flight: Course) -> Stored:
        entry = held.entry
        if not flight.may_store:
            return Stored(StoreVerdict.INVALIDATED, None)
        held_here = self._local.peek(key)
        is_known = held_here is not None and held_here.entry.updated_at == entry.updated_at
        if entry.is_ahead and not is_known:
            return Stored(StoreVerdict.AHEAD, None)
        if None not in entry.ticket:
            with suppress(RedisUnavailable):
                return await self._shared.store(key, entry.facts, entry, self.rules.windows.keep)
        held.doubt()
        # Redis perhaps has an older entry with later words.
        held.entry = entry.but(ticket=Ticket())
        return self._judged_alone(key, held.entry, flight)

    def _judged_alone(self, key: Key, entry: Entry, flight: Course) -> Stored:
        """The verdict while Redis is away: an entry in L1 that is later refuses this one."""
        known = self._local.peek(key)
        if not flight.is_current:
            return Stored(StoreVerdict.INVALIDATED, None)
        if known is None or known.is_purged:
            return Stored(StoreVerdict.FIRST, entry.facts)
        facts = known.entry.facts
        if facts.version == entry.updated_at:
            return Stored(StoreVerdict.UNCHANGED, entry.facts)
        is_refused = is_later(facts, entry.facts)
        return Stored(StoreVerdict.OLDER if is_refused else StoreVerdict.CHANGED, facts)

    async def store_item(self, key: Key, entry: Entry) -> Stored:
        """Offer an entry that was made from an item of the list. Raises RedisUnavailable."""
        keep = self.rules.windows.keep
        return await self._shared.store(key, entry.facts, entry, keep, is_item=True)

    def holds_later(self, key: Key, entry: Entry) -> bool:
        """Whether L1 has a later entry than this one, with the same words. If it is from the
        future, the clock was set back, and only the versions are compared."""
        held = self._local.peek(key)
        if held is None or held.is_purged or held.entry.ticket != entry.ticket:
            return False
        if held.entry.is_from_the_future(self.clock.now()):
            return is_older(entry.updated_at, held.entry.updated_at)
        return is_later(held.entry.facts, entry.facts)

    def doubt(self, key: Key) -> None:
        """Let the next request for this key ask Redis."""
        held = self._local.peek(key)
        if held is not None:
            held.doubt()

    def is_passed(self, key: Key, updated_at: Instant | None) -> bool:
        """Whether L1 has an entry without a version, or with a version below `updated_at` (None:
        whether L1 has any entry)."""
        held = self._local.peek(key)
        if held is None:
            return False
        known = held.entry.updated_at
        return updated_at is None or known is None or known < updated_at

    def give_up_passed(
        self,
        training_ids: Set[str],
        updated_at: Instant | None,
        *,
        soft: bool = False,
        writer: str | None = None,
    ) -> None:
        """Drop each entry of these trainings from L1, if `is_passed` is True for it. `soft`: these
        entries stay for rescue, except negative ones. If `writer` names a partition, those of other
        partitions stay for rescue too. L1 is searched only once: a search takes milliseconds, and
        an order can name 1,000 trainings."""
        self._note_order(None)
        for key in self._local.keys(training_ids=training_ids):
            held = self._local.peek(key)
            if held is None or not self.is_passed(key, updated_at):
                continue
            is_soft = soft or writer not in (None, key.partition)
            if is_soft and not held.entry.is_negative:
                held.leave_to_rescue()
            else:
                self._local.drop(key)

    def purge_local(self, partition: str | None, *, soft: bool) -> int:
        """Drop the entries of a partition (None: of all) from L1. `soft`: the entries stay for
        rescue. Returns the number of these entries."""
        self._note_order(partition)
        self._purges[partition] = self._purges.get(partition, 0) + 1
        keys = self._local.keys(partition=partition)
        for key in keys:
            held = self._local.peek(key)
            if soft and held is not None:
                held.leave_to_rescue()
            else:
                self._local.drop(key)
        return len(keys)

    async def drop(self, key: Key, facts: Facts) -> None:
        """Drop the entry of one key from both tiers, because of an answer with these `facts` that
        must not be stored. Answers of earlier fetches are refused from then on. If Redis is away,
        only L1 drops the entry."""
        try:
            with suppress(RedisUnavailable):
                await self._end(key, facts)
        finally:
            self._local.drop(key)  # last: meanwhile a look-up may have put an entry into L1

    async def forget(self, key: Key) -> None:
        """Drop the entry of one key from both tiers, as if an answer that must not be stored came
        now. Raises RedisUnavailable."""
        await self._end(key, Facts(None, Ticket(), 0.0, 0.0))
        self._local.drop(key)

    async def _end(self, key: Key, facts: Facts) -> None:
        if None in facts.ticket:  # the fetch began without Redis
            start = await self._shared.begin(key)
            facts = replace(facts, ticket=start.ticket, started=start.started)
        await self._shared.store(key, facts, None, self.rules.windows.keep)
