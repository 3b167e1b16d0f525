"""The calls of one window: what a rate is, how large the reserve of a replica is, and when the next
call may be made. lua/budget.lua has the same rules for the limit that all replicas share.

A scope is the name of a budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Final

from gateway.core.budget.priority import Rank

# The margin, in seconds: a call counts for the window and so much longer. 0.2 s may pass from the
# question until the call is sent, calls differ by 0.2 s on their way, and clocks by 0.1 s.
MARGIN: Final = 0.5
# A call is not sent if it was asked for longer ago than these seconds.
LATEST_SEND: Final = 0.2
# A log has at most this many calls, if the window can be divided into parts of a second or more.
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


@dataclass(frozen=True, slots=True)
class Counted:
    """The rate that is counted: `rate` is one of `parts` equal parts of the configured window. A
    rate of more than 2,000 calls has several parts, of a second at least."""

    rate: Rate
    parts: int

    @classmethod
    def of(cls, rate: Rate) -> Counted:
        """The parts of this rate."""
        parts = max(1, min(-(-rate.limit // _MOST_KEPT), int(rate.window)))
        return cls(Rate(rate.limit // parts, rate.window / parts), parts)

    def whole(self, calls: int, rate: Rate) -> int:
        """How many calls of the configured `rate` are `calls` in a part."""
        return rate.limit if calls == self.rate.limit else calls * self.parts


class OwnRates:
    """The rate of each scope. A tenant can have a rate of its own."""

    def __init__(self, tenants: Mapping[str, Rate | None] | None = None) -> None:
        self._tenants = dict(tenants or {})

    def replace(self, tenants: Mapping[str, Rate | None]) -> None:
        """Replace the rates of all tenants. None: the tenant has no limit."""
        self._tenants = dict(tenants)

    def of(self, scope: str, usual: Rate | None) -> Rate | None:
        """The rate of the scope (None: no limit). `usual` is the rate of all scopes that have no
        rate of their own."""
        return self._tenants.get(scope, usual)


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
    margin.

    A token bucket is not used, because it would allow a burst in addition to the full limit.

    sweep_share  the largest fraction of the limit for the sweep
    spent_until  before this time no call is free
    paced_from   from this time on a tenth of the calls is free, and the others become free at even
                 intervals until a window has passed
    """

    __slots__ = (
        *("_calls", "_full", "_low", "_paced_from", "_refused", "_since", "_span"),
        *("_spent_until", "_sweep_share"),
    )

    def __init__(
        self,
        rate: Rate,
        sweep_share: float = 1.0,
        *,
        spent_until: float = -inf,
        paced_from: float = -inf,
    ) -> None:
        self._full = rate.limit
        self._span = counts_for(rate.window)
        self._sweep_share = sweep_share
        self._spent_until = spent_until
        self._paced_from = paced_from
        self._low, self._since = rate.limit, -inf
        # By rank: when each call was made, the oldest first, and when a call was last refused.
        self._calls: dict[Rank, dict[str, float]] = {rank: {} for rank in Rank}
        self._refused: dict[Rank, float] = dict.fromkeys(Rank, -inf)

    def take(self, call: str, rank: Rank, now: float) -> float:
        """Note the call if it may be made now, and return 0.0. Otherwise return the seconds until
        it may be made, as far as this is known."""
        at = self._turn(rank, now)
        if at > now:
            self._refused[rank] = now
            return at - now
        self._calls[rank][call] = now
        return 0.0

    def give_back(self, call: str) -> None:
        """Forget a call that was certainly not sent."""
        for calls in self._calls.values():
            calls.pop(call, None)

    def lower(self, now: float) -> None:
        """Lower the limit after a 429."""
        lowered = max(1, self._full // _LEAST, int(self.limit(now) * _KEPT))
        self._low, self._since = min(self._full, lowered), now

    def limit(self, now: float) -> int:
        """The limit at this time."""
        if self._low == self._full:
            return self._full
        steps = max(0, int((now - self._since) / (self._span - MARGIN)))
        return min(self._full, self._low + steps * max(1, self._full // _STEPS))

    def available(self, now: float) -> int:
        """How many calls are free."""
        self._forget(now)
        return max(0, self._most(now) - sum(map(len, self._calls.values())))

    def follow(self, other: WindowLog) -> None:
        """Take over the calls of `other`, the log that this log replaces."""
        self._calls = other._calls
        self._spent_until, self._paced_from = other._spent_until, other._paced_from

    def _most(self, now: float) -> int:
        """How many calls may be in the log now."""
        limit, since = self.limit(now), now - self._paced_from
        if now < self._spent_until:
            return 0
        if since < self._span:
            return min(limit, max(1, limit // 10) + int(max(0.0, since) / self._every(limit)))
        return limit

    def _every(self, limit: int) -> float:
        """While the log is paced: the seconds until one more call is free."""
        return self._span / (0.9 * limit)

    def _turn(self, rank: Rank, now: float) -> float:
        """When a call of the rank may be made."""
        self._forget(now)
        if now < self._spent_until:
            return self._spent_until
        most, at = self._most(now), now
        counts = {each: len(calls) for each, calls in self._calls.items()}
        needed = sum(counts.values()) + self._kept(rank, counts, most, now) + 1
        beyond = needed - most
        at = max(at, self._leaves(beyond, Rank, now))
        if rank is not Rank.CALLER:
            others = (Rank.REFRESH, Rank.SWEEP)
            beyond = sum(counts[each] for each in others) + 1 - max(1, int(_NOT_CALLERS * most))
            at = max(at, self._leaves(beyond, others, now))
        if rank is Rank.SWEEP:
            beyond = counts[rank] + 1 - max(1, int(self._sweep_share * most))
            at = max(at, self._leaves(beyond, (rank,), now))
        if at > now and now - self._paced_from < self._span:
            limit = self.limit(now)
            every = self._every(limit)
            paced = self._paced_from + (needed - max(1, limit // 10)) * every + 0.000_001
            return paced if paced > now else now + every
        return at

    def _kept(self, rank: Rank, counts: Mapping[Rank, int], most: int, now: float) -> int:
        """How many calls the rank leaves for others: a tenth is kept for refreshes and for the
        sweep, if they were refused within a window."""
        tenth = most // 10
        if rank is not Rank.CALLER and counts[rank] < tenth:
            return 0
        wanted = [
            each
            for each in (Rank.REFRESH, Rank.SWEEP)
            if each is not rank and self._refused[each] > now - self._span
        ]
        others = counts[Rank.REFRESH] + counts[Rank.SWEEP]
        kept = sum(max(0, tenth - counts[each]) for each in wanted)
        return min(kept, max(0, int(_NOT_CALLERS * most) - others))

    def _leaves(self, number: int, ranks: Iterable[Rank], now: float) -> float:
        """When so many calls of these ranks have left the window. `number` below 1: now."""
        if number < 1:
            return now
        times = sorted(at for each in ranks for at in islice(self._calls[each].values(), number))
        return (times[: number or 1] or [now])[-1] + self._span

    def _forget(self, now: float) -> None:
        before = now - self._span
        for calls in self._calls.values():
            while calls and (oldest := next(iter(calls.items())))[1] <= before:
                del calls[oldest[0]]
