"""The staleness bound: the longest time from an edit to the last response without the edit.

`docs/freshness.md` explains the arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from gateway.core.budget.window_log import Rate, counts_for
from gateway.core.upstream.list_page import PAGE_SIZE

# The bound assumes that all replicas know the result of a call at most this many seconds after the
# start of the call.
CALL: Final = 1.0
# The shortest time (seconds) between two pages if calls have no rate limit.
_SHORTEST_GAP: Final = 0.05


@dataclass(frozen=True, slots=True)
class Pace:
    """The settings of a sweep. All times are in seconds.

    rate         the limit of calls; None: unlimited
    share        the part of `rate` that the sweep may spend
    interval     the wanted time for a whole sweep; None: a third of `lifetime`
    lifetime     the freshness lifetime
    l1_lifetime  how long a replica may use its L1 without asking Redis
    """

    rate: Rate | None
    share: float
    interval: float | None
    lifetime: float
    l1_lifetime: float

    def gap(self, total: int | None) -> float:
        """Seconds between two pages."""
        return self.interval_of(total) / pages(total)

    def interval_of(self, total: int | None) -> float:
        """Seconds that one sweep of `total` trainings takes."""
        wanted = self.lifetime / 3.0 if self.interval is None else self.interval
        return max(wanted, pages(total) * self.shortest_gap)

    def bound(self, total: int | None) -> Bound:
        """The bound for `total` trainings."""
        interval = self.interval_of(total)
        return Bound(interval, interval / pages(total), CALL, self.l1_lifetime, self.lifetime)

    @property
    def shortest_gap(self) -> float:
        """Seconds between two calls if the sweep spends its whole share."""
        if self.rate is None:
            return _SHORTEST_GAP
        calls = max(1, int(self.rate.limit * self.share))
        return counts_for(self.rate.window) / calls


@dataclass(frozen=True, slots=True)
class Bound:
    """The longest time from an edit or a deletion to the last fresh response without it. All times
    are in seconds.

    interval  from one page with the training to the next page with it
    gap       how long calls of callers can delay a page
    call      the time of the call for the page, and of the notice to the other replicas
    notice    the time until a replica that missed the notice asks Redis
    deletion  a deleted training is on no page, so its response becomes stale after the lifetime
    """

    interval: float
    gap: float
    call: float
    notice: float
    deletion: float

    @property
    def seconds(self) -> float:
        """The bound: the sum of the first four times, or `deletion` if that is longer."""
        return max(self.interval + self.gap + self.call + self.notice, self.deletion)


def pages(total: int | None) -> int:
    """The number of pages for `total` trainings, at least one."""
    return max(1, math.ceil((total or 0) / PAGE_SIZE))


def without_sweep(lifetime: float, stale_while_revalidate: float) -> float:
    """The bound without a sweep. The stale window counts, because the request that starts a refresh
    is still answered with the stale entry."""
    return lifetime + stale_while_revalidate
