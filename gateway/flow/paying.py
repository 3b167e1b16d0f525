"""Who pays for a call, and who waits until one may go: the shared budget, or our own without it.

A caller whose turn comes in time waits for it; everybody else is told when to come back. What
is paid is given back only where the call provably never left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from gateway.core.errors import BudgetExhausted, CallWithheld, GateClosed, RedisUnavailable
from gateway.core.ranks import has_a_caller, rank_of
from gateway.flow.absence import Absences
from gateway.flow.line import MOST, Line, Place
from gateway.ports import Budget, Call, Charge, Clock, Observer, OwnBudget

# Of what is left of a call's deadline, so that the call itself has time as well.
_PATIENCE: Final = 0.5
# Seconds between two looks at a gate whose probe is under way.
_LOOK: Final = 0.2
_MOST_SCOPES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Paid:
    """What one call was charged: each is charged here, and where there is Redis, there."""

    own: Charge
    shared: Charge | None

    @property
    def wait(self) -> float:
        """Seconds until it may be sent."""
        return self.own.wait if self.shared is None else self.shared.wait


class Paying:
    """Pays for calls.

    `own` stands in for `budget` while Redis is away; alone, both are the same. So that it can,
    it hears of each call, and no call goes while its own gate is closed. `replicas` tells among
    how many the turns are divided.
    """

    def __init__(
        self,
        budget: Budget,
        own: OwnBudget,
        clock: Clock,
        observer: Observer,
        replicas: Callable[[], int],
    ) -> None:
        self._own = own
        self._shared = None if budget is own else budget
        self._clock = clock
        self._observer = observer
        self._replicas = replicas
        shared = self._shared
        self.absences = None if shared is None else Absences(shared, own, clock, replicas)
        self._line: Line[Paid] = Line(clock)
        self._held = 0
        self._promised: dict[str, float] = {}

    async def pay(self, scope: str, call: Call) -> Paid:
        """Pay for one call that may go now; raises BudgetExhausted, GateClosed, both counted."""
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
        """Upstream said 429: turns that are waited for are undone, and those who wait are told."""
        self._line.wake(scope)

    async def give_back(self, scope: str, paid: Paid) -> None:
        """The call provably never left."""
        await self._own.give_back(scope, paid.own)
        if self._shared is not None and paid.shared is not None:
            with suppress(RedisUnavailable):  # charged once too often: the safe side
                await self._shared.give_back(scope, paid.shared)

    async def _in_turn(self, scope: str, call: Call, until: float) -> Paid:
        """Wait for a gate that opens in time, then for the turn."""
        while True:
            try:
                paid = await self._turn(scope, call, until)
            except GateClosed as closed:
                pause = _LOOK if closed.is_probed else closed.retry_after
                if self._held >= MOST or self._clock.monotonic() + pause >= until:
                    raise
            else:
                if paid is not None:
                    return paid
                continue  # what was paid is not known any more
            await self._hold(pause * (1.0 + self._clock.jitter() / 10.0))

    async def _hold(self, seconds: float) -> None:
        self._held += 1
        try:
            await self._clock.sleep(seconds)
        finally:
            self._held -= 1

    async def _turn(self, scope: str, call: Call, until: float) -> Paid | None:
        now = self._clock.monotonic()
        patience = 0.0 if self._line.is_full else max(0.0, until - now)
        try:
            paid = await self._take(scope, call, patience)
            at = now + paid.wait
        except BudgetExhausted as exhausted:
            rank = rank_of(call.purpose, guessed=call.guessed)
            freed = self._line.oust(scope, rank, call.who) if patience > 0.0 else None
            if freed is None:
                raise self._told(scope, exhausted, call) from None
            paid, at = freed.paid, freed.at
        if paid.wait <= 0.0:
            return paid
        await self._wait(scope, call, paid, at)
        return await self._enter(scope, paid)

    async def _wait(self, scope: str, call: Call, paid: Paid, at: float) -> None:
        rank = rank_of(call.purpose, guessed=call.guessed)
        place = Place(scope, rank, call.who, at, paid)
        try:
            kept = await self._line.wait(place)
        except asyncio.CancelledError:
            if not place.is_ousted:
                await self.give_back(scope, paid)
            raise
        if not kept:
            view = self._own.view(scope)
            turned_away = BudgetExhausted.of(view.limit, view.window, retry_after=_LOOK)
            raise self._told(scope, turned_away, call)

    async def _take(self, scope: str, call: Call, patience: float) -> Paid:
        """Take one call from the shared budget, or from our own without Redis."""
        purpose, guessed = call.purpose, call.guessed
        if self._shared is not None and self.absences is not None:
            # A 429 heard while Redis was away, or lost by it since, holds here all the same.
            self._refuse_behind_own_gate(scope)
            if not self.absences.lasts(scope):
                try:
                    shared = await self._shared.take(
                        scope, purpose, guessed=guessed, patience=patience
                    )
                except RedisUnavailable:
                    self.absences.begin(scope)
                else:
                    self.absences.used(scope, shared, sent=shared.wait <= 0.0)
                    paid = Paid(self._own.note(scope, purpose, guessed=guessed), shared)
                    return await self._unless_closed_since(scope, paid)
        own = await self._own.take(scope, purpose, guessed=guessed, patience=patience)
        return Paid(own, None) if own.wait > 0.0 else await self._from_share(scope, own)

    async def _enter(self, scope: str, paid: Paid) -> Paid | None:
        """The turn has come; None where it is not known any more. Raises GateClosed where that
        happened meanwhile."""
        if paid.shared is None or self._shared is None:
            own = await self._own.enter(scope, paid.own)
            return None if own is None else await self._from_share(scope, own)
        try:
            shared = await self._shared.enter(scope, paid.shared)
        except RedisUnavailable:
            if self.absences is not None:
                self.absences.spent(scope)  # once too often, unless it comes back without it
            return await self._unless_closed_since(scope, paid)
        if shared is None:
            await self._own.give_back(scope, paid.own)
            return None
        if self.absences is not None:
            self.absences.used(scope, shared, sent=True)
        return Paid(paid.own, shared)

    async def _from_share(self, scope: str, own: Charge) -> Paid:
        """A share pays for a call that goes now. A gate that is closed for all is closed for
        shares as well, and Redis may be back long before they end. Raises GateClosed."""
        if self._shared is None or self.absences is None:
            return Paid(own, None)
        passed = None
        try:
            passed = await self._shared.pass_gate(scope)
        except GateClosed:
            await self._own.give_back(scope, own)
            raise
        except RedisUnavailable:
            pass  # no other replica can tell of a 429
        self.absences.spent(scope)
        return Paid(own, passed)

    async def _unless_closed_since(self, scope: str, paid: Paid) -> Paid:
        """What was paid, unless a 429 was heard meanwhile. Raises GateClosed."""
        try:
            self._refuse_behind_own_gate(scope)
        except GateClosed:
            await self.give_back(scope, paid)
            raise
        return paid

    def _refuse_behind_own_gate(self, scope: str) -> None:
        wait = self._own.view(scope).gate_closed_for
        if wait > 0.0:
            raise GateClosed("upstream asked to wait", retry_after=wait)

    def _told(self, scope: str, exhausted: BudgetExhausted, call: Call) -> BudgetExhausted:
        """Callers are told to come back one after the other, not all at the next free call."""
        view = self._own.view(scope)
        if view.limit is None or not has_a_caller(call.purpose):
            return exhausted
        now = self._clock.monotonic()
        after_the_last = (
            self._promised.pop(scope, 0.0) + view.window / view.limit * self._replicas()
        )
        promised = min(max(now + exhausted.retry_after, after_the_last), now + 2.0 * view.window)
        self._promised[scope] = promised
        if len(self._promised) > _MOST_SCOPES:
            del self._promised[next(iter(self._promised))]
        return BudgetExhausted(exhausted.what, retry_after=promised - now)
