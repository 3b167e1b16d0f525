"""Which of many entries is to be refreshed first: the one that readers miss most.

Lives here: what a refresh is worth, as a number to compare. Who may be refreshed, and when there
is a call for it, is decided elsewhere.
"""

from __future__ import annotations

import math
from typing import Final

from gateway.core.cache.entry import Entry
from gateway.core.instant import to_seconds

# Seconds below which no age and no time since a change is told apart.
_LEAST: Final = 1.0


def expected_staleness(entry: Entry, reads: int, now: float) -> float:
    """How many reads a second it probably answers with what has changed.

    `reads`: how often it was read since it was confirmed. What changed so long ago changes again
    at about that pace; of what has no version nothing is known, and it is taken as changed.
    """
    return reads_a_second(entry, reads, now) * _has_changed(entry, now)


def reads_a_second(entry: Entry, reads: int, now: float) -> float:
    """The same of what is known to have changed."""
    return reads / max(entry.age(now), _LEAST)


def _has_changed(entry: Entry, now: float) -> float:
    """The probability that a change came since it was confirmed."""
    age = max(entry.age(now), _LEAST)
    if entry.updated_at is None:
        return 1.0
    unchanged_for = max(entry.confirmed_at - to_seconds(entry.updated_at), _LEAST)
    return 1.0 - math.exp(-age / unchanged_for)
