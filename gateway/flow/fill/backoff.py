"""The keys whose last fetch failed, and how long each of them is left alone (not fetched).

Each replica has its own failures and pauses, so several replicas call the upstream more often for
such a key than one replica does. A caller's request fetches the key nevertheless if nothing stored
may be served. If a key is forgotten, it is perhaps fetched too early.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cachetools import FIFOCache

from gateway.core.cache.entry import Key
from gateway.core.errors import (
    CallWithheld,
    FailedElsewhere,
    UpstreamError,
    UpstreamRefused,
    VersionDoubted,
)
from gateway.core.upstream.breaker import backoff
from gateway.core.vocabulary import Detail, Outcome
from gateway.ports import Clock

# The errors whose `retry_after` counts for the key. (After a 429 the gate withholds the calls.)
_ASKING: Final = (CallWithheld, UpstreamError, FailedElsewhere)

_BASE: Final = 1.0
_CAP: Final = 60.0
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of a key. `attempts`: how many fetches in a row failed, this one included.
    The key is left alone until `until` (monotonic)."""

    attempts: int
    until: float
    outcome: Outcome
    detail: Detail


class Backoffs:
    """Remembers the failure of each key until a fetch of the key succeeds."""

    def __init__(self, clock: Clock, believe_after: float) -> None:
        self._clock = clock
        # The longest pause while a version is doubted. It is short, so that a call is made soon
        # after `believe_after`.
        self._cap_of_doubt = min(max(believe_after / 2.0, _BASE), _CAP)
        self._failures: FIFOCache[Key, Failure] = FIFOCache(_MOST)

    def standing(self, key: Key) -> Failure | None:
        """The failure because of which the key is left alone now, or None."""
        failure = self._failures.get(key)
        if failure is None or failure.until <= self._clock.monotonic():
            return None
        return failure

    def failed(self, key: Key, error: Exception) -> float:
        """Note a failure. Returns for how many seconds the key is left alone."""
        before = self._failures.pop(key, None)
        attempts = 1 if before is None else before.attempts + 1
        wait = self._pause(error, attempts)
        until = self._clock.monotonic() + wait
        self._failures[key] = Failure(attempts, until, *stale_word(error))
        return wait

    def _pause(self, error: Exception, attempts: int) -> float:
        """At least the time that the upstream or the budget asked for, a minute at most."""
        cap = self._cap_of_doubt if isinstance(error, VersionDoubted) else _CAP
        asked = error.retry_after if isinstance(error, _ASKING) else None
        wait = backoff(attempts, _BASE, cap, self._clock.jitter())
        return max(wait, min(asked or 0.0, _CAP))

    def succeeded(self, key: Key) -> None:
        """Forget the failures of the key, because a fetch of the key has succeeded."""
        self._failures.pop(key, None)


def is_news(error: Exception) -> bool:
    """Whether each refresh that fails with this error is logged. A refused token makes all
    refreshes fail, and is logged once a minute instead."""
    return not isinstance(error, UpstreamRefused)


def stale_word(error: Exception) -> tuple[Outcome, Detail]:
    """The outcome and the detail of a stale answer that is served instead of this error."""
    if isinstance(error, CallWithheld):
        return Outcome.STALE_SHIELDED, Detail.STALE_SHIELDED
    return Outcome.STALE_ERROR, Detail.STALE_ERROR
