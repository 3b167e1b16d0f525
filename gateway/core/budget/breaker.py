"""When a call may go: breaker, gate and back-off; the window has a file of its own.

Lives here: arithmetic on (state, now), with jitter handed in. Nothing here reads a clock, draws
a random number or waits. `now` is seconds on any one clock that does not run backwards, the same
for all calls on one state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from gateway.core.vocabulary import Circuit

# What a gate closes for, in seconds: the bounds of what upstream may ask for, and the holds
# where it asked for nothing.
SHORTEST_HOLD: Final = 1.0
LONGEST_HOLD: Final = 3600.0
FIRST_HOLD: Final = 30.0
LAST_HOLD: Final = 300.0

_MOST_DOUBLINGS: Final = 60


def backoff(attempt: int, base: float, cap: float, jitter: float) -> float:
    """Seconds to wait after the `attempt`-th failure in a row: doubling from `base` to `cap`.

    `jitter` in [0, 1) takes away up to half, so that many who failed together part.
    """
    doublings = min(max(attempt - 1, 0), _MOST_DOUBLINGS)
    return min(cap, base * 2.0**doublings) * (1.0 - jitter / 2.0)


@dataclass(frozen=True, slots=True)
class Pause:
    """How a key is left alone after a failure: as `backoff` has it, and no shorter than `least`."""

    base: float
    cap: float
    jitter: float
    least: float

    def after(self, attempts: int) -> float:
        """Seconds after so many failures in a row."""
        return max(self.least, backoff(attempts, self.base, self.cap, self.jitter))


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """How many failures in a row open a breaker, and for how long (seconds, doubling).

    `patience` is how long a probe may keep the others away; longer than any call's deadline.
    """

    threshold: int
    base: float
    cap: float
    patience: float


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether somebody who keeps failing is called: closed, open until a time, or probed.

    Once it is open only a probe decides: what ends late was sent before it opened.
    """

    failures: int = 0
    trips: int = 0
    open_until: float | None = None
    probing: bool = False

    @property
    def circuit(self) -> Circuit:
        """The state's word."""
        if self.open_until is None:
            return Circuit.CLOSED
        return Circuit.HALF_OPEN if self.probing else Circuit.OPEN

    def wait(self, now: float) -> float:
        """Seconds until a call may go, 0.0 if one may now."""
        return 0.0 if self.open_until is None else max(0.0, self.open_until - now)

    def try_call(self, rule: BreakerRule, now: float) -> Breaker | None:
        """The state to keep if a call goes now, as a probe where it is due; None: no call.

        A probe of which nothing is heard gives way to the next one after `rule.patience`.
        """
        if self.open_until is None:
            return self
        if now < self.open_until:
            return None
        return replace(self, open_until=now + rule.patience, probing=True)

    def record_success(self) -> Breaker:
        """The state after a call that succeeded."""
        return self if self.circuit is Circuit.OPEN else Breaker()

    def record_failure(self, rule: BreakerRule, now: float, jitter: float) -> Breaker:
        """The state after a call that failed; `jitter` in [0, 1).

        The count outlives the opening, so a probe's one failure opens it again.
        """
        if self.circuit is Circuit.OPEN:
            return self
        failures = self.failures + 1
        if failures < rule.threshold:
            return replace(self, failures=failures)
        trips = self.trips + 1
        return Breaker(failures, trips, now + backoff(trips, rule.base, rule.cap, jitter))


@dataclass(frozen=True, slots=True)
class Gate:
    """What may be sent since upstream said 429: all, nothing until a time, or one probe.

    `probe` is when the one was sent whose answer is awaited.
    """

    closed_until: float | None = None
    probe: float | None = None
    refusals: int = 0

    @property
    def is_open(self) -> bool:
        """Whether calls pass freely."""
        return self.closed_until is None

    def wait(self, now: float) -> float:
        """Seconds until a call may go, 0.0 if one may now, be it as the probe."""
        return 0.0 if self.closed_until is None else max(0.0, self.closed_until - now)

    def close(self, now: float, retry_after: float | None, jitter: float) -> Gate:
        """The gate after a 429; `retry_after` in seconds, None where upstream named no time.

        Calls that were in flight when it closed may bring more 429s: they can only put the
        time off, and do not count as another refusal.
        """
        straggler = not self.is_open and self.probe is None
        refusals = self.refusals if straggler else self.refusals + 1
        until = now + _hold(retry_after, refusals, jitter)
        if straggler and self.closed_until is not None:
            until = max(until, self.closed_until)
        return Gate(until, refusals=refusals)

    def try_probe(self, now: float, patience: float) -> Gate | None:
        """The gate to keep if this caller is the one probe; None: it is not, or need not be.

        `patience` is how long (seconds) nobody else probes; longer than any call's deadline.
        """
        if self.closed_until is None or now < self.closed_until:
            return None
        return replace(self, closed_until=now + patience, probe=now)

    def take_back(self, probe: float) -> Gate:
        """The gate after the call made at `probe` provably never left: the next one may probe."""
        return replace(self, closed_until=probe, probe=None) if probe == self.probe else self

    def reopen(self, now: float) -> Gate:
        """The gate after an answer other than 429, unless that was sent before it closed.

        An answer that comes after its time needs no probe: it says what a probe would.
        """
        return self if self.probe is None and self.wait(now) > 0.0 else Gate()


def _hold(retry_after: float | None, refusals: int, jitter: float) -> float:
    """Seconds to keep a gate closed: at least what upstream said, a tenth more by jitter."""
    if retry_after is None:
        retry_after = backoff(refusals, FIRST_HOLD, LAST_HOLD, 0.0)
    return min(LONGEST_HOLD, max(SHORTEST_HOLD, retry_after) * (1.0 + jitter / 10.0))
