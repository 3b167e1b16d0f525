"""Keys that upstream failed for a moment ago, and how long each is left alone.

Bounded; forgetting one costs a call, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.core.entry import Key
from gateway.core.errors import CallWithheld, UpstreamError, UpstreamRefused, VersionDoubted
from gateway.core.pacing import backoff
from gateway.core.status import Detail, Outcome
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
        self._failures: dict[Key, Failure] = {}

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
        cap = self._cap_of_doubt if isinstance(error, VersionDoubted) else _CAP
        wait = backoff(attempts, _BASE, cap, self._clock.jitter())
        if isinstance(error, CallWithheld | UpstreamError):
            wait = min(max(wait, error.retry_after or 0.0), _CAP)
        outcome, detail = stale_word(error)
        self._failures[key] = Failure(attempts, self._clock.monotonic() + wait, outcome, detail)
        if len(self._failures) > _MOST:
            del self._failures[next(iter(self._failures))]
        return wait

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
