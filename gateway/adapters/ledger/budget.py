"""The budget and the gate in memory, for a process without Redis, or while Redis is away.

core/budget has the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cachetools import LRUCache

from gateway.core.budget.breaker import SHORTEST_HOLD, Gate
from gateway.core.budget.priority import rank_of
from gateway.core.budget.window_log import OwnRates, Past, Rate, Stretch, WindowLog
from gateway.core.errors import BudgetExhausted, GateClosed
from gateway.core.vocabulary import Purpose
from gateway.ports import BudgetView, Charge, Clock, Closed


@dataclass(slots=True)
class _Account:
    """The state of one scope. If its budget is unlimited, `rate` and `log` are None.

    `parts`: how many replicas divide the limit (see `stand_in`). 0: this process has the whole
    limit. `past`: the limit that the replicas divide, and the calls within it that this replica
    knows. None: no limit is divided.
    """

    rate: Rate | None
    log: WindowLog | None
    gate: Gate
    parts: int = 0
    past: Past | None = None


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
    """The budget of this process: at most `limit` calls (None: any number) in any `window` seconds.

    start_paced     True: calls are granted slowly after the start
    probe_patience  seconds for which a probe without an answer stops other calls
    max_scopes      the largest number of scopes in memory. The least recently used scope is
                    forgotten first. If the scope is used again, it is paced as at the start, but
                    a closed gate is not forgotten
    rates           the scopes with a rate of their own
    sweep_share     the largest part of a limit that the sweep can use, in (0, 1]

    An earlier process has perhaps spent the whole limit. Therefore, with `start_paced`, only a
    tenth of the calls of a stretch (at least one call) is free at the start. The other calls are
    granted at even intervals. (A stretch is the window, or a part of it if the limit is high.)

    - If the earlier process spent the limit evenly: a window has at most a tenth more calls than
      the limit (one more if the limit is below 10).
    - If the earlier process spent the limit just before it ended: a window can have nearly twice
      the limit. The first 429 stops most of the extra calls before they are sent.
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
    ) -> None:
        self._clock = clock
        self._sweep_share = sweep_share
        self._usual = None if limit is None else Rate(limit, window)
        self._window = window
        self._rates = rates or OwnRates()
        self._start_paced = start_paced
        self._probe_patience = probe_patience
        self._accounts = _Accounts(max_scopes)

    async def take(self, scope: str, purpose: Purpose, *, patience: float = 0.0) -> Charge:
        """As Budget.take. The charge's stamp is the monotonic time from which the call can be
        sent."""
        account, now = self._account_if_gate_allows(scope), self._clock.monotonic()
        if not account.gate.is_open:
            patience = 0.0  # this call is the probe, which does not wait
        wait = 0.0
        if account.log is not None:
            wait = account.log.try_take(now, rank_of(purpose), patience)
        if wait > patience:
            view = self.view(scope)
            raise BudgetExhausted.of(view.limit, view.window, retry_after=wait)
        account.gate = account.gate.try_probe(now, self._probe_patience) or account.gate
        return Charge(now + wait, wait)

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        """As Charging.enter. Returns None if only a probe may be sent now, and this call is not the
        probe. Also returns None if the log no longer has the charge, for example because a 429
        removed the charges of waiting calls."""
        account, now = self._account(scope), self._clock.monotonic()
        is_probe, wait = account.gate.probe == charge.stamp, account.gate.wait(now)
        if not is_probe and not account.gate.is_open:
            await self.give_back(scope, charge)
            if wait > 0.0:
                raise _closed(account.gate, wait)
            return None
        if account.log is not None and not account.log.move(charge.stamp, now):
            account.gate = account.gate.take_back(charge.stamp)
            return None
        if is_probe:
            account.gate = replace(account.gate, probe=now)
        return Charge(now, charge.wait)

    async def give_back(self, scope: str, charge: Charge) -> None:
        """As Charging.give_back. If a charge were given back twice, the second time could undo
        another charge with the same stamp."""
        account = self._account(scope)
        if account.log is not None:
            account.log.give_back(charge.stamp)
        account.gate = account.gate.take_back(charge.stamp)

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """As Charging.close. If the gate is closed and no probe is under way, the 429 does not
        lower the limit, because the refused call was sent before the gate closed."""
        account, now = self._account(scope), self._clock.monotonic()
        before = account.gate
        is_straggler = not before.is_open and before.probe is None
        if not is_straggler and account.log is not None:
            account.log.refused(now)
        account.gate = before.close(now, retry_after, self._clock.jitter())
        wait = account.gate.wait(now)
        is_longer = not is_straggler or wait - before.wait(now) >= SHORTEST_HOLD
        return Closed(wait, is_longer, self.view(scope).limit)

    def hold(self, scope: str, seconds: float) -> None:
        """As Budget.hold."""
        account = self._account(scope)
        account.gate = account.gate.close(self._clock.monotonic(), seconds, jitter=0.0)

    async def reopen(self, scope: str) -> bool:
        """As Charging.reopen."""
        account = self._account(scope)
        before, account.gate = account.gate, account.gate.reopen(self._clock.monotonic())
        return account.gate.is_open and not before.is_open

    def stand_in(self, scope: str, past: Past | None, replicas: int) -> None:
        """As OwnBudget.stand_in."""
        account = self._account(scope)
        account.parts = replicas
        account.log = self._new_part(account, past)

    def view(self, scope: str) -> BudgetView:
        """The budget as it is now."""
        account, now = self._account(scope), self._clock.monotonic()
        log, rate, closed_for = account.log, account.rate, account.gate.wait(now)
        if log is None or rate is None:
            return BudgetView(None, self._window, None, closed_for)
        stretch = Stretch.of(rate)
        limit, available = (stretch.whole(n, rate) for n in (log.limit(now), log.available(now)))
        return BudgetView(limit, rate.window, available, closed_for)

    def _account_if_gate_allows(self, scope: str) -> _Account:
        """The account of the scope. Raises GateClosed if its gate allows no call yet, not even a
        probe."""
        account = self._account(scope)
        wait = account.gate.wait(self._clock.monotonic())
        if wait > 0.0:
            raise _closed(account.gate, wait)
        return account

    def _account(self, scope: str) -> _Account:
        rate = self._rates.of(scope, self._usual)
        account = self._accounts.get(scope)
        if account is None:
            gate = self._accounts.closed.pop(scope, Gate())
            account = _Account(rate, self._new_log(rate), gate)
            self._accounts[scope] = account
        elif account.rate != rate:
            account.rate = rate
            account.log = self._next_log(account)
        return account

    def _next_log(self, account: _Account) -> WindowLog | None:
        """The log after a change of the rate. If this process has only a part of the limit, a
        higher rate does not make the part larger than it was when Redis was lost, because the other
        replicas leave only that many calls for this replica."""
        before = account.log
        if account.parts:
            past = account.past
            if past is not None:
                past = None if before is None else replace(past, own=before.times)
            return self._new_part(account, past)
        log = self._new_log(account.rate)
        if log is not None and before is not None:
            log.follow(before)
        return log

    def _new_part(self, account: _Account, past: Past | None) -> WindowLog | None:
        log = self._new_log(account.rate)
        if log is not None:
            past = past or Past(log.limit(self._clock.monotonic()), log.times, None)
            account.past = past
            log.share(past, account.parts)
        return log

    def _new_log(self, rate: Rate | None) -> WindowLog | None:
        if rate is None:
            return None
        stretch = Stretch.of(rate)
        most, span, season = stretch.limit, stretch.span, stretch.span * stretch.parts
        if not self._start_paced:
            return WindowLog(most, span, self._sweep_share, season=season)
        free, now = max(1, most // 10), self._clock.monotonic()
        return WindowLog.paced(most, span, now, free, self._sweep_share, season=season)


def _closed(gate: Gate, wait: float) -> GateClosed:
    is_probed = gate.probe is not None
    return GateClosed("the API asked the gateway to wait", retry_after=wait, is_probed=is_probed)
