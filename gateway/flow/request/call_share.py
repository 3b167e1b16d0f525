"""The part of a budget for calls that are made only because callers ask for more than what is
stored: a bound for all of them together, and a fair part for each.

Counted in this replica; the replicas divide it. Bounded; forgetting a scope costs a few calls.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.core.access.caller import Caller
from gateway.core.budget.rates import OwnRates, Rate
from gateway.ports import Clock

_PART_OF_BUDGET: Final = 10
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class SharedCall:
    """One call that was charged to a share, at `at` on the monotonic clock."""

    scope: str
    caller: tuple[str, str]
    at: float


@dataclass(slots=True)
class _Charged:
    """The calls of the last window, the oldest first, and how many each caller has."""

    calls: deque[SharedCall] = field(default_factory=deque)
    by_caller: Counter[tuple[str, str]] = field(default_factory=Counter)


class CallShare:
    """A tenth of each budget (one call at least), in any of its windows.

    A caller has at most half of what the callers before it left, so that one cannot spend the
    share of the others; all of it where callers are not told apart (`is_divided` False).
    `usual` and `rates` say what the budgets are (None: no limit), `replicas` among how many.
    """

    def __init__(
        self,
        clock: Clock,
        usual: Rate | None,
        rates: OwnRates,
        replicas: Callable[[], int],
        *,
        is_divided: bool,
    ) -> None:
        self._clock = clock
        self._usual = usual
        self._rates = rates
        self._replicas = replicas
        self._is_divided = is_divided
        self._charged: dict[str, _Charged] = {}

    def take(self, caller: Caller) -> SharedCall | None:
        """Charge one call; None where this caller may have none now."""
        now, rate = self._clock.monotonic(), self._rates.of(caller.scope, self._usual)
        call = SharedCall(caller.scope, (caller.client, caller.partition), now)
        if rate is None:
            return call
        charged = self._current(caller.scope, now - rate.window)
        left = max(1, rate.limit // _PART_OF_BUDGET // self._replicas()) - len(charged.calls)
        own = charged.by_caller[call.caller] if self._is_divided else 0
        if own >= left:
            return None
        charged.calls.append(call)
        charged.by_caller[call.caller] += 1
        return call

    def give_back(self, call: SharedCall) -> None:
        """It was not made, or worth what any call is."""
        charged = self._charged.get(call.scope)
        if charged is not None and call in charged.calls:
            charged.calls.remove(call)
            _uncount(charged, call)

    def wait(self, scope: str) -> float:
        """Seconds until a call that was charged leaves the window, > 0."""
        rate, charged = self._rates.of(scope, self._usual), self._charged.get(scope)
        if rate is None or charged is None or not charged.calls:
            return 1.0
        return max(1.0, charged.calls[0].at + rate.window - self._clock.monotonic())

    def _current(self, scope: str, since: float) -> _Charged:
        """What was charged since then; this scope becomes the latest one."""
        charged = self._charged.pop(scope, None) or _Charged()
        self._charged[scope] = charged
        if len(self._charged) > _MOST:
            del self._charged[next(iter(self._charged))]
        while charged.calls and charged.calls[0].at <= since:
            _uncount(charged, charged.calls.popleft())
        return charged


def _uncount(charged: _Charged, call: SharedCall) -> None:
    charged.by_caller[call.caller] -= 1
    if not charged.by_caller[call.caller]:
        del charged.by_caller[call.caller]
