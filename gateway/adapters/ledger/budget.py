"""The budget and the gate in memory: of a process without Redis, or the reserve of a replica.

core/budget has the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from cachetools import LRUCache

from gateway.core.budget.priority import rank_of
from gateway.core.budget.window_log import BudgetRules, Rate, Start, WindowLog, reserve_of
from gateway.core.errors import BudgetExhausted, GateClosed
from gateway.core.upstream.breaker import Gate
from gateway.core.vocabulary import Purpose
from gateway.ports import BudgetView, Charge, Clock, Closed

# The window that is shown for a scope without a limit.
_ANY_WINDOW = 60.0
# The least recently used scope is forgotten first. If it is used again, it begins as at the start,
# with an open gate.
_MOST_SCOPES = 10_000


@dataclass(slots=True)
class _Account:
    """The state of one scope. `log` is None without a limit."""

    log: WindowLog | None = None
    gate: Gate = field(default_factory=Gate)


class LocalBudget:
    """The Budget of a process without Redis.

    `is_reserve`: this is the reserve of one of several replicas. It counts as spent at the start,
    because an earlier process has perhaps spent it.
    """

    def __init__(self, clock: Clock, rules: BudgetRules, *, is_reserve: bool = False) -> None:
        self._clock = clock
        self._rules = rules
        self._is_reserve = is_reserve
        self._accounts: LRUCache[str, _Account] = LRUCache(_MOST_SCOPES)
        self._numbers = count(1)

    async def take(self, scope: str, purpose: Purpose) -> Charge:
        account, now = self._account(scope), self._clock.monotonic()
        wait = account.gate.wait(now)
        if wait > 0.0:
            raise GateClosed.of(retry_after=wait, is_passing=account.gate.probe is not None)
        call = f"{next(self._numbers)}"
        if account.log is not None:
            wait = account.log.take(call, rank_of(purpose), now)
        if wait > 0.0:
            view = self.view(scope)
            raise BudgetExhausted.of(view.limit, view.window, retry_after=wait)
        account.gate = account.gate.try_probe(now, self._rules.probe_patience) or account.gate
        return Charge(call, now, is_reserve=self._is_reserve)

    async def give_back(self, scope: str, charge: Charge) -> None:
        account = self._account(scope)
        if account.log is not None:
            account.log.give_back(charge.call)
        account.gate = account.gate.take_back(charge.asked)

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """As Budget.close. The limit of a reserve is never lowered: the others rely on its size,
        and lower the part that Redis hands out."""
        account, now = self._account(scope), self._clock.monotonic()
        if not (self._is_reserve or account.log is None or account.gate.is_holding(now)):
            account.log.lower(now)
        account.gate = account.gate.close(now, retry_after, self._clock.jitter())
        return Closed(account.gate.wait(now), self.view(scope).limit)

    def hold(self, scope: str, seconds: float) -> None:
        account = self._account(scope)
        account.gate = account.gate.close(self._clock.monotonic(), seconds, jitter=0.0)

    async def reopen(self, scope: str) -> bool:
        account = self._account(scope)
        before, account.gate = account.gate, account.gate.reopen(self._clock.monotonic())
        return account.gate.is_open and not before.is_open

    def view(self, scope: str) -> BudgetView:
        account, now = self._account(scope), self._clock.monotonic()
        closed_for = account.gate.wait(now)
        log = account.log
        if log is None:
            return BudgetView(None, _ANY_WINDOW, None, closed_for)
        return BudgetView(log.limit(now), log.rate.window, log.available(now), closed_for)

    def _account(self, scope: str) -> _Account:
        rate = self._rules.rates.of(scope)
        if rate is not None and self._is_reserve:
            rate = Rate(reserve_of(rate.limit, self._rules.replicas), rate.window)
        account: _Account = self._accounts.setdefault(scope, _Account())
        if rate is None:
            account.log = None
        elif account.log is None:
            start = Start.REST if self._is_reserve else self._rules.start
            now, share = self._clock.monotonic(), self._rules.sweep_share
            account.log = WindowLog(rate, now, start, share)
        else:
            account.log.rate = rate
        return account
