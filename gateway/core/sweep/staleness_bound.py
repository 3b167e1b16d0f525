"""How old what is served can be: the arithmetic of `docs/freshness.md`.

N trainings are ceil(N / 100) pages. A sweep that may spend `share` of R calls a second goes
through them in pages / (share R) seconds, or in the time it was told, whichever is longer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from gateway.core.budget.window_log import Rate, transit
from gateway.core.cache.entry import Entry
from gateway.core.upstream.list_page import PAGE_SIZE

# Seconds that a call, and telling the others of what it brought, may take on top.
CALL: Final = 1.0
# Without a limit: never more often than that, in seconds.
_SHORTEST_GAP: Final = 0.05


@dataclass(frozen=True, slots=True)
class Pace:
    """What the settings allow a sweep: a share of `rate` (None: unlimited), and its interval in
    seconds (None: half of `lifetime`). `l1_lifetime`: how long a lost notice goes unnoticed."""

    rate: Rate | None
    share: float
    interval: float | None
    lifetime: float
    l1_lifetime: float

    def gap(self, total: int | None) -> float:
        """Seconds between two pages, so that a whole sweep takes its interval."""
        return self.interval_of(total) / pages(total)

    def interval_of(self, total: int | None) -> float:
        """Seconds that one sweep takes."""
        wanted = self.lifetime / 2.0 if self.interval is None else self.interval
        return max(wanted, pages(total) * self.shortest_gap)

    def bound(self, total: int | None) -> Bound:
        """What can be promised of a catalogue of that size."""
        interval = self.interval_of(total)
        return Bound(interval, interval / pages(total), CALL, self.l1_lifetime)

    def spare(self, total: int | None) -> int:
        """Single calls that one sweep may make: those of its share that pages leave, and one
        that the bound has room for."""
        calls = int(self.interval_of(total) / self.shortest_gap)
        return max(1, calls - pages(total))

    @property
    def shortest_gap(self) -> float:
        """Seconds between two calls that spend the whole share."""
        if self.rate is None:
            return _SHORTEST_GAP
        calls = max(1, int(self.rate.limit * self.share))
        return (self.rate.window + transit(self.rate.window)) / calls


@dataclass(frozen=True, slots=True)
class Bound:
    """Seconds from an edit to the last answer without it, in parts.

    interval  from one look at the training to the next
    gap       a page that makes room for a caller comes so much later
    call      until the page is here and the others are told
    notice    a replica that missed that asks by itself after so long
    """

    interval: float
    gap: float
    call: float
    notice: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.interval + self.gap + self.call + self.notice


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far a whole sweep has come: each training that it met was confirmed at `oldest` or
    later. `seconds` is the bound."""

    oldest: float
    seconds: float

    def has_passed(self, entry: Entry, now: float) -> bool:
        """Whether the sweep passed the entry by, and its confirmation is older than the bound."""
        if entry.freshness_lifetime <= self.seconds or entry.confirmed_at >= self.oldest:
            return False
        return entry.age(now) > self.seconds


class Worst:
    """The largest of what was noted within the last hour, to the minute."""

    __slots__ = ("_minutes",)

    def __init__(self) -> None:
        self._minutes: dict[int, float] = {}

    def note(self, now: float, value: float | None) -> None:
        """So it is at `now` (monotonic); None: it cannot be told."""
        minute = int(now // 60)
        if value is not None:
            self._minutes[minute] = max(value, self._minutes.get(minute, value))
        for each in [each for each in self._minutes if each <= minute - 60]:
            del self._minutes[each]

    def of(self, now: float) -> float | None:
        """The largest, None where nothing was noted."""
        since = int(now // 60) - 60
        return max((v for each, v in self._minutes.items() if each > since), default=None)


def pages(total: int | None) -> int:
    """Calls that a sweep of so many trainings costs; at least one."""
    return max(1, math.ceil((total or 0) / PAGE_SIZE))


def without_sweep(lifetime: float, stale_while_revalidate: float) -> float:
    """The bound where nobody looks ahead: what is read is refreshed once it is stale."""
    return lifetime + stale_while_revalidate
