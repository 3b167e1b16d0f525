"""How a call is paid for, and which callers wait until they may make one.

A caller waits if its turn comes in time. All others are told when to come back. A charge is given
back only if the call was certainly not sent. The queue of those that wait is bounded, and fair
among callers; each has a place whose turn is paid already.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from gateway.core.budget.priority import Rank, has_a_caller, rank_of
from gateway.core.errors import BudgetExhausted, CallWithheld, GateClosed
from gateway.ports import Budget, Call, Charge, Clock, Observer

# A caller waits for this part of the time until its deadline. The rest is for the call itself.
_PATIENCE: Final = 0.5
# Seconds between two attempts while the gate's probe is under way, or the budget cannot be asked.
_LOOK: Final = 0.2
_MOST_SCOPES: Final = 10_000
# Each is a task and a connection; far more than the turns of one deadline.
_MOST_WAITING: Final = 500

Paid = TypeVar("Paid")


class Paying:
    """Pays for calls. `replicas` returns how many replicas share the turns."""

    def __init__(
        self, budget: Budget, clock: Clock, observer: Observer, replicas: Callable[[], int]
    ) -> None:
        self._budget = budget
        self._clock = clock
        self._observer = observer
        self._replicas = replicas
        self._queue: WaitQueue[Charge] = WaitQueue(clock)
        self._held = 0
        self._promised: dict[str, float] = {}

    async def pay(self, scope: str, call: Call) -> Charge:
        """Pay for one call, and return once it may be sent. Raises BudgetExhausted or GateClosed,
        and counts either."""
        asked = self._clock.monotonic()
        patience = (call.deadline - asked) * _PATIENCE if has_a_caller(call.purpose) else 0.0
        try:
            paid = await self._in_turn(scope, call, asked + patience)
        except CallWithheld as withheld:
            self._observer.budget_denied(call.purpose, withheld.retry_after)
            raise
        waited = self._clock.monotonic() - asked
        if paid.wait > 0.0 or waited >= _LOOK:
            self._observer.budget_waited(call.purpose, waited)
        return paid

    def gate_closed(self, scope: str) -> None:
        """Upstream said 429: end the wait of all callers of this scope. Each asks again."""
        self._queue.wake(scope)

    async def _in_turn(self, scope: str, call: Call, until: float) -> Charge:
        """Wait for the gate or for Redis, if that ends in time, then for a turn."""
        while True:
            try:
                paid = await self._turn(scope, call, until)
            except (GateClosed, BudgetExhausted) as withheld:
                pause = _pause(withheld)
                if (
                    pause is None
                    or self._held >= _MOST_WAITING
                    or self._clock.monotonic() + pause >= until
                ):
                    raise self._told(scope, withheld, call) from None
            else:
                if paid is not None:
                    return paid
                continue  # the budget has forgotten the charge: ask for another one
            await self._hold(pause * (1.0 + self._clock.jitter() / 10.0))

    async def _hold(self, seconds: float) -> None:
        self._held += 1
        try:
            await self._clock.sleep(seconds)
        finally:
            self._held -= 1

    async def _turn(self, scope: str, call: Call, until: float) -> Charge | None:
        now, who, rank = self._clock.monotonic(), call.who, _rank(call)
        patience = 0.0 if self._queue.is_full else max(0.0, until - now)
        try:
            paid = await self._budget.take(
                scope, call.purpose, guessed=call.guessed, patience=patience
            )
            # From the answer on: a turn that begins early is one too many in its window.
            at = self._clock.monotonic() + paid.wait
        except BudgetExhausted:
            freed = self._queue.oust(scope, rank, who) if patience > 0.0 else None
            if freed is None:
                raise
            paid, at = freed.paid, freed.at
        if paid.wait <= 0.0:
            return paid
        await self._wait(scope, Place(scope, rank, who, at, paid))
        return await self._budget.enter(scope, paid)

    async def _wait(self, scope: str, place: Place[Charge]) -> None:
        try:
            kept = await self._queue.wait(place)
        except asyncio.CancelledError:
            if not place.is_ousted:
                await self._budget.give_back(scope, place.paid)
            raise
        if not kept:
            view = self._budget.view(scope)
            raise BudgetExhausted.of(view.limit, view.window, retry_after=_LOOK)

    def _told(self, scope: str, withheld: CallWithheld, call: Call) -> CallWithheld:
        """The error for this caller. Each caller gets a later time to come back than the one
        before, so that they do not all come back for the same free call."""
        view = self._budget.view(scope)
        is_spent = isinstance(withheld, BudgetExhausted)
        if not is_spent or view.limit is None or not has_a_caller(call.purpose):
            return withheld
        now = self._clock.monotonic()
        after_the_last = (
            self._promised.pop(scope, 0.0) + view.window / view.limit * self._replicas()
        )
        promised = min(max(now + withheld.retry_after, after_the_last), now + 2.0 * view.window)
        self._promised[scope] = promised
        if len(self._promised) > _MOST_SCOPES:
            del self._promised[next(iter(self._promised))]
        return BudgetExhausted(withheld.what, retry_after=promised - now)


@dataclass(slots=True, eq=False)
class Place(Generic[Paid]):
    """A turn at `at` (monotonic), `paid` by or for `who`; a caller that is ousted loses it.
    `ended` is set where the wait ends before the turn comes."""

    scope: str
    rank: Rank
    who: str
    at: float
    paid: Paid
    is_ousted: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class WaitQueue(Generic[Paid]):
    """The places in this replica; nothing here pays."""

    def __init__(self, clock: Clock, most: int = _MOST_WAITING) -> None:
        self._clock = clock
        self._most = most
        self._places: list[Place[Paid]] = []

    @property
    def is_full(self) -> bool:
        """Whether nobody else may wait."""
        return len(self._places) >= self._most

    async def wait(self, place: Place[Paid]) -> bool:
        """Wait for the turn; False where the place was lost to another caller."""
        self._places.append(place)
        turn = asyncio.ensure_future(self._clock.sleep(place.at - self._clock.monotonic()))
        ended = asyncio.ensure_future(place.ended.wait())
        try:
            await asyncio.wait({turn, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (turn, ended):
                task.cancel()
            await asyncio.gather(turn, ended, return_exceptions=True)
            if place in self._places:
                self._places.remove(place)
        return not place.is_ousted

    def oust(self, scope: str, rank: Rank, who: str) -> Place[Paid] | None:
        """The last place of the caller who has most, for one who has at least two less; None
        where nobody has: so that no caller fills the line against the others."""
        rivals = [each for each in self._places if (each.scope, each.rank) == (scope, rank)]
        counts = Counter(each.who for each in rivals)
        if not counts:
            return None
        hog, most = counts.most_common(1)[0]
        if most < counts[who] + 2:
            return None
        last = max((each for each in rivals if each.who == hog), key=lambda each: each.at)
        self._places.remove(last)
        last.is_ousted = True
        last.ended.set()
        return last

    def wake(self, scope: str) -> None:
        """Nobody waits any longer for a turn of that scope: each asks now whether it may go."""
        for place in self._places:
            if place.scope == scope:
                place.ended.set()


def _pause(withheld: GateClosed | BudgetExhausted) -> float | None:
    """After how many seconds to ask again; None if the budget is spent, and the caller has to be
    turned away."""
    if isinstance(withheld, BudgetExhausted):
        return _LOOK if withheld.is_passing else None
    return _LOOK if withheld.is_probed else withheld.retry_after


def _rank(call: Call) -> Rank:
    return rank_of(call.purpose, guessed=call.guessed)
