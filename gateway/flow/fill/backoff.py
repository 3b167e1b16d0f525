"""Keys that upstream failed for a moment ago, and how long each is left alone.

Lives here: what this replica knows. What it shares with the others stands beside the lease.
Bounded; forgetting one costs a call, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cachetools import FIFOCache

from gateway.core.budget.breaker import Pause
from gateway.core.cache.entry import Key
from gateway.core.errors import (
    AccessRefused,
    BackedOff,
    CallWithheld,
    UpstreamError,
    UpstreamRefused,
    VersionDoubted,
)
from gateway.core.vocabulary import Detail, Outcome
from gateway.ports import Clock

_BASE: Final = 1.0
_CAP: Final = 60.0
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of a key; `until` on the monotonic clock."""

    attempts: int
    until: float
    outcome: Outcome
    detail: Detail


class Backoffs:
    """The failures not yet followed by a success."""

    def __init__(self, clock: Clock, believe_after: float) -> None:
        self._clock = clock
        # A third answer to what is doubted comes in time for the second half of that.
        self._cap_of_doubt = min(max(believe_after / 2.0, _BASE), _CAP)
        self._failures: FIFOCache[Key, Failure] = FIFOCache(_MOST)

    def standing(self, key: Key) -> Failure | None:
        """The failure for which the key is left alone now."""
        failure = self._failures.get(key)
        if failure is None or failure.until <= self._clock.monotonic():
            return None
        return failure

    def failed(self, key: Key, error: Exception) -> float:
        """Note a failure; for how many seconds the key is left alone."""
        before = self._failures.pop(key, None)
        attempts = 1 if before is None else before.attempts + 1
        wait = self._pause(error).after(attempts)
        self._note(key, attempts, wait, *stale_word(error))
        return wait

    def heard(self, key: Key, backed_off: BackedOff) -> None:
        """Other replicas leave the key alone, for failures of theirs."""
        self._failures.pop(key, None)
        wait, word = backed_off.retry_after, (Outcome.STALE_ERROR, Detail.STALE_ERROR)
        self._note(key, backed_off.attempts, wait, *word)

    def shared(self, error: Exception) -> Pause | None:
        """How all replicas are to leave the key alone; None where nothing was asked, or the answer
        is for one caller: that says nothing of the key."""
        says_nothing = isinstance(error, CallWithheld | AccessRefused)
        return None if says_nothing else self._pause(error)

    def _pause(self, error: Exception) -> Pause:
        cap = self._cap_of_doubt if isinstance(error, VersionDoubted) else _CAP
        asked = error.retry_after if isinstance(error, CallWithheld | UpstreamError) else None
        return Pause(_BASE, cap, self._clock.jitter(), min(asked or 0.0, _CAP))

    def _note(self, key: Key, attempts: int, wait: float, outcome: Outcome, detail: Detail) -> None:
        self._failures[key] = Failure(attempts, self._clock.monotonic() + wait, outcome, detail)

    def succeeded(self, key: Key) -> None:
        """The upstream answered for the key."""
        self._failures.pop(key, None)


def is_news(error: Exception) -> bool:
    """Whether it is worth a line for each refresh: a token that is refused fails them all, and
    is told once."""
    return not isinstance(error, UpstreamRefused)


def stale_word(error: Exception) -> tuple[Outcome, Detail]:
    """How a stale answer is marked that stands in for this error."""
    if isinstance(error, CallWithheld):
        return Outcome.STALE_SHIELDED, Detail.STALE_SHIELDED
    return Outcome.STALE_ERROR, Detail.STALE_ERROR
