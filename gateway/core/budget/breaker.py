"""Breaker, gate and backoff decide when a call may be made after failures.

`now` is seconds on a clock that does not run backwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from gateway.core.vocabulary import Circuit

# After a 429 the gate allows no call for at least SHORTEST_HOLD and at most LONGEST_HOLD seconds.
# If the upstream states no time, the first 429 closes the gate for FIRST_HOLD seconds. Each further
# 429 in a row doubles these seconds, up to LAST_HOLD.
SHORTEST_HOLD: Final = 1.0
LONGEST_HOLD: Final = 3600.0
FIRST_HOLD: Final = 30.0
LAST_HOLD: Final = 300.0

_MOST_DOUBLINGS: Final = 60

# A turn is kept for the last _MOST_IN_TURN askers that were refused a call, for so many seconds.
_MOST_IN_TURN: Final = 100
_REMEMBERED: Final = 300.0
_MOST_PROBED: Final = 1_000


def backoff(attempt: int, base: float, cap: float, jitter: float) -> float:
    """Seconds to wait after the `attempt`-th failure in a row: `base` after the first one.
    Each further failure doubles these seconds, up to `cap`.

    `jitter` in [0, 1) shortens the wait by up to half, so that calls that failed together are
    repeated at different times.
    """
    doublings = min(max(attempt - 1, 0), _MOST_DOUBLINGS)
    return min(cap, base * 2.0**doublings) * (1.0 - jitter / 2.0)


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """`threshold` failures in a row open a breaker, for `base` to `cap` seconds (see `backoff`).

    While a probe is under way, no other call is allowed. If the probe has no result after
    `patience` seconds (longer than any call takes), the next call becomes the probe.
    """

    threshold: int
    base: float
    cap: float
    patience: float


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of a circuit breaker: closed, open until a time, or half open during a probe.

    `failures` counts the failed calls in a row. `trips` counts how often the breaker opened since
    it was last closed. `pause` is for how many seconds it opened.

    While the breaker is open, results of earlier calls change nothing. While it is half open, any
    result counts as the result of the probe.
    """

    failures: int = 0
    trips: int = 0
    open_until: float | None = None
    probing: bool = False
    pause: float = 0.0

    @property
    def circuit(self) -> Circuit:
        """The name of the state."""
        if self.open_until is None:
            return Circuit.CLOSED
        return Circuit.HALF_OPEN if self.probing else Circuit.OPEN

    def wait(self, now: float) -> float:
        """Seconds until a call may be made; 0.0: now."""
        return 0.0 if self.open_until is None else max(0.0, self.open_until - now)

    def try_call(self, rule: BreakerRule, now: float) -> Breaker | None:
        """The next state if a call is made now. None if no call may be made."""
        if self.open_until is None:
            return self
        if now < self.open_until:
            return None
        return replace(self, open_until=now + rule.patience, probing=True)

    def record_success(self) -> Breaker:
        """The state after a call that succeeded."""
        return self if self.circuit is Circuit.OPEN else Breaker()

    def record_failure(self, rule: BreakerRule, now: float, jitter: float) -> Breaker:
        """The state after a call that failed. `jitter` is in [0, 1).

        The count of failures stays when the breaker opens, so one failed probe opens it again.
        """
        if self.circuit is Circuit.OPEN:
            return self
        failures = self.failures + 1
        if failures < rule.threshold:
            return replace(self, failures=failures)
        trips = self.trips + 1
        pause = backoff(trips, rule.base, rule.cap, jitter)
        return Breaker(failures, trips, now + pause, pause=pause)


class Turns:
    """Those that ask one breaker take turns to make its probe. The one that has not probed for
    longest is first. The turns of all others begin within a second pause.

    Without turns, the one that asks most often makes each probe. If its calls fail, and only its
    calls, then all others wait in vain.
    """

    def __init__(self) -> None:
        # By asker, the newest last: when its last probe failed, and when a call was last refused.
        self._failed: dict[str, float] = {}
        self._refused: dict[str, float] = {}

    def refused(self, asker: str, now: float) -> None:
        """Note that the asker was refused a call. In the next minutes a probe is left to it."""
        _note(self._refused, asker, now, most=_MOST_IN_TURN)

    def failed(self, asker: str, now: float) -> None:
        """Note that a probe of the asker failed."""
        _note(self._failed, asker, now, most=_MOST_PROBED)

    def wait(self, asker: str, breaker: Breaker, now: float) -> float:
        """Seconds until the asker may make a call. It leaves the first turn to others."""
        own = self._failed.get(asker)
        if own is None or breaker.circuit is not Circuit.OPEN:
            return breaker.wait(now)
        others = [
            each for each, at in self._refused.items() if each != asker and now - at <= _REMEMBERED
        ]
        before = sum(self._failed.get(each, -math.inf) < own for each in others)
        turn = breaker.pause * before / (len(others) + 1)
        return breaker.wait(now - turn)


@dataclass(frozen=True, slots=True)
class Gate:
    """The state of a gate: open, closed until a time, or closed with one probe under way.

    `probe` is the time when this probe was allowed; None: no probe is under way.
    """

    closed_until: float | None = None
    probe: float | None = None
    refusals: int = 0

    @property
    def is_open(self) -> bool:
        """Whether all calls may be made."""
        return self.closed_until is None

    def wait(self, now: float) -> float:
        """Seconds until a call, or at least a probe, may be made; 0.0: now."""
        return 0.0 if self.closed_until is None else max(0.0, self.closed_until - now)

    def close(self, now: float, retry_after: float | None, jitter: float) -> Gate:
        """The gate after a 429. `retry_after` is in seconds, None if the upstream stated no time.

        If the gate is closed and no probe is under way, the 429 answers a call that was sent before
        the gate closed. Such a 429 is not counted, and can only make `closed_until` later.
        """
        straggler = not self.is_open and self.probe is None
        refusals = self.refusals if straggler else self.refusals + 1
        until = now + _hold(retry_after, refusals, jitter)
        if straggler and self.closed_until is not None:
            until = max(until, self.closed_until)
        return Gate(until, refusals=refusals)

    def try_probe(self, now: float, patience: float) -> Gate | None:
        """The gate after a call has become the probe. None if no call may become the probe: the
        gate is open, or it is too early.

        For `patience` seconds (longer than any call takes) no other call may become the probe.
        """
        if self.closed_until is None or now < self.closed_until:
            return None
        return replace(self, closed_until=now + patience, probe=now)

    def take_back(self, probe: float) -> Gate:
        """The gate after a probe that was not sent: another call may become the probe at once.

        `probe` is the time when this probe was allowed. If a later probe is under way, or none,
        nothing changes.
        """
        return replace(self, closed_until=probe, probe=None) if probe == self.probe else self

    def reopen(self, now: float) -> Gate:
        """The gate after a response other than 429.

        If the gate is closed, and no probe is under way or due, the response answers a call that
        was sent before the gate closed. Such a response changes nothing.
        """
        return self if self.probe is None and self.wait(now) > 0.0 else Gate()


def _note(times: dict[str, float], asker: str, now: float, most: int) -> None:
    times.pop(asker, None)
    times[asker] = now
    if len(times) > most:
        del times[next(iter(times))]


def _hold(retry_after: float | None, refusals: int, jitter: float) -> float:
    """The seconds until a probe: the stated time or the backoff. Jitter adds up to a tenth."""
    if retry_after is None:
        retry_after = backoff(refusals, FIRST_HOLD, LAST_HOLD, 0.0)
    return min(LONGEST_HOLD, max(SHORTEST_HOLD, retry_after) * (1.0 + jitter / 10.0))
