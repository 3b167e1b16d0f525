"""One call upstream: breaker, budget, the call, one retry where nothing was sent.

Charges before it sends, gives back only what provably never left, and tells budget and
breaker how it went. What the reply means is judged elsewhere and reported back here.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from gateway.core.errors import (
    BudgetExhausted,
    CallWithheld,
    CircuitOpen,
    InvalidPayload,
    RedisUnavailable,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.core.pacing import Breaker, BreakerRule
from gateway.core.reply import Reply
from gateway.core.status import Circuit, Purpose
from gateway.ports import Budget, Call, Clock, Observer, Upstream

_RETRY_PAUSE = 0.05
_FAILURES = 10


class Outbound:
    """The only way to the upstream."""

    def __init__(
        self,
        upstream: Upstream,
        budget: Budget,
        local_budget: Budget,
        clock: Clock,
        observer: Observer,
        *,
        timeout: float,
    ) -> None:
        self._upstream = upstream
        self._budget = budget
        self._local_budget = local_budget
        self._clock = clock
        self._observer = observer
        self._breaker = Breaker()
        self._rule = BreakerRule(
            threshold=_FAILURES, base=1.0, cap=30.0, patience=timeout * 2 + _RETRY_PAUSE
        )

    @property
    def circuit(self) -> Circuit:
        """The breaker's state, for those who watch."""
        return self._breaker.circuit

    async def ask(self, scope: str, call: Call) -> Reply:
        """Send the call and return the whole reply; raises UpstreamFailure, CallWithheld."""
        before = self._breaker
        entered = self._enter()
        try:
            return await self._ask_once(scope, call)
        except CallWithheld:
            self._leave(entered, before)
            raise
        except (UpstreamUnreachable, UpstreamTimeout) as failure:
            pause = _RETRY_PAUSE * (1.0 + self._clock.jitter())
            if failure.sent or self._clock.monotonic() + pause >= call.deadline:
                raise
            return await self._ask_again(scope, call, pause, failure)

    async def _ask_again(
        self, scope: str, call: Call, pause: float, failure: UpstreamFailure
    ) -> Reply:
        """The retry, past the breaker with the first attempt; unpaid, the failure stands."""
        await self._clock.sleep(pause)
        try:
            return await self._ask_once(scope, replace(call, purpose=Purpose.RETRY))
        except CallWithheld:
            raise failure from None

    async def _ask_once(self, scope: str, call: Call) -> Reply:
        payer = await self._charge(scope, call.purpose)
        try:
            return await self._upstream.call(call)
        except (UpstreamUnreachable, UpstreamTimeout) as failure:
            if not failure.sent:
                await self._give_back(payer, scope)
            raise

    def _enter(self) -> Breaker:
        """Pass the breaker, perhaps as its probe."""
        now = self._clock.monotonic()
        entered = self._breaker.try_call(self._rule, now)
        if entered is None:
            raise CircuitOpen(
                "the upstream failed repeatedly and is left alone for a while",
                retry_after=self._breaker.wait(now),
            )
        self._move(entered)
        return entered

    def _leave(self, entered: Breaker, before: Breaker) -> None:
        """Nothing was sent: the next caller may be the probe instead."""
        if self._breaker is entered:
            self._move(before)

    async def _charge(self, scope: str, purpose: Purpose) -> Budget:
        """Take one call from the shared budget, or from the local share without Redis."""
        try:
            try:
                await self._budget.take(scope, purpose)
                return self._budget
            except RedisUnavailable:
                await self._local_budget.take(scope, purpose)
                return self._local_budget
        except BudgetExhausted as exhausted:
            self._observer.budget_denied(purpose, exhausted.retry_after)
            raise

    async def _give_back(self, payer: Budget, scope: str) -> None:
        try:
            await payer.give_back(scope)
        except RedisUnavailable:
            return  # charged once too often: the safe side

    async def failed(self, scope: str, training_id: str, failure: UpstreamFailure) -> None:
        """The call brought no answer of the API: tell budget, breaker and observer."""
        self._observer.upstream_failed(failure.reason, training_id, failure.what)
        if isinstance(failure, UpstreamRateLimited):
            self._succeeded()  # it answers: that is the gate's business
            failure.retry_after = await self._close_gate(scope, failure.retry_after)
        elif isinstance(failure, UpstreamRefused | InvalidPayload):
            await self.answered(scope)  # not to be used, but an answer: no case for the breaker
        else:
            now, jitter = self._clock.monotonic(), self._clock.jitter()
            self._move(self._breaker.record_failure(self._rule, now, jitter))

    async def answered(self, scope: str) -> None:
        """An answer of the API came."""
        self._succeeded()
        budgets = (self._budget, self._local_budget)
        if any([await self._reopened(budget, scope) for budget in budgets]):
            self._observer.gate_opened(scope)

    async def _close_gate(self, scope: str, retry_after: float | None) -> float:
        seconds = await self._local_budget.close(scope, retry_after)
        if self._budget is not self._local_budget:
            # Without Redis the local gate is closed: this replica stops in any case.
            with suppress(RedisUnavailable):
                seconds = await self._budget.close(scope, retry_after)
        self._observer.gate_closed(scope, seconds)
        return seconds

    async def _reopened(self, budget: Budget, scope: str) -> bool:
        """Whether this opened its gate: an answer to a call sent before it closed does not."""
        if budget.view(scope).gate_closed_for <= 0.0:
            return False
        with suppress(RedisUnavailable):
            await budget.reopen(scope)
        return budget.view(scope).gate_closed_for <= 0.0

    def _succeeded(self) -> None:
        self._move(self._breaker.record_success())

    def _move(self, breaker: Breaker) -> None:
        before, self._breaker = self._breaker, breaker
        if breaker.circuit is not before.circuit:
            self._observer.circuit_moved(breaker.circuit)
