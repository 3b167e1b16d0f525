"""When Redis last agreed with what L1 holds, and asking again before that is too long ago.

Lives here: the meaning of `Held.checked_at`. Whether an entry is fresh is core's business.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Final

from gateway.core.entry import Confirmation, Entry, Floor, Key
from gateway.core.errors import RedisUnavailable
from gateway.core.reply import Reply
from gateway.core.status import Outcome, RedisOperation
from gateway.flow.answer import Answer
from gateway.ports import NEVER, Bus, Clock, Held, LocalStore, Observer, SharedStore, Standing

# Parts of `l1_lifetime`: an entry read later than the first after its confirmation is due, and
# what is due is gathered for the second. Due and twice gathered make one: what is read at even
# intervals is then confirmed in time, whatever they are, unless they exceed the lifetime.
_DUE: Final = 0.2
_GATHER: Final = 0.4
# Outcomes of what is fresh: such an answer starts nothing.
_ALIKE: Final = (Outcome.FRESH, Outcome.NEGATIVE)
# Keys after which others get their turn.
_BATCH: Final = 100


class Confirming:
    """Keeps what is read in L1 confirmed, with questions that grow with time and not with traffic.

    A result counts as of the moment when it was asked for, and only for what L1 has held all
    the while without a doubt: what was dropped, replaced or doubted meanwhile is later news.
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
        self._suspect_until = NEVER
        self._offset = 0.0
        self.begin_edition()
        self._due: set[Key] = set()
        self._any_due = asyncio.Event()

    def vouches(self, key: Key, held: Held) -> bool:
        """Whether L1 may answer with it unasked: confirmed lately, or Redis is away. A replica
        for which no order waits any more asks Redis each time."""
        if held.is_purged:
            return False
        if not self._shared.reaches(key):
            return self.vouches_alone()
        if not self._shared.holds_bodies:
            return held.checked_at > NEVER
        now = self._clock.monotonic()
        if held.checked_at < self._suspect_until or not self.is_counted():
            return False
        unasked = now - held.checked_at
        if unasked >= self._lifetime:
            return False
        if unasked >= self._due_after:
            self._mark(key)
        return True

    def is_counted(self) -> bool:
        """Whether orders wait for this replica, so that it has heard of each that was confirmed."""
        return self._clock.monotonic() < self._bus.counted_until

    def vouches_alone(self) -> bool:
        """Whether L1 may answer without Redis, by the entry's own freshness: no longer than orders
        count with it."""
        return self._clock.monotonic() < self._bus.vouched_until

    def stands_for(self, key: Key, answer: Answer) -> float:
        """For how many seconds, in this edition, L1 would answer so again, whoever asks; 0.0 where
        each who asks may start something, or is answered by what else the request says."""
        held, now = answer.content, self._clock.now()
        if answer.outcome not in _ALIKE or isinstance(held, Reply) or held.entry.selecting:
            return 0.0
        entry = held.entry
        if now < entry.confirmed_at or not entry.is_fresh(now):
            return 0.0
        return min(entry.freshness_lifetime - entry.age(now), self.unasked_for(key, held))

    def unasked_for(self, key: Key, held: Held) -> float:
        """Seconds until Redis has to be asked about it, or whoever reads it marks it as due."""
        if not self._shared.holds_bodies:
            return math.inf
        now = self._clock.monotonic()
        if not self._shared.reaches(key):
            return self._bus.vouched_until - now
        unasked = now - held.checked_at
        due = self._due_after if unasked < self._due_after else self._lifetime
        return min(due - unasked, self._bus.counted_until - now)

    def edition(self, key: tuple[str, str]) -> object:
        """The same object for as long as nothing happens that concerns more than one entry: doubt,
        Redis gone or back, the shared clock set."""
        if self._clock.offset != self._offset:
            self._offset = self._clock.offset
            self.begin_edition()
        shared = self._shared
        return (
            self._with_redis if shared.is_up or shared.reaches(Key(*key)) else self._without_redis
        )

    def begin_edition(self) -> None:
        """Whatever L1 would answer unasked is judged anew."""
        self._with_redis, self._without_redis = object(), object()

    def _mark(self, key: Key) -> None:
        if key not in self._due:
            self._due.add(key)
            self._any_due.set()

    def suspect(self) -> None:
        """Doubt all that L1 holds."""
        self._suspect_until = self._clock.monotonic()
        self.begin_edition()

    async def confirm(self, keys: Iterable[Key]) -> set[Key]:
        """Ask Redis about what L1 holds undoubted of these; the keys with which it agreed.

        Raises RedisUnavailable, with nothing changed.
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
        """Renew what Redis agrees with, doubt what it does not, or what it has lost: an order may
        have been lost with it."""
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
        """A page of the list confirmed what stands under that floor, asked for at `asked_at`
        (monotonic): so is what L1 holds undoubted of it."""
        held = self._local.peek(key)
        if held is not None and held.checked_at > NEVER:
            self._settle(key, held, Standing(floor, lambda: last), asked_at)

    async def run(self, observer: Observer) -> None:
        """Confirm what is due, again and again, until cancelled by the owner."""
        while True:
            await self._any_due.wait()
            await self._clock.sleep(self._gather)
            self._any_due.clear()
            due, self._due = list(self._due), set()
            try:
                for start in range(0, len(due), _BATCH):
                    await self.confirm(due[start : start + _BATCH])
            except RedisUnavailable:
                continue  # told where it failed; who reads on marks again
            except Exception as fault:  # noqa: BLE001 - no batch is a reason to end the replica
                observer.redis_failed(RedisOperation.CONFIRM, repr(fault))


def _confirmed(entry: Entry, standing: Standing) -> Entry | None:
    known = entry.confirmed_at >= standing.floor.started
    confirmed = entry.confirmed_by(standing.floor, None if known else standing.last())
    if confirmed is None or confirmed.confirmed_at <= standing.struck_at:
        return None
    return confirmed
