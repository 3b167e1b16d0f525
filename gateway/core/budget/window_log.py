"""The log of a budget has the times of the last calls. It decides when the next call may be made.

A scope is the name of a budget. To charge a call is to enter it in the log. The turn of a call is
the time when it may be sent.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import inf
from typing import Final

from gateway.core.budget.priority import RANKS, Portions, Rank, kept_from, portions, scaled

# A 429 lowers the limit to this fraction of the calls in the last window. The upstream counts more
# calls than the log has: other programs perhaps spend calls of the same limit.
_KEPT: Final = 0.8
# A 429 never lowers the limit below a tenth (`1 / _LEAST`) of the configured limit.
_LEAST: Final = 10
# A season is the whole window of a rate. The window of a log can be shorter (see `Stretch`). A
# lowered limit stays the same for ten seasons. After each further season it rises by a twentieth
# (`1 / _STEPS`) of the configured limit.
_HOLD: Final = 10
_STEPS: Final = 20


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` calls or requests in any `window` seconds."""

    limit: int
    window: float


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


@dataclass(frozen=True, slots=True)
class Lowered:
    """A limit that a 429 lowered to `limit` calls in a window, at the time `since`."""

    limit: int
    since: float

    def now(self, full: int, season: float, now: float) -> int:
        """The limit at the time `now`. `full` is the configured limit. `season` is the length of a
        season in seconds."""
        rises = max(0, int((now - self.since) / season) - _HOLD)
        return max(1, min(full, self.limit + rises * max(1, full // _STEPS)))


def after_refusal(full: int, before: int, spent: int, *, is_known: bool = True) -> int:
    """The limit after a 429.

    full      the configured limit
    before    the limit before the 429
    spent     the number of calls in the last window, including the call that got the 429
    is_known  False: perhaps more calls were made in the last window than `spent` says, so at least
              half of `full` counts as spent
    """
    counted = spent if is_known else max(spent, full // 2)
    return min(before, max(1, full // _LEAST, int(counted * _KEPT)))


# The value of `sweep_share` if the sweep may spend the whole limit.
_WHOLE_LIMIT: Final = 1.0


def transit(window: float) -> float:
    """The margin for transit, in seconds. Calls need different times to reach the upstream. These
    times are assumed to differ by the margin at most."""
    return min(1.0, window / 10.0)


@dataclass(frozen=True, slots=True)
class Past:
    """A limit that several replicas divide, and the calls that one of these replicas knows.

    limit  how many calls all these replicas together may make in a window
    times  the times of the known calls. A call that waits for its turn has a future time
    claim  how many calls each replica may still make immediately. These calls are not in `times`
    until  the rest of the limit (calls that are neither in `times` nor in a claim) counts as spent
           at this time, because other replicas perhaps spend it. None: the rest is free
    own    the times of this replica's calls
    """

    limit: int
    times: Sequence[float]
    until: float | None
    claim: int = 0
    own: Sequence[float] = ()


class WindowLog:
    """The times of the last calls. Allows at most `limit` calls in any `window` seconds.

    A token bucket is not used, because it would allow a burst in addition to the full limit.

    window  the length of the window in seconds, with the margin for transit. A call whose turn is
            at `t` counts from its grant until `t + window`
    season  the length of the whole window in seconds, for a log that has only one stretch of it
            (see `Stretch`). None: `window` is the whole window
    """

    __slots__ = (
        *("_born", "_by_rank", "_full", "_limit", "_lowered", "_portions", "_sent"),
        *("_season", "_sweep_share", "_until", "_wanted", "_window"),
    )

    def __init__(
        self,
        limit: int,
        window: float,
        sweep_share: float = _WHOLE_LIMIT,
        *,
        season: float | None = None,
    ) -> None:
        if limit < 1 or not window > 0:
            raise ValueError(f"a log cannot have a limit of {limit} calls in {window} s")
        self._full = self._limit = limit
        self._window = window
        self._season = season or window
        self._sweep_share = sweep_share
        self._portions: Portions = portions(limit, sweep_share)
        self._lowered: Lowered | None = None
        # Calls before this time are made up (see `paced`).
        self._born = -inf
        # Charges at this time stand for calls that are not known (see `Past.until`).
        self._until: float | None = None
        self._sent: list[float] = []
        self._by_rank: dict[Rank, list[float]] = {rank: [] for rank in RANKS}
        self._wanted: dict[Rank, float] = {}

    @classmethod
    def paced(
        cls,
        limit: int,
        window: float,
        now: float,
        free: int = 1,
        sweep_share: float = _WHOLE_LIMIT,
        *,
        season: float | None = None,
    ) -> WindowLog:
        """A log for a start, when no earlier calls are known. `free` calls may be made at once.

        The other calls of the limit are made up: the log has them at even intervals in the last
        window, although perhaps nobody made them. For each rank, some of these calls also count
        as calls of the rank. Their number is in proportion to the rank's floor.
        """
        log = cls(limit, window, sweep_share, season=season)
        log._born = now
        for n in range(1, limit - free + 1):
            stamp = now - window + n * window / limit
            log._sent.append(stamp)
            log._charge_ranks(n, stamp)
        return log

    @property
    def times(self) -> Sequence[float]:
        """The times of the calls, in ascending order. A waiting call has a future time."""
        return self._sent

    def try_take(self, now: float, rank: Rank = Rank.CALLER, patience: float = 0.0) -> float:
        """Charge a call if its turn comes within `patience` seconds. Returns the seconds until its
        turn, also if the call was not charged."""
        self._forget(now)
        wait = self._turn(now, rank) - now
        if wait > patience:
            self._wanted[rank] = now
            return wait
        self._charge(now + wait, rank)
        return wait

    def move(self, stamp: float, now: float) -> bool:
        """Move the charge with the time `stamp` to the time `now`, because its call is made now.
        Returns False if the log does not have this charge any more."""
        self._forget(now)
        if not _remove(self._sent, stamp):
            return False
        insort(self._sent, now)
        # Calls of several ranks can have the same stamp, and the rank of this call is not known. So
        # perhaps a call of another rank moves. Then two ranks are off by one call, for a window at
        # most. The limit holds all the same, because `_sent` has no ranks.
        own = next((sent for sent in self._by_rank.values() if _remove(sent, stamp)), None)
        if own is not None:
            insort(own, now)
        return True

    def give_back(self, stamp: float) -> None:
        """Remove the charge of a call that was certainly not sent."""
        if _remove(self._sent, stamp):
            any(_remove(sent, stamp) for sent in self._by_rank.values())

    def limit(self, now: float) -> int:
        """The limit at the time `now`."""
        self._forget(now)
        return self._limit

    def refused(self, now: float) -> None:
        """Lower the limit after a 429. Made-up calls do not count as spent. The charges of waiting
        calls are removed, so these calls need new charges."""
        for sent in (self._sent, *self._by_rank.values()):
            later = sent[bisect_right(sent, now) :]
            sent[len(sent) - len(later) :] = [stamp for stamp in later if stamp == self._until]
        limit, is_known = self.limit(now), self._born <= now - self._window
        spent = len(self._sent) - bisect_left(self._sent, self._born)
        if spent > 0 or not is_known:  # otherwise no call in the log can have caused the 429
            self._lower(now, after_refusal(self._full, limit, spent, is_known=is_known))

    def _lower(self, now: float, limit: int) -> None:
        self._lowered = Lowered(limit, now)
        self._forget(now)

    def available(self, now: float) -> int:
        """How many calls are free."""
        self._forget(now)
        return max(0, self._limit - len(self._sent))

    def share(self, past: Past, parts: int) -> None:
        """Make this the log of one of `parts` replicas.

        The replicas divide the lower one of two limits equally: `past.limit`, and the configured
        limit of this log, which perhaps became lower after `past` was read. The ranks of the calls
        in `past` are not known. For each rank, some of these calls count as calls of the rank.
        Their number is in proportion to the rank's floor.
        """
        self._until = past.until
        limit = min(past.limit, self._full)
        self._full = self._limit = max(1, limit // parts)
        self._portions, self._lowered = portions(self._full, self._sweep_share), None
        times = sorted(past.times)
        if past.until is not None:
            del times[: bisect_right(times, past.until - self._window)]
            times += [past.until] * (limit - len(times) - past.claim * parts)
            times.sort()  # a call that waits for its turn may have a time after `until`
        # The k-th call of this replica is free when k × `parts` calls of the whole limit are free.
        first = len(times) - limit + parts - 1
        sent = [times[n] for n in range(first, len(times), parts) if n >= 0]
        # All calls in `past.own` count in full against the part of this replica. Replicas can
        # disagree on the number of replicas. A replica that knows of fewer replicas takes more of
        # the free calls. If its own calls did not count in full, all replicas together could exceed
        # the limit.
        latest = zip_longest(reversed(sent), sorted(past.own, reverse=True), fillvalue=-inf)
        # The log keeps all calls, even if they are more than its limit: the limit may grow again
        # (`LocalBudget._next_log`).
        self._sent = [max(pair) for pair in latest][::-1]
        self._by_rank = {rank: [] for rank in RANKS}
        for n, stamp in enumerate(self._sent[-self._full :], 1):
            self._charge_ranks(n, stamp)

    def _charge_ranks(self, n: int, stamp: float) -> None:
        """Charge the n-th call, whose rank is not known, to some ranks or to none. If n goes from 1
        to the limit, each rank is charged with as many calls as its floor."""
        for rank, portion in self._portions.items():
            if n * portion.floor // self._full > (n - 1) * portion.floor // self._full:
                self._by_rank[rank].append(stamp)

    def follow(self, other: WindowLog) -> None:
        """Copy the calls of `other`, the log that this log replaces."""
        self._born, self._until = other._born, other._until
        self._sent = list(other._sent)
        self._by_rank = {rank: list(sent) for rank, sent in other._by_rank.items()}

    def _turn(self, now: float, rank: Rank) -> float:
        """The first time when a call of the rank may be made.

        The binary search assumes this rule: if a call may be made at one time, it may also be made
        at each later time. The rule is usually true: when an old call leaves the window, one call
        becomes free, and usually at most one more call is reserved for another rank. If two or more
        calls become reserved, the search can find a later time than necessary.
        """
        if self._may_go(now, rank):
            return now
        moments = sorted({now, *self._sent})
        ends = [moment + self._window for moment in moments]
        low, high = 0, len(ends) - 1
        while low < high:
            middle = (low + high) // 2
            if self._may_go(ends[middle], rank):
                high = middle
            else:
                low = middle + 1
        return ends[low]

    def _may_go(self, at: float, rank: Rank) -> bool:
        since = at - self._window
        spent = {each: _later(sent, since) for each, sent in self._by_rank.items()}
        if spent[rank] >= self._portions[rank].ceiling:
            return False
        wanted = [each for each, asked in self._wanted.items() if asked > since]
        kept = kept_from(rank, spent, wanted, self._portions)
        return _later(self._sent, since) + kept < self._limit

    def _charge(self, at: float, rank: Rank) -> None:
        insort(self._sent, at)
        insort(self._by_rank[rank], at)

    def _forget(self, now: float) -> None:
        if self._lowered is not None:
            self._limit = self._lowered.now(self._full, self._season, now)
            self._portions = scaled(self._full, self._limit, self._sweep_share)
            if self._limit == self._full:
                self._lowered = None
        for sent in (self._sent, *self._by_rank.values()):
            del sent[: bisect_right(sent, now - self._window)]


def _later(stamps: Sequence[float], since: float) -> int:
    return len(stamps) - bisect_right(stamps, since)


def _remove(stamps: list[float], stamp: float) -> bool:
    at = bisect_left(stamps, stamp)
    if at < len(stamps) and stamps[at] == stamp:
        del stamps[at]
        return True
    return False


# A log has the times of at most this many calls. At a start, all of them are written in one
# step. With more calls, this step would block Redis or the event loop for too long.
MOST_KEPT: Final = 2_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """One of `parts` equal stretches of a window. It allows at most `limit` calls in any `span`
    seconds.

    A log has the calls of one stretch only, so it has at most MOST_KEPT calls. All stretches
    together are as long as the window and its margin for transit.
    """

    limit: int
    span: float
    parts: int

    @classmethod
    def of(cls, rate: Rate) -> Stretch:
        """The longest stretch that has at most MOST_KEPT calls."""
        parts = -(-rate.limit // MOST_KEPT)
        return cls(rate.limit // parts, (rate.window + transit(rate.window)) / parts, parts)

    def whole(self, calls: int, rate: Rate) -> int:
        """How many calls in the window of `rate` correspond to `calls` in a stretch."""
        return rate.limit if calls == self.limit else calls * self.parts
