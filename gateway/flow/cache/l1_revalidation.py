"""Decides whether L1 may serve an entry without asking Redis.

Words of this module:

confirm  Redis says that the entry is still valid. `Held.checked_at` has the time. Here the word
         does not mean the confirmation by the API (`Entry.confirmed_at`)
alive    a replica is alive if orders wait for it (see `Bus.alive_until`)
listed   a replica is listed if no order is complete before it has applied it (see
         `Bus.listed_until`)
due      a read has found that the entry should soon be confirmed again
doubted  if Redis can be asked, it has to be asked before the entry is served (`Held.doubt`)
gap      a time in which this replica has perhaps missed orders
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Final

from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.marks import State, better
from gateway.core.errors import RedisUnavailable
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Outcome, RedisOperation
from gateway.flow.answer import Answer
from gateway.flow.cache.local_store import LocalStore
from gateway.ports import NEVER, Bus, Clock, ConnectionObserver, Found, Held, SharedStore

# Fractions of `l1_lifetime`. A read makes an entry due if the time _DUE has passed since the last
# confirmation. Redis is asked about a due entry after the time _GATHER, or earlier. If an entry is
# read at least once in each 0.4 of `l1_lifetime`, it is due at 0.6 at the latest. Redis is then
# asked at 1.0 at the latest. So the entry is confirmed in time.
_DUE: Final = 0.2
_GATHER: Final = 0.4
# The outcomes of the answers that L1 may repeat for the time that `stands_for` returns. Such an
# answer starts no refresh.
_NO_REFRESH: Final = (Outcome.FRESH, Outcome.NEGATIVE)
# At most this many keys are in one question to Redis. A question about a hundred keys costs as much
# as ten questions about one key each. Other tasks run between two questions.
_BATCH: Final = 100
# The most keys that `run_catching_up` confirms.
_MOST: Final = 5_000
# For this many seconds after the return of Redis, L1 answers as without Redis. Meanwhile the bus
# connects again, and entries are confirmed.
_RETURN: Final = 2.0


class Confirming:
    """Asks Redis again and again to confirm the entries of L1 that callers read.

    A confirmation counts from the moment when the question was sent. An entry that was dropped,
    replaced or doubted after this moment is not confirmed.
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
        # The end of the last gap (monotonic). An earlier confirmation no longer counts.
        self.gap_ended_at = NEVER
        self._offset = 0.0
        self.begin_edition()
        self._due: set[Key] = set()
        self._any_due = asyncio.Event()
        self._gap_ended = NEVER  # the same, on the shared clock
        # The value of `Bus.listed_until` at the last read that found Redis away. NEVER: Redis was
        # not away, or its return is already noted.
        self._alone_until = NEVER
        self._alone_gap = NEVER  # the end of the last gap at that read
        self._grace_until = NEVER
        self._all_due = asyncio.Event()

    def vouches(self, key: Key, held: Held) -> bool:
        """Whether L1 may serve the entry without asking Redis.

        While Redis answers, the entry needs a recent confirmation (see `_is_confirmed`). While
        Redis is away, `hears_orders` decides. For a moment after the return of Redis, L1 still
        serves what it was allowed to serve during the absence, except doubted entries (see
        `_return`).
        """
        if held.is_purged:
            return False
        if not self._shared.is_up:
            self._alone_until, self._alone_gap = self._bus.listed_until, self.gap_ended_at
            return self.hears_orders(held)
        if not self._shared.holds_bodies:
            return held.checked_at > NEVER
        now = self._clock.monotonic()
        if self._alone_until > NEVER:
            self._return(now)
        if not self._is_confirmed(held, now):
            return now < self._graced_until(held)
        if now - held.checked_at >= self._due_after and key not in self._due:
            self._due.add(key)
            self._any_due.set()
        return True

    def _is_confirmed(self, held: Held, now: float) -> bool:
        return (
            held.checked_at >= self.gap_ended_at
            and now < self._bus.alive_until
            and now - held.checked_at < self._lifetime
        )

    def _return(self, now: float) -> None:
        """Let L1 serve unconfirmed entries for a moment, because Redis is back. This is safe: an
        order waits for this replica, or its result says until when this replica may serve entries
        that the order rules out."""
        self._grace_until = min(now + _RETURN, self._alone_until)
        self._alone_until = NEVER
        self._all_due.set()

    def _graced_until(self, held: Held) -> float:
        is_graced = held.checked_at > NEVER and held.checked_at >= self._alone_gap
        return self._grace_until if is_graced else NEVER

    def hears_orders(self, held: Held | None = None) -> bool:
        """Whether this replica has surely applied to the entry all complete orders (see `listed`
        above). It must not have missed a notice since Redis or the API confirmed the entry. `held`
        None: since now."""
        return self._clock.monotonic() < self._bus.listed_until and not self._is_before_gap(held)

    def misses_orders(self) -> bool:
        """Whether orders perhaps do not reach this replica, though Redis answers."""
        return self._shared.is_up and not self.hears_orders()

    def _is_before_gap(self, held: Held | None) -> bool:
        if held is None or held.checked_at >= self.gap_ended_at:
            return False
        return held.entry.confirmed_at <= self._gap_ended

    def stands_for(self, key: Key, answer: Answer) -> float:
        """The seconds for which L1 may give this answer to every request, if `edition` stays the
        same. 0.0 or less: not at all."""
        held, now = answer.content, self._clock.now()
        if answer.outcome not in _NO_REFRESH or isinstance(held, Reply) or held.entry.selecting:
            return 0.0
        entry = held.entry
        if now < entry.confirmed_at or not entry.is_fresh(now):
            return 0.0
        return min(entry.freshness_lifetime - entry.age(now), self.quiet_for(key, held))

    def quiet_for(self, key: Key, held: Held) -> float:
        """For this many seconds, reads of the entry cause no work: they do not ask Redis, and do
        not make the entry due."""
        if not self._shared.holds_bodies:
            return math.inf
        now = self._clock.monotonic()
        if not self._shared.is_up:
            return -math.inf if self._is_before_gap(held) else self._bus.listed_until - now
        if not self._is_confirmed(held, now):
            return self._graced_until(held) - now
        since_confirmed = now - held.checked_at
        due = self._due_after if since_confirmed < self._due_after else self._lifetime
        return min(due - since_confirmed, self._bus.alive_until - now)

    def edition(self) -> object:
        """A decision to serve an entry may be used again only while `edition` returns the same
        object."""
        if self._clock.offset != self._offset:
            self._offset = self._clock.offset
            self.begin_edition()
        return self._with_redis if self._shared.is_up else self._without_redis

    def begin_edition(self) -> None:
        """From now on, use no earlier decision again."""
        self._with_redis, self._without_redis = object(), object()

    def suspect(self) -> None:
        """Note that a gap ends now. Each entry has to be confirmed again before L1 serves it. While
        Redis is away, no entry can be confirmed, so L1 has its present entries for rescue only."""
        self.gap_ended_at, self._gap_ended = self._clock.monotonic(), self._clock.now()
        self.begin_edition()
        self._all_due.set()

    async def confirm(self, keys: Iterable[Key]) -> set[Key]:
        """Ask Redis about the entries of these keys in L1, except doubted entries. Returns the
        confirmed keys. If it raises RedisUnavailable, nothing is changed."""
        asked_at = self._clock.monotonic()
        asked = {
            key: held
            for key in keys
            if (held := self._local.peek(key)) is not None and held.checked_at > NEVER
        }
        if not asked:
            return set()
        found = await self._shared.confirm(list(asked))
        return {
            key
            for key, held in asked.items()
            if self._local.peek(key) is held
            and held.checked_at > NEVER
            and self._settle(key, held, found[key], asked_at)
        }

    def _settle(self, key: Key, held: Held, found: Found, asked_at: float) -> bool:
        """Renew the entry if the marks allow it and Redis has no later response. Otherwise doubt
        it: the body has to be read from Redis."""
        facts = held.entry.facts
        best, state = better(found.marks, found.stored, facts)
        if best is not facts or state is not State.CURRENT:
            held.doubt()
            return False
        entry = held.entry.renewed_by(found.stored)
        if entry is held.entry:
            held.checked_at = max(held.checked_at, asked_at)
        else:
            self._local.replace(key, self._render(entry, asked_at))
        return True

    def renew(self, key: Key, found: Found, asked_at: float) -> None:
        """Renew the entry in L1, because a page of the list has confirmed the stored response. An
        entry that is another response is doubted. The page was requested at `asked_at`
        (monotonic)."""
        held = self._local.peek(key)
        if held is not None and held.checked_at > NEVER:
            self._settle(key, held, found, asked_at)

    async def run(self, observer: ConnectionObserver) -> None:
        """Confirm due entries until cancelled."""
        while True:
            await self._any_due.wait()
            await self._clock.sleep(self._gather)
            self._any_due.clear()
            due, self._due = list(self._due), set()
            await self._confirm_all(due, observer)

    async def run_catching_up(self, observer: ConnectionObserver) -> None:
        """Confirm the entries that were read most recently, after each gap and each return of
        Redis."""
        while True:
            await self._all_due.wait()
            self._all_due.clear()
            keys = [key for key in self._local.last_used(_MOST) if self._needs_confirmation(key)]
            await self._confirm_all(keys, observer)

    async def _confirm_all(self, keys: list[Key], observer: ConnectionObserver) -> None:
        try:
            for start in range(0, len(keys), _BATCH):
                await self.confirm(keys[start : start + _BATCH])
        except RedisUnavailable:
            return  # the failure was logged where it happened; the next read asks again
        except Exception as fault:  # noqa: BLE001 - a failed batch must not end the replica
            observer.redis_failed(RedisOperation.CONFIRM, repr(fault))

    def _needs_confirmation(self, key: Key) -> bool:
        held = self._local.peek(key)
        if held is None:
            return False
        since_confirmed = self._clock.monotonic() - held.checked_at
        return held.checked_at < self.gap_ended_at or since_confirmed >= self._due_after
