"""The calls of one window: what a rate is, how large the reserve of a replica is, and when the next
call may be made. lua/budget.lua has the same rules for the part that all replicas share.

A scope is the name of a budget.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Final

from gateway.core.budget.priority import Rank

# The margin, in seconds: a call counts for the window and so much longer. 0.2 s may pass from the
# question until the call is sent, calls differ by 0.2 s on their way, and clocks by 0.1 s.
MARGIN: Final = 0.5
# A call is not sent if it was asked for longer ago than these seconds.
LATEST_SEND: Final = 0.2
# A log has at most this many calls, unless its window is shorter than two seconds.
_MOST_KEPT: Final = 2_000
# A 429 lowers the limit to this fraction, but not below a tenth (`1 / _LEAST`) of the configured
# limit. In each window without a 429 it rises by a twentieth (`1 / _STEPS`) of that.
_KEPT: Final = 0.8
_LEAST: Final = 10
_STEPS: Final = 20
# The largest fraction of the calls for refreshes and the sweep together.
_NOT_CALLERS: Final = 0.8


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` calls or requests in any `window` seconds."""

    limit: int
    window: float

    def counted(self) -> Rate:
        """The rate that a budget counts. A rate of more than 2,000 calls is divided into equal
        parts of a second or more."""
        parts = max(1, min(-(-self.limit // _MOST_KEPT), int(self.window)))
        return Rate(self.limit // parts, self.window / parts)


class Rates:
    """The rate that each budget counts. `usual` (None: no limit) is that of scopes without one of
    their own; a tenant can have its own."""

    def __init__(
        self, usual: Rate | None, tenants: Mapping[str, Rate | None] | None = None
    ) -> None:
        self._usual = usual and usual.counted()
        self.replace(tenants or {})

    def replace(self, tenants: Mapping[str, Rate | None]) -> None:
        """Replace the rates of all tenants. None: the tenant has no limit."""
        self._tenants = {tenant: rate and rate.counted() for tenant, rate in tenants.items()}

    def of(self, scope: str) -> Rate | None:
        """The rate that the scope's budget counts (None: no limit)."""
        return self._tenants.get(scope, self._usual)


class Start(StrEnum):
    """What the first window of a log allows, in which earlier calls can still count."""

    FULL = "full"  # the whole limit: there were no earlier calls
    PACED = "paced"  # a tenth of the limit at once, and the rest at even intervals
    REST = "rest"  # nothing


@dataclass(frozen=True, slots=True)
class BudgetRules:
    """What all budgets of a replica have in common.

    replicas        the largest number of replicas
    start           what a budget allows at a first start
    probe_patience  seconds for which a probe without an answer stops other calls
    sweep_share     the largest part of a limit that the sweep can use, in (0, 1]
    """

    rates: Rates
    replicas: int = 4
    start: Start = Start.PACED
    probe_patience: float = 15.0
    sweep_share: float = 1.0


def counts_for(window: float) -> float:
    """For how many seconds a call counts."""
    return window + MARGIN


def reserve_of(limit: int, replicas: int) -> int:
    """How many calls in a window each of at most `replicas` replicas may make without Redis: all
    reserves together are a tenth of the limit, or a fifth if the limit is small."""
    return limit // 10 // replicas or (1 if replicas <= limit / 5 else 0)


def shared_part(limit: int, replicas: int) -> int:
    """How many calls in a window Redis grants: the limit without the reserves."""
    return limit - replicas * reserve_of(limit, replicas)


class WindowLog:
    """The calls of the last window. Allows at most `limit` calls in any `window` seconds and the
    margin. It begins at the time `born`. `rate` may be replaced.

    A token bucket is not used, because it would allow a burst in addition to the full limit.
    """

    __slots__ = ("_born", "_calls", "_low", "_refused", "_since", "_start", "_sweep_share", "rate")

    def __init__(
        self, rate: Rate, born: float, start: Start = Start.FULL, sweep_share: float = 1.0
    ) -> None:
        self.rate = rate
        self._born = born
        self._start = start
        self._sweep_share = sweep_share
        self._low, self._since = inf, 0.0
        # By id: the rank of a call, and when it was made. The oldest call is the first.
        self._calls: dict[str, tuple[Rank, float]] = {}
        # When a call of the rank was last refused.
        self._refused: dict[Rank, float] = dict.fromkeys(Rank, -inf)

    def take(self, call: str, rank: Rank, now: float) -> float:
        """Note the call if it may be made now, and return 0.0. Otherwise return the seconds until
        it may be made, as far as this is known."""
        at = self._turn(rank, now)
        if at > now:
            self._refused[rank] = now
            return at - now
        self._calls[call] = rank, now
        return 0.0

    def give_back(self, call: str) -> None:
        """Forget a call that was certainly not sent."""
        self._calls.pop(call, None)

    def lower(self, now: float) -> None:
        """Lower the limit after a 429."""
        self._low = max(1, self.rate.limit // _LEAST, int(self.limit(now) * _KEPT))
        self._since = now

    def limit(self, now: float) -> int:
        """The limit at this time."""
        full = self.rate.limit
        steps = max(0, int((now - self._since) / self.rate.window))
        return int(min(full, self._low + steps * max(1, full // _STEPS)))

    def available(self, now: float) -> int:
        """How many calls are free."""
        self._forget(now)
        return max(0, self._open_up(now)[0] - len(self._calls))

    def _open_up(self, now: float) -> tuple[int, float]:
        """How many calls may count now, and when more may."""
        limit, span = self.limit(now), counts_for(self.rate.window)
        free, gone = max(1, limit // 10), now - self._born
        if gone >= span or self._start is Start.FULL:
            return limit, inf
        if self._start is Start.REST:
            return 0, self._born + span
        others = max(1, limit - free)
        steps = int(others * gone / span + 1e-6)  # times are rounded
        return free + steps, self._born + span * (steps + 1) / others

    def _turn(self, rank: Rank, now: float) -> float:
        """When a call of the rank may be made. For its own rank and each rank before it, fewer
        calls of that rank and of those after it may count than that rank may have."""
        self._forget(now)
        most, more = self._open_up(now)
        ceilings = {
            Rank.CALLER: most - self._kept(rank, most, now),
            Rank.REFRESH: max(1, int(_NOT_CALLERS * most)),
            Rank.SWEEP: max(1, int(self._sweep_share * most)),
        }
        return min(
            more, max(self._below(ceilings[each], each, now) for each in Rank if each <= rank)
        )

    def _kept(self, rank: Rank, most: int, now: float) -> int:
        """How many calls the rank leaves for others: a tenth is kept for refreshes and for the
        sweep, if they were refused within a window."""
        tenth, counts = most // 10, Counter(each for each, _ in self._calls.values())
        kept = sum(
            max(0, tenth - counts[each])
            for each in (Rank.REFRESH, Rank.SWEEP)
            if each is not rank and self._refused[each] > now - counts_for(self.rate.window)
        )
        others = counts[Rank.REFRESH] + counts[Rank.SWEEP]
        return min(kept, max(0, int(_NOT_CALLERS * most) - others))

    def _below(self, most: int, rank: Rank, now: float) -> float:
        """When the window has fewer than `most` calls of this rank and those after it."""
        times = [at for each, at in self._calls.values() if each >= rank]
        beyond = len(times) - most
        if beyond < 0:
            return now
        return (times[beyond] if beyond < len(times) else now) + counts_for(self.rate.window)

    def _forget(self, now: float) -> None:
        before = now - counts_for(self.rate.window)
        while self._calls and (oldest := next(iter(self._calls.items())))[1][1] <= before:
            del self._calls[oldest[0]]
