"""Decides whether L1, the cache in this process, may serve an entry without asking Redis.

Words of this module:

confirm  Redis confirms an entry if it says that the entry is still valid. No body is read for this.
         `Held.checked_at` is the time of the last confirmation by Redis (monotonic).
         But `Entry.confirmed_at` is when upstream confirmed the response (shared clock)
order    an order to invalidate entries. Its result says whether all replicas have applied it
counted  orders wait until this replica has applied them (see `Bus.counted_until`)
member   this replica may serve entries without Redis (see `Bus.vouched_until`)
due      a read has found that the entry should soon be confirmed again
doubted  Redis has to be asked before the entry is served (`Held.doubt`), unless Redis is away
gap      a time in which this replica may have missed orders
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Final

from gateway.core.cache.entry import Confirmation, Entry, Floor, Key
from gateway.core.errors import RedisUnavailable
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Outcome, RedisOperation
from gateway.flow.answer import Answer
from gateway.ports import NEVER, Bus, Clock, Held, LocalStore, Observer, SharedStore, Standing

# Fractions of `l1_lifetime`. A read makes an entry due when _DUE has passed since its confirmation.
# _GATHER later, one question asks Redis about all due entries. An entry that is read at least every
# _GATHER is thus confirmed within `l1_lifetime` (0.2 + 0.4 + 0.4 = 1). If an entry is read less
# often, a read may find a confirmation that is too old. This read has to ask Redis.
_DUE: Final = 0.2
_GATHER: Final = 0.4
# The outcomes of answers from fresh entries. These answers start no refresh.
_ALIKE: Final = (Outcome.FRESH, Outcome.NEGATIVE)
# Keys in one question to Redis. One question about a hundred keys costs as much as ten questions
# about one key each. Other tasks run between two questions.
_BATCH: Final = 100
# The most keys that `run_catching_up` confirms. Each other key is confirmed when it is read.
_MOST: Final = 5_000
# For this many seconds after the return of Redis, L1 answers as it did without Redis. In this time
# the bus connects again, and the entries that were read last are confirmed.
_RETURN: Final = 2.0


class Confirming:
    """Asks Redis again and again to confirm the entries of L1 that callers read.

    More reads of an entry do not cause more questions. A confirmation counts from the moment when
    the question was sent. An entry that was dropped, replaced or doubted after this moment is not
    confirmed.
    """

    def __init__(
        self,
        local: LocalStore,
        shared: SharedStore,
        bus: Bus,
        clock: Clock,
        render: Callable[[Entry, float], Held],
        *,
        l1_lifetime: float,
    ) -> None:
        self._local = local
        self._shared = shared
        self._bus = bus
        self._clock = clock
        self._render = render
        self._lifetime = l1_lifetime
        self._due_after = l1_lifetime * _DUE
        self._gather = l1_lifetime * _GATHER
        # The end of the last gap (monotonic). A confirmation before this time no longer counts.
        self._suspect_until = NEVER
        self._offset = 0.0
        self.begin_edition()
        self._due: set[Key] = set()
        self._any_due = asyncio.Event()
        self.missed = MissedOrders(clock)
        # The value of `Bus.vouched_until` when a read last found Redis away. NEVER: no read has
        # found Redis away since the last `_return`.
        self._alone_until = NEVER
        self._grace_until = NEVER
        self._all_due = asyncio.Event()
        self._catching_up: dict[Key, asyncio.Event] = {}  # each is set after Redis was asked

    def vouches(self, key: Key, held: Held) -> bool:
        """Whether L1 may serve the entry without asking Redis.

        The result is False if the entry may only be used for rescue (if upstream fails or may not
        be called). Any other entry may be served in these cases:

        - In a process without Redis: if the entry is not doubted.
        - While Redis answers: if the entry was confirmed less than `l1_lifetime` ago and after the
          last gap, and this replica is counted.
        - Shortly after the return of Redis (see `_return`): if the entry is not doubted.
        - While Redis is away: if `vouches_alone` is True.

        Missed orders shorten the times of the last two cases (see `MissedOrders.until`).
        """
        if held.is_purged:
            return False
        if not self._shared.reaches(key):
            self._alone_until = self._bus.vouched_until
            return self.vouches_alone(held.entry)
        if not self._shared.holds_bodies:
            return held.checked_at > NEVER
        now = self._clock.monotonic()
        if self._alone_until > NEVER and self._shared.is_up:
            self._return(now)
        if not self._is_confirmed(held, now):
            return held.checked_at > NEVER and now < self._graced_until(held.entry)
        if now - held.checked_at >= self._due_after:
            self._mark(key)
        return True

    def is_counted(self) -> bool:
        """Whether orders wait until this replica has applied them. If True, this replica has
        applied each order whose result says that all replicas applied it."""
        until = self._bus.counted_until
        if not self._bus.is_connected:
            # A new replica is not a member yet, and is counted only while the bus is connected.
            # Without this rule, an order could be missed: Redis may lose the record of the new
            # replica before other replicas have read this record. Orders then do not wait for the
            # new replica, but they still arrive over the bus.
            until = min(until, self._bus.vouched_until)
        return self._clock.monotonic() < until

    def _is_confirmed(self, held: Held, now: float) -> bool:
        return (
            held.checked_at >= self._suspect_until
            and self.is_counted()
            and now - held.checked_at < self._lifetime
        )

    def _return(self, now: float) -> None:
        """Start to confirm the entries of L1, because Redis is back. For `_RETURN` seconds at most,
        L1 may still serve entries that are not confirmed yet. This is safe: an order waits for this
        replica, or its result names the time until which this replica may serve its entries."""
        self._grace_until = min(now + _RETURN, self._alone_until)
        self._alone_until = NEVER
        self._all_due.set()

    def _graced_until(self, entry: Entry) -> float:
        return min(self._grace_until, self.missed.until(entry.confirmed_at))

    def vouches_alone(self, entry: Entry | None = None) -> bool:
        """Whether this replica may serve the entry without Redis. The replica must be a member.
        After a gap, the entry may be served for a limited time only (see `MissedOrders.until`).
        `entry` None: gaps are ignored."""
        return self._clock.monotonic() < self._alone_with(entry)

    def hears_orders(self, entry: Entry | None = None) -> bool:
        """Whether this replica has surely applied each order whose result says that all replicas
        applied it. The replica must be a member, or it must be counted while Redis is up. The
        result of an order does not mention a replica that is neither. Gaps limit the time as in
        `vouches_alone`."""
        now = self._clock.monotonic()
        hears = now < self._bus.vouched_until or (self._shared.is_up and self.is_counted())
        return hears and now < self._missed_until(entry)

    def _alone_with(self, entry: Entry | None) -> float:
        return min(self._bus.vouched_until, self._missed_until(entry))

    def _missed_until(self, entry: Entry | None) -> float:
        return math.inf if entry is None else self.missed.until(entry.confirmed_at)

    def stands_for(self, key: Key, answer: Answer) -> float:
        """The seconds for which L1 may give this answer to every request, if `edition` stays the
        same. Returns 0.0 if the answer may start a refresh, or depends on fields of the request
        (`Vary`)."""
        held, now = answer.content, self._clock.now()
        if answer.outcome not in _ALIKE or isinstance(held, Reply) or held.entry.selecting:
            return 0.0
        entry = held.entry
        if now < entry.confirmed_at or not entry.is_fresh(now):
            return 0.0
        return min(entry.freshness_lifetime - entry.age(now), self.unasked_for(key, held))

    def unasked_for(self, key: Key, held: Held) -> float:
        """The seconds during which a read of the entry neither asks Redis nor makes the entry
        due."""
        if not self._shared.holds_bodies:
            return math.inf
        now = self._clock.monotonic()
        if not self._shared.reaches(key):
            return self._alone_with(held.entry) - now
        if not self._is_confirmed(held, now):
            return self._graced_until(held.entry) - now
        unasked = now - held.checked_at
        due = self._due_after if unasked < self._due_after else self._lifetime
        # The result for a new replica, which is not a member yet, is negative. Each of its hits has
        # to check that the bus is connected (see `is_counted`).
        sure_until = min(self._bus.counted_until, self._bus.vouched_until)
        return min(due - unasked, sure_until - now)

    def edition(self, key: tuple[str, str]) -> object:
        """An object that is noted with each decision to serve an entry. The decision may be used
        again only while `edition` returns the same object. The object is another one after a gap,
        after a change of the shared clock, and while Redis is away."""
        if self._clock.offset != self._offset:
            self._offset = self._clock.offset
            self.begin_edition()
        shared = self._shared
        return (
            self._with_redis if shared.is_up or shared.reaches(Key(*key)) else self._without_redis
        )

    def begin_edition(self) -> None:
        """From now on, use no earlier decision again."""
        self._with_redis, self._without_redis = object(), object()

    def _mark(self, key: Key) -> None:
        if key not in self._due:
            self._due.add(key)
            self._any_due.set()

    def suspect(self, until: float = math.inf) -> None:
        """Note that a gap ends now. Each entry has to be confirmed again before L1 serves it.

        While Redis is away, and shortly after its return, L1 may serve entries that are not
        confirmed again. If `Entry.confirmed_at` is not after the gap, L1 may serve the entry only
        until `until` (monotonic).
        """
        self.missed.note(until)
        self._suspect_until = self._clock.monotonic()
        self.begin_edition()
        self._all_due.set()

    async def confirm(self, keys: Iterable[Key]) -> set[Key]:
        """Ask Redis about the entries of these keys in L1, except doubted entries. Returns the keys
        of the entries that Redis confirmed.

        Raises RedisUnavailable; nothing is changed then.
        """
        asked_at = self._clock.monotonic()
        asked = {
            key: held
            for key in keys
            if (held := self._local.peek(key)) is not None and held.checked_at > NEVER
        }
        if not asked:
            return set()
        standings = await self._shared.confirm(list(asked))
        return {
            key
            for key, held in asked.items()
            if key in standings
            and self._still_holds(key, held)
            and self._settle(key, held, standings[key], asked_at)
        }

    def _still_holds(self, key: Key, held: Held) -> bool:
        return self._local.peek(key) is held and held.checked_at > NEVER

    def _settle(self, key: Key, held: Held, standing: Standing | None, asked_at: float) -> bool:
        """Renew the entry if Redis confirms it, otherwise doubt it. Returns whether Redis confirms.

        `standing` None: Redis has no floor (the record of the key's versions). The entry is then
        doubted, because Redis may have lost an order together with the floor.
        """
        entry = None if standing is None else _confirmed(held.entry, standing)
        if entry is None:
            held.doubt()
            return False
        if entry is held.entry:
            held.checked_at = max(held.checked_at, asked_at)
        else:
            self._local.replace(key, self._render(entry, asked_at))
        return True

    def renew(self, key: Key, floor: Floor, last: Confirmation, asked_at: float) -> None:
        """Renew the entry in L1, because a page of the list of trainings has confirmed the version
        of `floor`. An entry with another version is doubted. A doubted entry is not renewed.

        `asked_at` is the time when the page was requested (monotonic).
        """
        held = self._local.peek(key)
        if held is not None and held.checked_at > NEVER:
            self._settle(key, held, Standing(floor, lambda: last), asked_at)

    async def run(self, observer: Observer) -> None:
        """Confirm due entries until cancelled."""
        while True:
            await self._any_due.wait()
            await self._clock.sleep(self._gather)
            self._any_due.clear()
            due, self._due = list(self._due), set()
            await self._confirm_all(due, observer)

    async def run_catching_up(self, observer: Observer) -> None:
        """After each gap, and after each return of Redis, confirm the entries that were read last.
        Runs until cancelled."""
        while True:
            await self._all_due.wait()
            self._all_due.clear()
            keys = [key for key in self._local.last_used(_MOST) if self._is_due(key)]
            self._catching_up = {key: asyncio.Event() for key in keys}
            try:
                await self._confirm_all(keys, observer)
            finally:
                self._caught_up(keys)

    async def caught_up(self, key: Key) -> bool:
        """Wait for `run_catching_up`, if it is about to ask Redis about this key. Returns True when
        Redis was asked, or when `run_catching_up` gave up after an error. Returns False at once if
        `run_catching_up` will not ask about this key."""
        asked = self._catching_up.get(key)
        if asked is None:
            return False
        await asked.wait()
        return True

    async def _confirm_all(self, keys: list[Key], observer: Observer) -> None:
        try:
            for start in range(0, len(keys), _BATCH):
                batch = keys[start : start + _BATCH]
                await self.confirm(batch)
                self._caught_up(batch)
        except RedisUnavailable:
            return  # the failure was logged where it happened; the next read asks again
        except Exception as fault:  # noqa: BLE001 - a failed batch must not end the replica
            observer.redis_failed(RedisOperation.CONFIRM, repr(fault))

    def _caught_up(self, keys: list[Key]) -> None:
        for key in keys:
            asked = self._catching_up.pop(key, None)
            if asked is not None:
                asked.set()

    def _is_due(self, key: Key) -> bool:
        held = self._local.peek(key)
        if held is None:
            return False
        unasked = self._clock.monotonic() - held.checked_at
        return held.checked_at < self._suspect_until or unasked >= self._due_after


def _confirmed(entry: Entry, standing: Standing) -> Entry | None:
    """The entry, or a renewed copy, if Redis confirms the entry. Otherwise None."""
    # Reading `standing.last` takes time. It is not needed for an entry as recent as the floor.
    known = entry.confirmed_at >= standing.floor.started
    confirmed = entry.confirmed_by(standing.floor, None if known else standing.last())
    if confirmed is None or confirmed.confirmed_at <= standing.struck_at:
        return None
    return confirmed


class MissedOrders:
    """The gaps: times in which this replica may have missed orders. Each gap has two times:

    over  the time when the gap ended (shared clock)
    end   the monotonic time until which entries that a missed order invalidated may be served

    All gaps whose `end` has passed are merged into one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gaps: list[tuple[float, float]] = []

    def note(self, until: float) -> None:
        """Note a gap that ends now. `until` is its `end`."""
        now = self._clock.monotonic()
        past = [over for over, end in self._gaps if end <= now]
        gaps = [(max(past), -math.inf)] if past else []
        gaps += [gap for gap in self._gaps if gap[1] > now]
        self._gaps = [*gaps, (self._clock.now(), until)]

    def until(self, confirmed_at: float) -> float:
        """The monotonic time until which an entry may be served without asking Redis.
        `confirmed_at` is `Entry.confirmed_at`. The result is infinite if all gaps ended before
        `confirmed_at`."""
        return min((end for over, end in self._gaps if confirmed_at <= over), default=math.inf)
