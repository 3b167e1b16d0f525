"""Breaker, gate and backoff decide when a call may be made after failures.

`now` is seconds on a clock that does not run backwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from gateway.core.errors import CircuitOpen
from gateway.core.vocabulary import Circuit

# After a 429 the gate allows no call for at least SHORTEST_HOLD and at most LONGEST_HOLD seconds.
# If the upstream states no time, the first 429 closes the gate for FIRST_HOLD seconds. Each further
# 429 in a row doubles these seconds, up to LAST_HOLD.
SHORTEST_HOLD: Final = 1.0
LONGEST_HOLD: Final = 3600.0
FIRST_HOLD: Final = 30.0
LAST_HOLD: Final = 300.0

_MOST_DOUBLINGS: Final = 60

# The breaker opens when calls for so many trainings failed without a success between.
_FAILURES: Final = 5
# Its pauses in seconds, the first and the longest.
_SHORTEST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_IDLE: Final = 60.0

# A partition, and the id of a training in it.
Training: TypeAlias = tuple[str, str]


def backoff(attempt: int, base: float, cap: float, jitter: float) -> float:
    """Seconds to wait after the `attempt`-th failure in a row: `base` after the first one.
    Each further failure doubles these seconds, up to `cap`.

    `jitter` in [0, 1) shortens the wait by up to half, so that calls that failed together are
    repeated at different times.
    """
    doublings = min(max(attempt - 1, 0), _MOST_DOUBLINGS)
    return min(cap, base * 2.0**doublings) * (1.0 - jitter / 2.0)


class Breaker:
    """Leaves the upstream alone after calls for _FAILURES different trainings failed, and none
    succeeded between. A call that was not sent says nothing about its training, so it counts as
    one of a training of its own.

    While the breaker is open, one call (the probe) is allowed after each pause. The first pause
    is a second, and each probe doubles it. Any success closes the breaker. A training that has
    failed waits for two pauses: otherwise a bad training that is asked for most often would make
    each probe.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        """`jitter` returns numbers in [0, 1)."""
        self._jitter = jitter
        self.succeeded()

    def succeeded(self) -> None:
        """The upstream answered a call."""
        self._failed: set[object] = set()
        self._pauses = 0
        self._pause = 0.0
        self._next_probe: float | None = None

    def circuit(self, now: float) -> Circuit:
        """The name of the state. Half open: the next call is a probe. A breaker that no call has
        needed for a minute counts as closed, because nobody misses a call."""
        if self._next_probe is None or now - self._next_probe > _IDLE:
            return Circuit.CLOSED
        return Circuit.OPEN if now < self._next_probe else Circuit.HALF_OPEN

    def enter(self, training: Training, now: float) -> float | None:
        """Ask whether a call may be made. Raises CircuitOpen. Returns a number for `leave`."""
        if self._next_probe is None:
            return None
        wait = self._next_probe + (self._pause if training in self._failed else 0.0) - now
        if wait > 0.0:
            what = "the upstream failed repeatedly and is left alone for a while"
            raise CircuitOpen(what, retry_after=wait)
        self._begin_pause(now)
        return self._next_probe

    def leave(self, entered: float | None, now: float) -> None:
        """A call that was allowed said nothing about the upstream. If it was the last probe, the
        next call can be a probe."""
        if entered is not None and entered == self._next_probe:
            self._next_probe = now

    def failed(self, training: Training, now: float, *, sent: bool) -> None:
        """A call failed."""
        self._failed.add(training if sent else object())
        if self._next_probe is None and len(self._failed) >= _FAILURES:
            self._begin_pause(now)

    def _begin_pause(self, now: float) -> None:
        self._pauses += 1
        self._pause = backoff(self._pauses, _SHORTEST_PAUSE, _LONGEST_PAUSE, self._jitter())
        self._next_probe = now + self._pause


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

    def is_holding(self, now: float) -> bool:
        """Whether the gate is closed, and no probe is under way or due. A call that is answered now
        was sent before the gate closed."""
        return self.probe is None and self.wait(now) > 0.0

    def close(self, now: float, retry_after: float | None, jitter: float) -> Gate:
        """The gate after a 429. `retry_after` is in seconds, None if the upstream stated no time.

        A 429 to a call that was sent before the gate closed is not counted, and can only make
        `closed_until` later.
        """
        is_late = self.is_holding(now)
        refusals = self.refusals if is_late else self.refusals + 1
        until = now + _hold(retry_after, refusals, jitter)
        if is_late and self.closed_until is not None:
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
        """The gate after a response other than 429."""
        return self if self.is_holding(now) else Gate()


def _hold(retry_after: float | None, refusals: int, jitter: float) -> float:
    """The seconds until a probe: the stated time or the backoff. Jitter adds up to a tenth."""
    if retry_after is None:
        retry_after = backoff(refusals, FIRST_HOLD, LAST_HOLD, 0.0)
    return min(LONGEST_HOLD, max(SHORTEST_HOLD, retry_after) * (1.0 + jitter / 10.0))
