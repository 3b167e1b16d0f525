"""Decides which calls to the upstream may be made, and which callers wait until they may call.

A scope is the name of a budget. Only the caller at the head of a queue asks the budget again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from cachetools import FIFOCache

from gateway.core.budget.priority import Rank, has_a_caller, rank_of
from gateway.core.budget.window_log import counts_for
from gateway.core.errors import BudgetExhausted, CallWithheld
from gateway.ports import Budget, Call, Charge, Clock, Observer

# A caller may wait for this fraction of the time until its deadline.
_PATIENCE: Final = 0.5
# Seconds until the budget is asked again if a call can become free at any moment, and until a
# waiting caller notices that the gate was closed.
_ASK_AGAIN: Final = 0.2
_MOST_SCOPES: Final = 10_000
# At most this many callers wait. Each of them occupies a task and a connection.
_MOST_WAITING: Final = 500


@dataclass(slots=True)
class _Queue:
    """The callers that wait for a call of one scope and rank, first come first served. The first
    has the `turn`, and asks the budget at the time `next` (monotonic)."""

    waiting: Counter[str] = field(default_factory=Counter)  # by client
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
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
        patience = (call.deadline - asked) * _PATIENCE if has_a_caller(call.purpose) else 0.0
        try:
            if patience <= 0.0 or (scope, rank_of(call.purpose)) not in self._queues:
                try:
                    return await self._budget.take(scope, call.purpose)
                except CallWithheld as withheld:
                    self._time_to_ask(withheld, asked + patience)
            charge = await self._wait(scope, call, asked + patience)
        except CallWithheld as withheld:
            raise self._refused(scope, withheld, call) from None
        self._observer.budget_waited(call.purpose, self._clock.monotonic() - asked)
        return charge

    def _time_to_ask(self, withheld: CallWithheld, until: float) -> float:
        """When the budget is asked again (monotonic). Raises the error if this is later than
        `until`."""
        pause = _ASK_AGAIN if withheld.is_passing else withheld.retry_after
        again = self._clock.monotonic() + pause
        if again >= until:
            raise withheld
        return again

    async def _wait(self, scope: str, call: Call, until: float) -> Charge:
        """Wait in the queue until the time `until`."""
        name = scope, rank_of(call.purpose)
        queue = self._queues.get(name) or _Queue()
        self._refuse_if_full(scope, queue, call.who)
        self._queues[name] = queue
        queue.waiting[call.who] += 1
        try:
            async with asyncio.timeout(until - self._clock.monotonic()):
                await queue.turn.acquire()
            try:
                return await self._ask_at_head(scope, call, queue, until)
            finally:
                queue.turn.release()
        except TimeoutError:
            raise self._exhausted(scope, queue) from None
        finally:
            queue.waiting -= Counter((call.who,))
            if not queue.waiting:
                del self._queues[name]

    async def _ask_at_head(self, scope: str, call: Call, queue: _Queue, until: float) -> Charge:
        while True:
            try:
                return await self._budget.take(scope, call.purpose)
            except CallWithheld as withheld:
                queue.next = self._time_to_ask(withheld, until)
            await self._sleep(scope, queue.next)

    async def _sleep(self, scope: str, until: float) -> None:
        """Sleep until this time, or until the gate is closed or opened."""
        was_closed = self._budget.view(scope).gate_closed_for > 0.0
        while (left := until - self._clock.monotonic()) > 0.0:
            await self._clock.sleep(min(_ASK_AGAIN, left))
            if (self._budget.view(scope).gate_closed_for > 0.0) is not was_closed:
                return

    def _refuse_if_full(self, scope: str, queue: _Queue, who: str) -> None:
        """Raise BudgetExhausted if no further caller may wait. A client has as many places as this
        replica gets calls in a window, or half of them if callers of other clients wait."""
        view = self._budget.view(scope)
        places = _MOST_WAITING if view.limit is None else max(1, view.limit // self._replicas())
        own = queue.waiting[who]
        most = max(1, places // 2) if own < queue.waiting.total() else places
        waiting = sum(each.waiting.total() for each in self._queues.values())
        if waiting >= _MOST_WAITING or own >= most:
            # Those that wait get what becomes free in a window.
            raise BudgetExhausted.of(view.limit, view.window, retry_after=view.window)

    def _exhausted(self, scope: str, queue: _Queue) -> BudgetExhausted:
        view = self._budget.view(scope)
        seconds = max(_ASK_AGAIN, queue.next - self._clock.monotonic())
        return BudgetExhausted.of(view.limit, view.window, retry_after=seconds)

    def _refused(self, scope: str, withheld: CallWithheld, call: Call) -> CallWithheld:
        """The error for this caller. If the budget is spent, each caller is told a later time than
        the caller before it, but never more than a window. If all were told the same time, all
        would come back for the same free call."""
        self._observer.budget_denied(call.purpose, withheld.retry_after)
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
