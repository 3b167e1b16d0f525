"""Looks up, stores and drops entries in the two tiers: L1 (memory of this replica) and L2 (Redis).

While Redis is away, only L1 is used. A process without Redis has its floors in memory. A gap is a
time in which this replica has perhaps missed orders.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from gateway.core.cache.content_coding import coded_body, coded_entry, is_worth_coding
from gateway.core.cache.entry import Entry, Floor, Key, Ticket, era, leaves_nothing
from gateway.core.cache.entry_headers import coded_head
from gateway.core.cache.policy import Candidate, Rules, reconcile
from gateway.core.cache.version_verdict import before, supersedes
from gateway.core.errors import RedisUnavailable
from gateway.core.instant import Instant
from gateway.core.vocabulary import Part, StoreVerdict, Tier
from gateway.flow.cache.l1_revalidation import Confirming
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.cache.local_versions import Alone, is_passed, overrules
from gateway.flow.singleflight import Course
from gateway.flow.timings import on
from gateway.ports import Bus, Clock, Found, Held, SharedStore, Stored

_MOST_PARTITIONS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Seen:
    """The result of a look-up in both tiers.

    held          the entry; perhaps L1 does not have it any more
    below_floor   `held` may only be used for rescue
    """

    held: Held
    tier: Tier
    below_floor: bool


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
        self._clock = clock
        self._rules = rules
        self.held = local.peek
        self._alone = Alone(local, rules.windows.believe_after)
        self.orders = 0  # how many orders were applied to L1
        # How many of them were purges, by partition (None: of all partitions).
        self._purges: LRUCache[str | None, int] = LRUCache(_MOST_PARTITIONS)
        self.confirming = Confirming(
            local, shared, bus, clock, self.render, l1_lifetime=l1_lifetime
        )

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
            *self._rules.head(entry),
            checked_at,
            is_plain=entry.updated_at is not None and not entry.selecting,
            is_verbatim=self._rules.is_verbatim,
            is_codable=is_worth_coding(entry),
        )

    def coded(self, key: Key, held: Held) -> Held:
        """The compressed form of the entry, or the entry itself if compressing gains nothing."""
        if held.is_codable and held.coded is None:
            body = coded_body(held.entry.body)
            held.is_codable = body is not None
            if body is not None:
                entry = coded_entry(held.entry, body)
                head, brief_at = coded_head(held.head, held.entry, len(body))
                held.coded = held.but(entry=entry, head=head, brief_at=brief_at)
                if self._local.peek(key) is held:
                    self._local.put(key, held)  # the entry takes more memory now
        return held.coded or held

    async def lookup(self, key: Key, flight: Course) -> Seen | None:
        """The best entry of both tiers (see `reconcile`). None if no entry may be used.

        The entry is put into L1, if `flight` is still current at the end.
        """
        with on(Part.LOOKUP):
            held = self._local.peek(key)
            confirmed = None if held is None else await self._confirmed(key)
            return confirmed or await self._read(key, flight)

    async def _confirmed(self, key: Key) -> Seen | None:
        if await self.confirming.caught_up(key):
            held = self._local.peek(key)
            if held is not None and self.confirming.vouches(key, held):
                return Seen(held, Tier.L1, below_floor=False)
        try:
            agreed = await self.confirming.confirm((key,))
        except RedisUnavailable:
            return None
        held = self._local.peek(key)
        return Seen(held, Tier.L1, below_floor=False) if agreed and held is not None else None

    async def _read(self, key: Key, flight: Course) -> Seen | None:
        asked_at = self._clock.monotonic()
        try:
            found = await self._shared.lookup(key)
        except RedisUnavailable:
            return self._held_alone(key)
        return self._judged(key, flight, asked_at, found)

    def _judged(self, key: Key, flight: Course, asked_at: float, found: Found) -> Seen | None:
        held = self._local.peek(key)  # read only now: perhaps a fetch ended while Redis was asked
        if found.floor is None and held is not None and held.checked_at >= asked_at:
            # Redis agreed with this entry after `asked_at`, so `found` is outdated.
            return self._by_itself(key, held, self.confirming.hears_orders(held.entry))
        local, theirs = None if held is None else held.entry, found.entry
        if local is not None and self._is_struck(local, found):
            self._give_up(key, local)
            local, held = None, None
        known = local or self._alone.latest.of(key)
        if known is not None and theirs is not None and is_passed(theirs, known):
            theirs = None
        candidate = reconcile(local, theirs, found.floor)
        if candidate is None:
            return None
        seen = self._as_seen(candidate, held, asked_at)
        if flight.is_current:
            self._remember(key, seen, asked_at)
        elif self._local.peek(key) is None:
            # A request gets this entry, but L1 does not. So only its version is noted.
            self._alone.latest.note(key, seen.held.entry)
        return seen

    def _held_alone(self, key: Key) -> Seen | None:
        held = self._local.peek(key)
        entry = None if held is None else held.entry
        return self._by_itself(key, held, self.confirming.vouches_alone(entry))

    def _by_itself(self, key: Key, held: Held | None, vouches: bool) -> Seen | None:
        """The result from L1 alone. `vouches` False: the entry may only be used for rescue."""
        if held is None or not self._gaps_allow(held.entry):
            return None
        return Seen(held, Tier.L1, below_floor=held.is_purged or not vouches)

    def _remember(self, key: Key, seen: Seen, asked_at: float) -> None:
        """Put the entry into L1, also if it may only be used for rescue. This replica then knows
        the version of the entry, even if Redis loses this version."""
        if not seen.below_floor:
            seen.held.checked_at = max(seen.held.checked_at, asked_at)
        elif seen.tier is Tier.L2:
            seen.held.leave_to_rescue()
        self._local.put(key, seen.held)

    def _give_up(self, key: Key, entry: Entry) -> None:
        """Drop the entry from L1, and remember its version."""
        self._alone.latest.note(key, entry)
        self._local.drop(key)

    def _is_struck(self, local: Entry, found: Found) -> bool:
        """Whether the entry in L1 must not be used at all, not even for rescue. True if an order or
        a 401 ruled it out, or if this replica has perhaps missed such an order. Also True if a
        later answer replaced the entry, and Redis has lost the body of this answer."""
        if local.confirmed_at <= found.struck_at:
            return True
        of_this_life = found.floor is not None and found.floor.epoch == local.epoch
        if not of_this_life and not self.confirming.hears_orders(local):
            return True
        if found.floor is None or found.entry is not None:
            return False
        if not (self._shared.holds_bodies and of_this_life):
            return False
        if _is_replaced(local, found.floor):
            return True
        return local.is_below(found.floor) and not _is_left(local, found.floor)

    def _gaps_allow(self, entry: Entry) -> bool:
        """Whether the entry may be used although this replica perhaps missed orders during gaps.
        False if the upstream last confirmed the entry before the end of a gap, and the `limit` of
        this gap has passed (see `MissedOrders`)."""
        return self._clock.monotonic() < self.confirming.missed.until(entry.confirmed_at)

    def _as_seen(self, candidate: Candidate, held: Held | None, asked_at: float) -> Seen:
        if held is not None and held.entry is candidate.entry:
            return Seen(held, Tier.L1, candidate.below_floor or held.is_purged)
        return Seen(self.render(candidate.entry, asked_at), Tier.L2, candidate.below_floor)

    async def begin(self, key: Key) -> Ticket:
        """Take the ticket of a fetch: epoch and generation of the floor. While Redis is away, the
        epoch of the ticket is empty, and the generation is 0."""
        try:
            return await self._shared.begin(key)
        except RedisUnavailable:
            return Ticket(epoch="", generation=0, started=self._clock.now())

    async def store(self, key: Key, held: Held, flight: Course) -> Stored:
        """Offer a fetched entry to Redis, and put it into L1 if Redis accepts it. Two kinds of
        refused entries are put into L1 too:

        - An entry that only soft orders rule out, for rescue.
        - An entry whose floor Redis lost: perhaps only this replica knows the entry's version.

        If an order comes during the offer, nothing is put into L1: perhaps Redis judged the entry
        before the order.

        After a refusal, Redis is asked before L1 serves the key again. Reason: the requests that
        wait for this fetch perhaps get the refused entry. If Redis were not asked, the next request
        could get an older entry from L1.
        """
        if not flight.may_store:
            self._alone.gave(key, held, None, may_hold=False)
            return Stored(StoreVerdict.INVALIDATED, None)
        heard = flight.orders
        stored = await self.offer(key, held, is_current=flight.is_current)
        if stored.verdict.is_refusal:
            if stored.verdict is StoreVerdict.INVALIDATED:
                if flight.orders == heard and _is_left(held.entry, stored.floor):
                    held.leave_to_rescue()
                    self._alone.gave(key, held, stored.floor, may_hold=True, is_left=True)
                else:
                    self._alone.gave(key, held, stored.floor, may_hold=flight.is_current)
            self.doubt(key)
            return stored
        self._alone.took(key, held.entry)
        if stored.floor is not None and stored.floor.generation != held.entry.generation:
            # Redis believed the entry, and so raised the generation of the floor.
            held.entry = held.entry.but(generation=stored.floor.generation)
        if self.holds_later(key, held.entry):
            return stored
        if flight.orders > heard:
            self._give_up(key, held.entry)
        else:
            self._local.put(key, held)
        return stored

    def holds_later(self, key: Key, entry: Entry) -> bool:
        """Whether L1 has a later entry than this one. If the epochs are equal but the generations
        differ, the result is False, because an order came between the two fetches. If the clock was
        set back between the two fetches, only the versions are compared."""
        held = self._local.peek(key)
        if held is None:
            return False
        known, now = held.entry, self._clock.now()
        same_floor = (known.epoch, known.generation) == (entry.epoch, entry.generation)
        if same_floor and known.is_from_the_future(now) and not entry.is_from_the_future(now):
            return entry.updated_at is not None and before(entry.updated_at, known.updated_at)
        return overrules(known, entry) or (same_floor and not supersedes(entry, known))

    async def offer(self, key: Key, held: Held, *, is_current: bool = True) -> Stored:
        """Offer the entry to Redis, unless `Alone.refuses` refuses it. While Redis is away, this
        replica judges the entry, but refuses it if an order came (`is_current` False)."""
        refused = self._alone.refuses(key, held.entry)
        if refused is not None:
            return refused
        try:
            return await self._shared.store(key, held.entry, self._rules.windows.keep)
        except RedisUnavailable:
            if not is_current:
                return Stored(StoreVerdict.INVALIDATED, None)
            held.doubt()
            return self._alone.judge(key, held.entry)

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
        self.orders += 1
        for key in self._local.keys(training_ids=training_ids):
            held = self._local.peek(key)
            if held is None or not self.is_passed(key, updated_at):
                continue
            is_soft = soft or writer not in (None, key.partition)
            if is_soft and not held.entry.is_negative:
                held.leave_to_rescue()
            else:
                self._give_up(key, held.entry)

    def purge_local(self, partition: str | None, *, soft: bool) -> int:
        """Drop the entries of a partition (None: of all) from L1. `soft`: the entries stay for
        rescue. Returns the number of these entries."""
        self.orders += 1
        self._purges[partition] = self._purges.get(partition, 0) + 1
        self._alone.latest.forget_all(partition)
        keys = self._local.keys(partition=partition)
        for key in keys:
            held = self._local.peek(key)
            if soft and held is not None:
                held.leave_to_rescue()
            else:
                self._local.drop(key)
        return len(keys)

    async def drop(self, key: Key) -> None:
        """Drop the entry of one key from both tiers. If Redis is away, L1 drops the entry, and then
        RedisUnavailable is raised."""
        try:
            await self._shared.drop(key)
        finally:
            self._alone.latest.forget(key)
            self._local.drop(key)  # last: meanwhile a look-up may have put an entry into L1


def _is_replaced(entry: Entry, floor: Floor) -> bool:
    """Whether a later answer replaced the entry, although the floor still has its version. The
    answer was a 404 or 410, or had the same version with another body. If the list or an order
    has named the version after a 404 or 410, the floor has no digest."""
    is_other = entry.digest != floor.digest and entry.updated_at == floor.updated_at
    return is_other and entry.confirmed_at < floor.started


def _is_left(entry: Entry, floor: Floor | None) -> bool:
    """Whether only soft orders without a version ruled the entry out. Rescue may then use it."""
    if floor is None or floor.epoch != entry.epoch:
        return False
    if leaves_nothing(entry.generation, floor.generation):
        return False
    is_passed_by = entry.updated_at is None or before(entry.updated_at, floor.updated_at)
    return era(floor.generation) == era(entry.generation) and not is_passed_by
