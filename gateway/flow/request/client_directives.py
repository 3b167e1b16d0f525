"""Answers the requests that have `Cache-Control` directives (`freshness.client_directives`).

Directives cause a call in two cases: they refuse the stored response, or a request with `no-store`
needs a fetch. Such calls are limited (`Grants`), and a part of the budget pays for them
(`CallShare`).
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
from gateway.core.errors import OnlyIfCached
from gateway.core.http.cache_control import RequestDirectives
from gateway.flow.answer import Answer, Ask
from gateway.flow.cache.tiers import Seen
from gateway.flow.request.response_selection import Serving
from gateway.ports import Clock

# At least this many seconds are between two calls that directives cause for one key.
_AGAIN_AFTER: Final = 10.0
_MOST_KEYS: Final = 10_000
# The share of a budget (`CallShare`) is the limit of the budget divided by this.
_BUDGET_DIVISOR: Final = 10
_MOST_SCOPES: Final = 10_000


class DirectiveHandler:
    """Answers the requests that have directives."""

    def __init__(self, serving: Serving, clock: Clock, grants: Grants) -> None:
        self._serving = serving
        self._clock = clock
        self._grants = grants

    async def get(self, ask: Ask) -> Answer:
        """As Serving.get, but follows the caller's directives."""
        directives = ask.directives
        if directives is None:
            return await self._serving.get(ask)
        seen, now = await self._serving.seen(ask), self._clock.now()
        is_refused = seen is not None and refuses(directives, *_age_and_lifetime(seen, now))
        if seen is not None and not is_refused:
            answer = self._from_store(ask, directives, seen, now)
            if answer is not None:
                return answer
        if not is_refused and not directives.no_store:
            return await self._serving.get(ask)
        if ask.only_if_cached:
            raise OnlyIfCached
        if not self._grants.take(ask.key, ask.caller):
            return await self._serving.get(ask)
        return await self._serving.from_upstream(ask, seen, keep=not directives.no_store)

    def _from_store(
        self, ask: Ask, directives: RequestDirectives, seen: Seen, now: float
    ) -> Answer | None:
        """The answer with a stored response that the directives do not refuse. None if a fetch is
        needed."""
        allows_stale = takes_stale(directives, *_age_and_lifetime(seen, now))
        if allows_stale and self._serving.may_be_stale(seen):
            return self._serving.stale_refreshing(ask, seen)
        return self._serving.once_looked_up(ask, seen)


def refuses(directives: RequestDirectives, age: float, lifetime: float) -> bool:
    """Whether the directives refuse a stored response of this age and freshness lifetime.

    `max-age` also refuses a stale response, except if `max-stale` allows it (RFC 9111, 5.2.1.1).
    `min-fresh` refuses a stale response even if `max-stale` allows it.
    """
    if directives.no_cache or (directives.max_age is not None and age > directives.max_age):
        return True
    if directives.min_fresh is not None and lifetime - age < directives.min_fresh:
        return True
    is_stale = directives.max_age is not None and age >= lifetime
    return is_stale and not takes_stale(directives, age, lifetime)


def takes_stale(directives: RequestDirectives, age: float, lifetime: float) -> bool:
    """Whether `max-stale` allows this age."""
    return directives.max_stale is not None and age - lifetime <= directives.max_stale


def _age_and_lifetime(seen: Seen, now: float) -> tuple[float, float]:
    entry = seen.held.entry
    return entry.age(now), entry.freshness_lifetime


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

    def give_back(self, call: ChargedCall) -> None:
        """Undo the charge of a call."""
        charged = self._charged.get(call.scope)
        if charged is not None and call in charged.calls:
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
