"""The budget and the gate in memory: of a process without Redis, or the reserve of a replica.

core/budget has the rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from math import inf

from cachetools import LRUCache

from gateway.core.budget.breaker import SHORTEST_HOLD, Gate
from gateway.core.budget.priority import rank_of
from gateway.core.budget.window_log import (
    Counted,
    OwnRates,
    Rate,
    WindowLog,
    counts_for,
    reserve_of,
)
from gateway.core.errors import BudgetExhausted, GateClosed
from gateway.core.vocabulary import Purpose
from gateway.ports import BudgetView, Charge, Clock, Closed


@dataclass(slots=True)
class _Account:
    """The state of one scope. Without a limit, `rate` is None. `log` None: no call may be made."""

    rate: Rate | None
    log: WindowLog | None
    gate: Gate


class _Accounts(LRUCache[str, _Account]):
    """At most `most` accounts. If an account is forgotten while its gate is closed, `self.closed`
    keeps the gate. Otherwise the next call of the scope would be made although the upstream asked
    to wait."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.closed: LRUCache[str, Gate] = LRUCache(most)

    def popitem(self) -> tuple[str, _Account]:
        scope, account = super().popitem()
        if not account.gate.is_open:
            self.closed[scope] = account.gate
        return scope, account


class LocalBudget:
    """At most `limit` calls (None: any number) in any `window` seconds.

    start_paced     True: an earlier process has perhaps spent the limit, so a tenth of the calls is
                    free at first, and the others become free at even intervals
    probe_patience  seconds for which a probe without an answer stops other calls
    max_scopes      the largest number of scopes in memory. The least recently used scope is
                    forgotten first. If the scope is used again, it begins as at the start
    rates           the scopes with a rate of their own
    sweep_share     the largest part of a limit that the sweep can use, in (0, 1]
    replicas        not None: this is the reserve of one of so many replicas. It counts as spent at
                    the start
    """

    def __init__(
        self,
        clock: Clock,
        limit: int | None,
        window: float,
        *,
        start_paced: bool = True,
        probe_patience: float = 15.0,
        max_scopes: int = 10_000,
        rates: OwnRates | None = None,
        sweep_share: float = 1.0,
        replicas: int | None = None,
    ) -> None:
        self._clock = clock
        self._sweep_share = sweep_share
        self._usual = None if limit is None else Rate(limit, window)
        self._window = window
        self._rates = rates or OwnRates()
        self._start_paced = start_paced
        self._probe_patience = probe_patience
        self._replicas = replicas
        self._accounts = _Accounts(max_scopes)
        self._numbers = count(1)

    async def take(self, scope: str, purpose: Purpose) -> Charge:
        """As Budget.take."""
        account, now = self._account(scope), self._clock.monotonic()
        wait = account.gate.wait(now)
        if wait > 0.0:
            raise closed_gate(wait, is_probed=account.gate.probe is not None)
        call, wait = f"{next(self._numbers)}", 0.0
        if account.rate is not None:
            wait = inf if account.log is None else account.log.take(call, rank_of(purpose), now)
        if wait > 0.0:
            raise exhausted(self.view(scope), min(wait, counts_for(self.view(scope).window)))
        account.gate = account.gate.try_probe(now, self._probe_patience) or account.gate
        return Charge(call, now, is_reserve=self._replicas is not None)

    async def give_back(self, scope: str, charge: Charge) -> None:
        """As Budget.give_back."""
        account = self._account(scope)
        if account.log is not None:
            account.log.give_back(charge.call)
        account.gate = account.gate.take_back(charge.asked)

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """As Budget.close. The limit of a reserve is never lowered: the others rely on its size,
        and lower the part that Redis hands out."""
        account, now = self._account(scope), self._clock.monotonic()
        before = account.gate
        is_straggler = not before.is_open and before.probe is None
        if not is_straggler and account.log is not None and self._replicas is None:
            account.log.lower(now)
        account.gate = before.close(now, retry_after, self._clock.jitter())
        wait = account.gate.wait(now)
        is_longer = not is_straggler or wait - before.wait(now) >= SHORTEST_HOLD
        return Closed(wait, is_longer, self.view(scope).limit)

    def hold(self, scope: str, seconds: float) -> None:
        """As Budget.hold."""
        account = self._account(scope)
        account.gate = account.gate.close(self._clock.monotonic(), seconds, jitter=0.0)

    async def reopen(self, scope: str) -> bool:
        """As Budget.reopen."""
        account = self._account(scope)
        before, account.gate = account.gate, account.gate.reopen(self._clock.monotonic())
        return account.gate.is_open and not before.is_open

    def view(self, scope: str) -> BudgetView:
        """As Budget.view."""
        account, now = self._account(scope), self._clock.monotonic()
        log, rate, closed_for = account.log, account.rate, account.gate.wait(now)
        if rate is None:
            return BudgetView(None, self._window, None, closed_for)
        if log is None:
            return BudgetView(0, rate.window, 0, closed_for)
        limit, available = log.limit(now), log.available(now)
        if self._replicas is None:
            counted = Counted.of(rate)
            limit, available = counted.whole(limit, rate), counted.whole(available, rate)
        return BudgetView(limit, rate.window, available, closed_for)

    def _account(self, scope: str) -> _Account:
        rate = self._rates.of(scope, self._usual)
        account = self._accounts.get(scope)
        if account is None:
            gate = self._accounts.closed.pop(scope, Gate())
            account = self._accounts[scope] = _Account(rate, self._new_log(rate), gate)
        elif account.rate != rate:
            before, account.rate, account.log = account.log, rate, self._new_log(rate)
            if before is not None and account.log is not None:
                account.log.follow(before)
        return account

    def _new_log(self, rate: Rate | None) -> WindowLog | None:
        if rate is None:
            return None
        counted, now = Counted.of(rate).rate, self._clock.monotonic()
        if self._replicas is None:
            paced_from = now if self._start_paced else -inf
            return WindowLog(counted, self._sweep_share, paced_from=paced_from)
        reserve = Rate(reserve_of(counted.limit, self._replicas), counted.window)
        if reserve.limit == 0:
            return None
        spent_until = now + counts_for(reserve.window)
        return WindowLog(reserve, self._sweep_share, spent_until=spent_until)


def closed_gate(wait: float, *, is_probed: bool) -> GateClosed:
    """The error while a gate is closed."""
    return GateClosed("the API asked the gateway to wait", retry_after=wait, is_probed=is_probed)


def exhausted(view: BudgetView, wait: float) -> BudgetExhausted:
    """The error while no call is free."""
    return BudgetExhausted.of(view.limit, view.window, retry_after=wait)
