"""Decides which calls to the upstream may be made, and which callers wait until they may call.

A scope is the name of a budget. Only the caller at the head of a queue asks the budget again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from cachetools import FIFOCache

from gateway.core.budget.priority import Rank, has_a_caller, rank_of
from gateway.core.budget.window_log import counts_for
from gateway.core.errors import BudgetExhausted, CallWithheld, GateClosed
from gateway.ports import Budget, Call, Charge, Clock, Observer

# A caller may wait for this fraction of the time until its deadline.
_PATIENCE: Final = 0.5
# Seconds until the budget is asked again, if a call can become free at any moment.
_ASK_AGAIN: Final = 0.2
_MOST_SCOPES: Final = 10_000
# At most this many callers wait. Each of them occupies a task and a connection.
_MOST_WAITING: Final = 500


@dataclass(slots=True, eq=False)
class _Waiting:
    """A caller in a queue. `told` is set when it gets to the head, or when the gate closes."""

    who: str
    told: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Queue:
    """The callers that wait for a call of one scope and rank, first come first served. The budget
    is asked again at the time `next` (monotonic)."""

    waiting: list[_Waiting] = field(default_factory=list)
    next: float = -inf


class Paying:
    """Pays for calls, and lets callers wait for a free call. `replicas` is how many replicas are
    alive: each promises its callers only its part of the calls."""

    def __init__(
        self, budget: Budget, clock: Clock, observer: Observer, replicas: Callable[[], int]
    ) -> None:
        self._budget = budget
        self._clock = clock
        self._observer = observer
        self._replicas = replicas
        self._queues: dict[tuple[str, Rank], _Queue] = {}
        # By scope: the time (monotonic) from which the caller that was refused last may try again.
        self._promised: FIFOCache[str, float] = FIFOCache(_MOST_SCOPES)

    async def pay(self, scope: str, call: Call) -> Charge:
        """Pay for one call, and wait until the call may be sent. Raises BudgetExhausted or
        GateClosed."""
        asked = self._clock.monotonic()
        try:
            paid, has_waited = await self._pay(scope, call, asked)
        except CallWithheld as withheld:
            self._observer.budget_denied(call.purpose, withheld.retry_after)
            raise self._told(scope, withheld, call) from None
        if has_waited:
            self._observer.budget_waited(call.purpose, self._clock.monotonic() - asked)
        return paid

    async def _pay(self, scope: str, call: Call, asked: float) -> tuple[Charge, bool]:
        """Pay for the call. Also returns whether the call had to wait."""
        patience = (call.deadline - asked) * _PATIENCE if has_a_caller(call.purpose) else 0.0
        queue, first = self._queues.get((scope, rank_of(call.purpose))), None
        if patience <= 0.0 or queue is None or not queue.waiting:
            try:
                return await self._budget.take(scope, call.purpose), False
            except CallWithheld as withheld:
                if _pause(withheld) >= patience:
                    raise
                first = self._clock.monotonic() + _pause(withheld)
        return await self._in_queue(scope, call, asked + patience, first), True

    async def pay_again(self, scope: str, call: Call, paid: Charge) -> Charge:
        """Replace the charge of a call that had to wait for a connection too long. The call may not
        wait again, because it occupies a connection. Raises as `pay`."""
        await self._budget.give_back(scope, paid)
        try:
            return await self._budget.take(scope, call.purpose)
        except CallWithheld as withheld:
            self._observer.budget_denied(call.purpose, withheld.retry_after)
            raise self._told(scope, withheld, call) from None

    def gate_closed(self, scope: str) -> None:
        """After a 429, let the callers of this scope ask again."""
        for (of, _), queue in self._queues.items():
            if of == scope and queue.waiting:
                queue.next = -inf
                queue.waiting[0].told.set()

    async def _in_queue(self, scope: str, call: Call, until: float, first: float | None) -> Charge:
        """Wait for a call until the time `until`. `first`: the budget has just said that a call is
        free at this time."""
        name = scope, rank_of(call.purpose)
        queue = self._queues.setdefault(name, _Queue())
        if first is not None and not queue.waiting:
            queue.next = first
        own = _Waiting(call.who)
        try:
            self._refuse_if_full(scope, queue, call.who)
            queue.waiting.append(own)
            while True:
                paid = await self._try(scope, call, until, queue, own)
                if paid is not None:
                    return paid
        finally:
            if own in queue.waiting:
                queue.waiting.remove(own)
            if queue.waiting:
                queue.waiting[0].told.set()
            elif self._queues.get(name) is queue:
                del self._queues[name]

    async def _try(
        self, scope: str, call: Call, until: float, queue: _Queue, own: _Waiting
    ) -> Charge | None:
        """Ask the budget if the caller is at the head and a call can be free. Otherwise wait, and
        return None."""
        now, is_head = self._clock.monotonic(), queue.waiting[0] is own
        if is_head and not now < queue.next <= until:
            try:
                return await self._budget.take(scope, call.purpose)
            except CallWithheld as withheld:
                queue.next = self._clock.monotonic() + _pause(withheld)
                if queue.next > until:
                    raise
                return None
        if now >= until:
            raise self._exhausted(scope, max(_ASK_AGAIN, queue.next - now))
        await self._wait(own, (min(queue.next, until) if is_head else until) - now)
        return None

    async def _wait(self, own: _Waiting, seconds: float) -> None:
        """Wait for so long, or until the caller is told."""
        time = asyncio.ensure_future(self._clock.sleep(seconds))
        told = asyncio.ensure_future(own.told.wait())
        try:
            await asyncio.wait({time, told}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (time, told):
                task.cancel()
            await asyncio.gather(time, told, return_exceptions=True)
        own.told.clear()

    def _refuse_if_full(self, scope: str, queue: _Queue, who: str) -> None:
        """Raise BudgetExhausted if no further caller may wait. A client has as many places as this
        replica gets calls in a window, or half of them if callers of other clients wait."""
        limit = self._budget.view(scope).limit
        places = _MOST_WAITING if limit is None else max(1, limit // self._replicas())
        own = sum(each.who == who for each in queue.waiting)
        most = max(1, places // 2) if own < len(queue.waiting) else places
        waiting = sum(len(each.waiting) for each in self._queues.values())
        if waiting >= _MOST_WAITING or own >= most:
            raise self._exhausted(scope, max(_ASK_AGAIN, queue.next - self._clock.monotonic()))

    def _exhausted(self, scope: str, seconds: float) -> BudgetExhausted:
        view = self._budget.view(scope)
        return BudgetExhausted.of(view.limit, view.window, retry_after=seconds)

    def _told(self, scope: str, withheld: CallWithheld, call: Call) -> CallWithheld:
        """The error for this caller. If the budget is spent, each caller is told a later time than
        the caller before it, but never more than a window. If all were told the same time, all
        would come back for the same free call."""
        view = self._budget.view(scope)
        is_spent = isinstance(withheld, BudgetExhausted)
        if not is_spent or not view.limit or not has_a_caller(call.purpose):
            return withheld
        now, spacing = self._clock.monotonic(), counts_for(view.window) / view.limit
        spacing *= self._replicas()
        after_the_last = self._promised.get(scope, -inf) + spacing
        promised = min(max(now + withheld.retry_after, after_the_last), now + view.window)
        self._promised[scope] = promised
        seconds = promised - now + self._clock.jitter() * spacing
        return BudgetExhausted(withheld.what, retry_after=min(seconds, view.window))


def _pause(withheld: CallWithheld) -> float:
    """Seconds until the budget is asked again."""
    can_pass = isinstance(withheld, BudgetExhausted) and withheld.is_passing
    if can_pass or (isinstance(withheld, GateClosed) and withheld.is_probed):
        return _ASK_AGAIN
    return withheld.retry_after
