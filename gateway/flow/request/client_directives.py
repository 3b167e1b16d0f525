"""Limits the calls that directives of callers cause (`freshness.client_directives`).

Directives cause a call in two cases: they refuse the stored response, or a request with `no-store`
needs a fetch. A part of the budget pays for such calls (`CallShare`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cachetools import FIFOCache

from gateway.core.access.caller import Caller
from gateway.core.budget.window_log import Rates
from gateway.core.cache.entry import Key
from gateway.ports import Clock

# At least this many seconds are between two calls that directives cause for one key.
_AGAIN_AFTER: Final = 10.0
_MOST_KEYS: Final = 10_000
# The share of a budget (`CallShare`) is the limit of the budget divided by this.
_BUDGET_DIVISOR: Final = 10
_MOST_SCOPES: Final = 10_000


class Grants:
    """Decides whether a directive may cause a call. A key has at most one such call in any ten
    seconds. Each such call is charged to `share`. Each replica counts its own calls."""

    def __init__(self, clock: Clock, share: CallShare) -> None:
        self._clock = clock
        self._share = share
        self._last: FIFOCache[Key, float] = FIFOCache(_MOST_KEYS)

    def take(self, key: Key, caller: Caller) -> bool:
        """Charge a call. Returns False if the request must not cause one."""
        now = self._clock.monotonic()
        if now - self._last.get(key, now - _AGAIN_AFTER) < _AGAIN_AFTER:
            return False
        if self._share.take(caller) is None:
            return False
        self._last[key] = now
        return True


@dataclass(frozen=True, slots=True, eq=False)
class ChargedCall:
    """One call that was charged to the share of the budget `scope`, at the monotonic time `at`.
    `caller`: the client and its partition."""

    scope: str
    caller: tuple[str, str]
    at: float


@dataclass(slots=True)
class _Charged:
    """The calls that were charged to one share in the last window, the oldest first."""

    calls: deque[ChargedCall] = field(default_factory=deque)
    by_caller: Counter[tuple[str, str]] = field(default_factory=Counter)


class CallShare:
    """Limits calls that are made only because a caller does not accept the stored response. Their
    share is a tenth of each budget in any window. Each replica has an equal part of the share, and
    at least one call. Of the calls in this part that other callers have not used, a caller may have
    half (rounded up).

    is_divided  False if all callers of a budget count as one caller, which may have the whole part
    """

    def __init__(
        self,
        clock: Clock,
        rates: Rates,
        replicas: Callable[[], int],
        *,
        is_divided: bool,
    ) -> None:
        self._clock = clock
        self._rates = rates
        self._replicas = replicas
        self._is_divided = is_divided
        self._charged: FIFOCache[str, _Charged] = FIFOCache(_MOST_SCOPES)

    def take(self, caller: Caller) -> ChargedCall | None:
        """Charge one call. None: this caller cannot have one now."""
        now, rate = self._clock.monotonic(), self._rates.of(caller.scope)
        call = ChargedCall(caller.scope, (caller.client, caller.partition), now)
        if rate is None:
            return call
        charged = self._current(caller.scope, now - rate.window)
        left = max(1, rate.limit // _BUDGET_DIVISOR // self._replicas()) - len(charged.calls)
        own = charged.by_caller[call.caller] if self._is_divided else 0
        if own >= left:
            return None
        charged.calls.append(call)
        charged.by_caller[call.caller] += 1
        return call

    def give_back(self, call: ChargedCall | None) -> None:
        """Undo the charge of a call. None: nothing was charged."""
        charged = None if call is None else self._charged.get(call.scope)
        if call is not None and charged is not None and call in charged.calls:
            charged.calls.remove(call)
            _uncount(charged, call)

    def wait(self, scope: str) -> float:
        """Seconds until the oldest charged call leaves the window, at least 1."""
        rate, charged = self._rates.of(scope), self._charged.get(scope)
        if rate is None or charged is None or not charged.calls:
            return 1.0
        return max(1.0, charged.calls[0].at + rate.window - self._clock.monotonic())

    def _current(self, scope: str, since: float) -> _Charged:
        """The calls that were charged to the scope after `since`."""
        charged = self._charged.get(scope) or _Charged()
        self._charged[scope] = charged
        while charged.calls and charged.calls[0].at <= since:
            _uncount(charged, charged.calls.popleft())
        return charged


def _uncount(charged: _Charged, call: ChargedCall) -> None:
    charged.by_caller[call.caller] -= 1
    if not charged.by_caller[call.caller]:
        del charged.by_caller[call.caller]
