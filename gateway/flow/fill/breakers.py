"""The breakers: each scope (the owner of a budget) has its own, and all scopes have one together.

If only the calls of one scope fail, for example because the API fails at one training, the calls of
other scopes go on. In an outage the common breaker opens, so that not every scope has to fail ten
times.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from gateway.core.budget.breaker import Breaker, BreakerRule
from gateway.core.errors import CircuitOpen
from gateway.core.vocabulary import Circuit
from gateway.ports import Clock, Observer

# Calls that were sent and failed count this often at most for each scope, before the common breaker
# opens. So one or two scopes do not open it.
_MOST_OF_ONE_SCOPE: Final = 4
_MOST_SCOPES: Final = 1_000
# If no call was needed for so many seconds after the pause of a breaker, it counts as closed.
_IDLE: Final = 60.0
_CLOSED: Final = Breaker()
_WORST_LAST: Final = (Circuit.CLOSED, Circuit.HALF_OPEN, Circuit.OPEN)


@dataclass(frozen=True, slots=True)
class Allowed:
    """A call that both breakers allowed, and the states of the breakers before and after that. The
    first one is the breaker of the scope."""

    scope: str
    before: tuple[Breaker, Breaker]
    after: tuple[Breaker, Breaker]


class Breakers:
    """Decides whether a call of a scope may be made. Both breakers have to allow it: the breaker of
    its scope and the common one."""

    def __init__(self, rule: BreakerRule, clock: Clock, observer: Observer) -> None:
        self._rule = rule
        self._clock = clock
        self._observer = observer
        self._common = _CLOSED
        # A breaker without failures has no record.
        self._own: LRUCache[str, Breaker] = LRUCache(_MOST_SCOPES)
        # For each scope, the failures since a call of any scope succeeded.
        self._failures: Counter[str] = Counter()

    @property
    def circuit(self) -> Circuit:
        """The state of the breaker that is worst off. A breaker that no call has needed for a
        minute counts as closed, because nobody misses a call. Its next call is a probe all the
        same."""
        now = self._clock.monotonic()
        circuits = {_shown(each, now) for each in (self._common, *self._own.values())}
        return max(circuits, key=_WORST_LAST.index)

    def enter(self, scope: str) -> Allowed:
        """Ask whether a call may be made, perhaps as the probe. Raises CircuitOpen."""
        now = self._clock.monotonic()
        own, common = before = self._own.get(scope, _CLOSED), self._common
        next_own, next_common = (each.try_call(self._rule, now) for each in before)
        if next_own is None or next_common is None:
            raise CircuitOpen(
                "the upstream failed repeatedly and is left alone for a while",
                retry_after=max(own.wait(now), common.wait(now)),
            )
        self._move(scope, next_own)
        self._move(None, next_common)
        return Allowed(scope, before, (next_own, next_common))

    def leave(self, allowed: Allowed) -> None:
        """Undo `enter`, because the call said nothing about the upstream. If this call was the
        probe, the next call can be the probe instead."""
        own, common = allowed.after
        if self._own.get(allowed.scope, _CLOSED) is own:
            self._move(allowed.scope, allowed.before[0])
        if self._common is common:
            self._move(None, allowed.before[1])

    def succeeded(self, scope: str) -> None:
        """The upstream answered a call."""
        self._failures.clear()
        self._move(scope, self._own.get(scope, _CLOSED).record_success())
        self._move(None, self._common.record_success())

    def failed(self, scope: str, jitter: float, *, sent: bool) -> None:
        """A call failed. A call that was not sent says that the upstream cannot be reached, so it
        counts only for the common breaker, unless it was the probe of its scope. `jitter` is in
        [0, 1)."""
        now, own = self._clock.monotonic(), self._own.get(scope, _CLOSED)
        if sent or own.circuit is Circuit.HALF_OPEN:
            self._move(scope, own.record_failure(self._rule, now, jitter))
        if sent:
            self._failures[scope] += 1
        is_one_of_many = sent and self._failures[scope] > _MOST_OF_ONE_SCOPE
        if self._common.circuit is not Circuit.CLOSED or not is_one_of_many:
            self._move(None, self._common.record_failure(self._rule, now, jitter))

    def _move(self, scope: str | None, breaker: Breaker) -> None:
        """Set the breaker of the scope (None: the common one), and tell the observer if its state
        changes."""
        if scope is None:
            before, self._common = self._common, breaker
        else:
            before = self._own.get(scope, _CLOSED)
            if breaker == _CLOSED:
                self._own.pop(scope, None)
            else:
                self._own[scope] = breaker
        if breaker.circuit is not before.circuit:
            self._observer.circuit_moved(breaker.circuit, scope)


def _shown(breaker: Breaker, now: float) -> Circuit:
    until = breaker.open_until
    is_idle = until is not None and now - until > _IDLE
    return Circuit.CLOSED if is_idle else breaker.circuit
