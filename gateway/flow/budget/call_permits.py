"""Decides which calls to the upstream may be made, and when.

A scope is the name of a budget. A turn is the time when a paid call may be sent. A caller waits if
its turn comes soon enough. Otherwise it is told when to come back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from cachetools import FIFOCache

from gateway.core.budget.priority import Rank, has_a_caller, rank_of
from gateway.core.budget.window_log import transit
from gateway.core.errors import (
    BudgetExhausted,
    CallWithheld,
    GateClosed,
)
from gateway.core.vocabulary import Purpose
from gateway.ports import Budget, Call, Charge, Clock, Observer

# A caller may wait for its turn for this fraction of the time until its deadline.
_PATIENCE: Final = 0.5
# Seconds until the budget is asked again, if a call can become free at any moment.
_ASK_AGAIN: Final = 0.2
_MOST_SCOPES: Final = 10_000
# At most this many callers wait in the queue, and at most this many further callers pause before
# they ask the budget again (see `Paying._in_turn`). Each of these callers occupies a task and a
# connection.
_MOST_WAITING: Final = 500
Paid = TypeVar("Paid")


class Paying:
    """Pays for calls, and lets callers wait for their turn."""

    def __init__(self, budget: Budget, clock: Clock, observer: Observer) -> None:
        self._budget = budget
        self._clock = clock
        self._observer = observer
        self._queue: WaitQueue[Charge] = WaitQueue(clock)
        self._pauses = _Pauses(clock, _MOST_WAITING)
        # By scope: the time (monotonic) from which the caller that was refused last may try again.
        self._promised: FIFOCache[str, float] = FIFOCache(_MOST_SCOPES)

    async def pay(self, scope: str, call: Call) -> Charge:
        """Pay for one call, and wait until the call may be sent. Raises BudgetExhausted or
        GateClosed."""
        asked = self._clock.monotonic()
        patience = _patience(call.purpose, call.deadline - asked)
        paid, has_waited = await self._pay_within(patience, scope, call)
        if has_waited:
            self._observer.budget_waited(call.purpose, self._clock.monotonic() - asked)
        return paid

    async def pay_again(self, scope: str, call: Call, paid: Charge) -> Charge:
        """Renew the charge `paid` of a call that had to wait for a connection: the charge counts
        from now on.

        If the charge is no longer valid, pay again. The call may not wait for another turn, because
        it occupies a connection. Raises as `pay`.
        """
        try:
            entered = await self._budget.enter(scope, paid)
        except GateClosed:
            entered = None
        return entered or (await self._pay_within(0.0, scope, call))[0]

    def gate_closed(self, scope: str) -> None:
        """After a 429, end the wait of all callers of this scope."""
        self._queue.wake(scope)

    async def _pay_within(self, patience: float, scope: str, call: Call) -> tuple[Charge, bool]:
        """Pay for the call, and let it wait for at most `patience` seconds. Returns the charge, and
        whether the call had to wait."""
        try:
            return await self._in_turn(scope, call, self._clock.monotonic() + patience)
        except CallWithheld as withheld:
            self._observer.budget_denied(call.purpose, withheld.retry_after)
            raise

    async def _in_turn(self, scope: str, call: Call, until: float) -> tuple[Charge, bool]:
        has_waited = False
        while True:
            try:
                paid, waits = await self._turn(scope, call, until)
            except (GateClosed, BudgetExhausted) as withheld:
                pause = _pause(withheld)
                if (
                    pause is None
                    or self._pauses.is_full
                    or self._clock.monotonic() + pause >= until
                ):
                    raise self._told(scope, withheld, call) from None
            else:
                has_waited |= waits
                if paid is not None:
                    return paid, has_waited
                continue  # the charge is no longer valid
            has_waited = True
            await self._pauses.pause(pause)

    async def _turn(self, scope: str, call: Call, until: float) -> tuple[Charge | None, bool]:
        """Pay for the call, and wait for its turn. Returns the charge, or None if the charge is no
        longer valid after the wait. Also returns whether the call had to wait."""
        who, rank, left = call.who, rank_of(call.purpose), max(0.0, until - self._clock.monotonic())
        patience = 0.0 if self._queue.is_full else left
        try:
            paid = await self._budget.take(scope, call.purpose, patience=patience)
            # The wait counts from the budget's answer. If it counted from the question, the call
            # could be sent too early, and exceed the limit.
            at = self._clock.monotonic() + paid.wait
            # The queue had a free place when the budget was asked. It can be full by now.
            if paid.wait > 0.0 and self._queue.is_full:
                await self._budget.give_back(scope, paid)
                raise self._lost(scope, paid.wait)
        except BudgetExhausted:
            # `oust` works also if the queue is full: another caller loses a place, and this caller
            # gets that place.
            freed = self._queue.oust(scope, rank, who, until) if left > 0.0 else None
            if freed is None:
                raise
            paid, at = freed.paid, freed.at
        if paid.wait <= 0.0:
            return paid, False
        await self._wait(scope, Place(scope, rank, who, at, paid))
        return await self._budget.enter(scope, paid), True

    async def _wait(self, scope: str, place: Place[Charge]) -> None:
        try:
            kept = await self._queue.wait(place)
        except asyncio.CancelledError:
            # The charge of an ousted place belongs to another caller now.
            if not place.is_ousted:
                await self._budget.give_back(scope, place.paid)
            raise
        if not kept:
            raise self._lost(scope, _ASK_AGAIN)

    def _lost(self, scope: str, seconds: float) -> BudgetExhausted:
        """The error for a caller that has lost its turn."""
        view = self._budget.view(scope)
        return BudgetExhausted.of(view.limit, view.window, retry_after=seconds)

    def _told(self, scope: str, withheld: CallWithheld, call: Call) -> CallWithheld:
        """The error for this caller. If the budget is spent, each caller is told a later time than
        the caller before it. If all were told the same time, all would come back for the same free
        call."""
        view = self._budget.view(scope)
        is_spent = isinstance(withheld, BudgetExhausted)
        if not is_spent or view.limit is None or not has_a_caller(call.purpose):
            return withheld
        now = self._clock.monotonic()
        counted_for = view.window + transit(view.window)  # seconds for which a call counts
        after_the_last = self._promised.get(scope, 0.0) + counted_for / view.limit * view.replicas
        promised = min(max(now + withheld.retry_after, after_the_last), now + 2.0 * counted_for)
        self._promised[scope] = promised
        return BudgetExhausted(withheld.what, retry_after=promised - now)


@dataclass(slots=True, eq=False)
class Place(Generic[Paid]):
    """A turn of the caller `who` at the time `at` (monotonic).

    `is_ousted`: another caller got this turn. `ended` is set if the wait ends before the turn.
    """

    scope: str
    rank: Rank
    who: str
    at: float
    paid: Paid
    is_ousted: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class WaitQueue(Generic[Paid]):
    """The callers of this replica that wait for their turn."""

    def __init__(self, clock: Clock, most: int = _MOST_WAITING) -> None:
        self._clock = clock
        self._most = most
        self._places: list[Place[Paid]] = []

    @property
    def is_full(self) -> bool:
        """Whether no further caller may wait."""
        return len(self._places) >= self._most

    async def wait(self, place: Place[Paid]) -> bool:
        """Wait for the turn, or until `wake` ends the wait. False: another caller got the turn (see
        `oust`)."""
        self._places.append(place)
        turn = asyncio.ensure_future(self._clock.sleep(place.at - self._clock.monotonic()))
        ended = asyncio.ensure_future(place.ended.wait())
        try:
            await asyncio.wait({turn, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # The place is removed first, because a second cancellation would end this block at its
            # await.
            if place in self._places:
                self._places.remove(place)
            for task in (turn, ended):
                task.cancel()
            await asyncio.gather(turn, ended, return_exceptions=True)
        return not place.is_ousted

    def oust(self, scope: str, rank: Rank, who: str, until: float) -> Place[Paid] | None:
        """Take a place from another caller, for the caller `who`. Without this, one caller could
        get all turns.

        Only places of this scope and rank count. Of the callers that have a place whose turn comes
        at `until` (monotonic) or earlier, the one with the most places loses the latest such place.
        Returns None if no such caller has at least two places more than `who`.
        """
        rivals = [each for each in self._places if (each.scope, each.rank) == (scope, rank)]
        counts = Counter(each.who for each in rivals)
        in_time = [
            each for each in rivals if each.at <= until and counts[each.who] >= counts[who] + 2
        ]
        if not in_time:
            return None
        last = max(in_time, key=lambda each: (counts[each.who], each.at))
        self._places.remove(last)
        last.is_ousted = True
        last.ended.set()
        return last

    def wake(self, scope: str) -> None:
        """End the wait of all callers of this scope."""
        for place in self._places:
            if place.scope == scope:
                place.ended.set()


class _Pauses:
    """The callers that pause before they ask a budget again: at most `most`."""

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._callers = 0

    @property
    def is_full(self) -> bool:
        """Whether no further caller may pause."""
        return self._callers >= self._most

    async def pause(self, seconds: float) -> None:
        """Pause for the time, and up to a tenth longer, so that the callers do not all ask at the
        same moment."""
        self._callers += 1
        try:
            await self._clock.sleep(seconds * (1.0 + self._clock.jitter() / 10.0))
        finally:
            self._callers -= 1


def _patience(purpose: Purpose, left: float) -> float:
    """How many seconds a call may wait for the budget. `left`: seconds until its deadline."""
    return left * _PATIENCE if has_a_caller(purpose) else 0.0


def _pause(withheld: GateClosed | BudgetExhausted) -> float | None:
    """Seconds until the budget is asked again. None: it is not asked again, because it is spent."""
    if isinstance(withheld, BudgetExhausted):
        return _ASK_AGAIN if withheld.is_passing else None
    return _ASK_AGAIN if withheld.is_probed else withheld.retry_after
