"""Breaker, gate and backoff decide when a call may be made after failures.

`now` is seconds on a clock that does not run backwards.
"""

from __future__ import annotations

from collections import Counter
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

# The breaker opens after so many failures in a row. Those of one training count _MOST_OF_ONE times
# at most, so a bad training does not open it. It is open for _SHORTEST_PAUSE to _LONGEST_PAUSE
# seconds.
_FAILURES: Final = 10
_MOST_OF_ONE: Final = 4
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
    """Leaves the upstream alone after _FAILURES failed calls in a row, of three trainings or more.

    It is open for a second, then for twice as long each time. Then one call is allowed, the probe,
    which shows whether the upstream answers again. If a probe has no result after `patience`
    seconds (longer than any call takes), the next call becomes the probe.

    Results of calls that were sent before it opened change nothing while it is open. While it is
    half open, any result counts as the result of the probe.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._close()

    def _close(self) -> None:
        self._failures: Counter[Training] = Counter()
        self._unsent = 0
        self._trips = 0
        self._pause = 0.0
        self._open_until: float | None = None
        self._probe: Training | None = None
        # A training whose probe failed comes after all others the next time. Otherwise a bad
        # training that is asked for most often would make each probe.
        self._failed_probes: set[Training] = set()

    def circuit(self, now: float) -> Circuit:
        """The name of the state. A breaker that no call has needed for a minute counts as closed,
        because nobody misses a call. Its next call is a probe all the same."""
        if self._open_until is None or now - self._open_until > _IDLE:
            return Circuit.CLOSED
        return Circuit.OPEN if self._probe is None else Circuit.HALF_OPEN

    def enter(self, training: Training, now: float) -> None:
        """Ask whether a call may be made, perhaps as the probe. Raises CircuitOpen."""
        if self._open_until is None:
            return
        is_last = self._probe is None and training in self._failed_probes
        wait = self._open_until + (self._pause if is_last else 0.0) - now
        if wait > 0.0:
            what = "the upstream failed repeatedly and is left alone for a while"
            raise CircuitOpen(what, retry_after=wait)
        self._open_until, self._probe = now + self._patience, training

    def leave(self, training: Training, now: float) -> None:
        """A call that was allowed said nothing about the upstream. If it was the probe, the next
        call can be the probe."""
        if training == self._probe:
            self._open_until, self._probe = now, None

    def succeeded(self) -> None:
        """The upstream answered a call."""
        if self._open_until is None or self._probe is not None:
            self._close()

    def failed(self, training: Training, now: float, jitter: float, *, sent: bool) -> None:
        """A call failed. A call that was not sent says nothing about its training, so it counts as
        one of a training of its own. `jitter` is in [0, 1)."""
        if self._probe is not None:
            self._failed_probes.add(self._probe)
        elif self._open_until is not None:
            return
        elif sent:
            self._failures[training] += 1
        else:
            self._unsent += 1
        counted = sum(min(each, _MOST_OF_ONE) for each in self._failures.values())
        if counted + self._unsent >= _FAILURES:
            self._trips += 1
            self._pause = backoff(self._trips, _SHORTEST_PAUSE, _LONGEST_PAUSE, jitter)
            self._open_until, self._probe = now + self._pause, None


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


def _hold(retry_after: float | None, refusals: int, jitter: float) -> float:
    """The seconds until a probe: the stated time or the backoff. Jitter adds up to a tenth."""
    if retry_after is None:
        retry_after = backoff(refusals, FIRST_HOLD, LAST_HOLD, 0.0)
    return min(LONGEST_HOLD, max(SHORTEST_HOLD, retry_after) * (1.0 + jitter / 10.0))
