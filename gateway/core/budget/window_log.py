"""The window of a rate limit: how many calls of each rank may be made in any window of time.

A rank is the priority of a call. This module says what a rate is, finds the rate of a scope (the
name of a budget), and keeps the times of the calls of one budget.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import inf
from typing import Final

from gateway.core.budget.priority import RANKS, Portions, Rank, kept_from, portions, scaled

# The scope of credentials that the upstream has not accepted yet. No tenant can have this name.
NEWCOMERS: Final = ":newcomers"
_THEIR_SHARE: Final = 10

# A 429 lowers the limit to this part of the calls of the last window, because other programs may
# call the upstream too.
_KEPT: Final = 0.8
# A 429 never lowers the limit below a tenth of the configured one.
_LEAST: Final = 10
# After the last 429 the limit stays low for ten seasons (see `WindowLog`). Then it rises in each
# season by a twentieth of the configured limit.
_HOLD: Final = 10
_STEPS: Final = 20


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` calls or requests in any `window` seconds."""

    limit: int
    window: float


class OwnRates:
    """The scopes with a rate of their own. The tenants' rates may change while the process runs."""

    def __init__(self, tenants: Mapping[str, Rate | None] | None = None) -> None:
        self._tenants = dict(tenants or {})

    def replace(self, tenants: Mapping[str, Rate | None]) -> None:
        """Replace the rates of the tenants. None: unlimited."""
        self._tenants = dict(tenants)

    def of(self, scope: str, usual: Rate | None) -> Rate | None:
        """The rate of the scope. `usual` is the rate of scopes without a rate of their own."""
        if scope == NEWCOMERS:
            return usual and Rate(max(1, usual.limit // _THEIR_SHARE), usual.window)
        return self._tenants.get(scope, usual)


@dataclass(frozen=True, slots=True)
class Lowered:
    """A limit that was lowered at the time `since`, to `limit` calls in a window."""

    limit: int
    since: float

    def now(self, full: int, window: float, now: float) -> int:
        """The current limit. `full` is the configured limit."""
        windows = max(0, int((now - self.since) / window) - _HOLD)
        return max(1, min(full, self.limit + windows * max(1, full // _STEPS)))


def after_refusal(full: int, holds: int, spent: int, *, is_known: bool = True) -> int:
    """The new limit after a 429. `spent` counts the calls of the last window, the refused call
    included. `full` is the configured limit, and `holds` is the limit before the 429.

    If `is_known` is false, this replica does not know all calls of the window. At least half of
    `full` then counts as spent.
    """
    counted = spent if is_known else max(spent, full // 2)
    return min(holds, max(1, full // _LEAST, int(counted * _KEPT)))


_ALL_OF_IT: Final = 1.0


def transit(window: float) -> float:
    """The margin for transit: one call may take this many seconds longer to reach the upstream than
    another."""
    return min(1.0, window / 10.0)


@dataclass(frozen=True, slots=True)
class Past:
    """The known calls of a limit that several replicas share.

    limit  how many calls these replicas may make in a window
    times  the time of each known call, including calls that are granted for later
    until  other replicas may have made unknown calls until this time. So all calls of the limit
           that are neither in `times` nor in a claim count as spent at this time. None: these calls
           are free
    claim  how many of the calls that are not in `times` each replica may still make
    own    the times of the calls that this replica made, which all count in its own part
    """

    limit: int
    times: Sequence[float]
    until: float | None
    claim: int = 0
    own: Sequence[float] = ()


class WindowLog:
    """Keeps the times of the last calls, and allows at most `limit` calls in any `window` seconds.

    This is no token bucket, which would allow a burst in addition to the full limit. A call made at
    `t` counts in [t, t + window). A call that is granted for a later time `t` counts from the grant
    until `t + window`. `window` includes the margin for transit (see `Stretch`). A limit that a 429
    lowered stays low for ten seasons, and then rises in each season. A season lasts `season`
    seconds (None: the window).
    """

    __slots__ = (
        *("_born", "_by_rank", "_full", "_limit", "_lowered", "_portions", "_sent"),
        *("_season", "_sweep_share", "_wanted", "_window"),
    )

    def __init__(
        self,
        limit: int,
        window: float,
        sweep_share: float = _ALL_OF_IT,
        *,
        season: float | None = None,
    ) -> None:
        if limit < 1 or not window > 0:
            raise ValueError(f"no pace: {limit} calls in {window} s")
        self._full = self._limit = limit
        self._window = window
        self._season = season or window
        self._sweep_share = sweep_share
        self._portions: Portions = portions(limit, sweep_share)
        self._lowered: Lowered | None = None
        # Calls in the log that are earlier than this time are assumed, not known.
        self._born = -inf
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
        sweep_share: float = _ALL_OF_IT,
        *,
        season: float | None = None,
    ) -> WindowLog:
        """A log for an unknown past: `free` calls may be made at once, the rest at the mean rate.

        The past is made up: all calls of the limit that are not free count as spent, at even
        intervals. Some of them also count as calls of a rank, in proportion to the rank's floor
        (the calls that are reserved for it).
        """
        log = cls(limit, window, sweep_share, season=season)
        log._born = now
        for n in range(1, limit - free + 1):
            stamp = now - window + n * window / limit
            log._sent.append(stamp)
            for rank, portion in log._portions.items():
                if n * portion.floor // limit > (n - 1) * portion.floor // limit:
                    log._by_rank[rank].append(stamp)
        return log

    @property
    def times(self) -> Sequence[float]:
        """The times when calls were made or will be made, the oldest first."""
        return self._sent

    def try_take(self, now: float, rank: Rank = Rank.CALLER, patience: float = 0.0) -> float:
        """Charge a call at the first time when it may be made. If that is more than `patience`
        seconds away, refuse the call instead. Returns the seconds until that time."""
        self._forget(now)
        wait = self._turn(now, rank) - now
        if wait > patience:
            self._wanted[rank] = now
            return wait
        self._charge(now + wait, rank)
        return wait

    def move(self, stamp: float, now: float) -> bool:
        """Move the charge of a call from `stamp` to `now`, which is later. Returns False if there
        is no such charge in the window any more."""
        self._forget(now)
        moved = [sent for sent in (self._sent, *self._by_rank.values()) if _remove(sent, stamp)]
        for sent in moved:
            insort(sent, now)
        return bool(moved)

    def give_back(self, stamp: float) -> None:
        """Remove the charge at `stamp`, for a call that was certainly not sent."""
        if _remove(self._sent, stamp):
            any(_remove(sent, stamp) for sent in self._by_rank.values())

    def limit(self, now: float) -> int:
        """The current limit, which a 429 may have lowered."""
        self._forget(now)
        return self._limit

    def refused(self, now: float) -> None:
        """Lower the limit after a 429. Calls that were granted for later have not been sent yet, so
        they are removed, and have to be granted again. Made-up calls (see `paced`) do not count as
        calls of the last window."""
        for sent in (self._sent, *self._by_rank.values()):
            del sent[bisect_right(sent, now) :]
        limit, is_known = self.limit(now), self._born <= now - self._window
        spent = len(self._sent) - bisect_left(self._sent, self._born)
        if spent > 0 or not is_known:  # otherwise no call in the log can have caused the 429
            self._lower(now, after_refusal(self._full, limit, spent, is_known=is_known))

    def _lower(self, now: float, limit: int) -> None:
        self._lowered = Lowered(limit, now)
        self._forget(now)

    def available(self, now: float) -> int:
        """How many calls may be made now."""
        self._forget(now)
        return max(0, self._limit - len(self._sent))

    def share(self, past: Past, parts: int) -> None:
        """Turn this log into one of `parts` equal parts of the limit in `past`. When `parts` more
        calls of this limit have become free, each part may make one more call. The limit of a part
        is at least one call."""
        self._full = self._limit = max(1, past.limit // parts)
        self._portions, self._lowered = portions(self._full, self._sweep_share), None
        times = sorted(past.times)
        if past.until is not None:
            del times[: bisect_right(times, past.until - self._window)]
            times += [past.until] * (past.limit - len(times) - past.claim * parts)
            times.sort()  # a call that was granted for later may be later than `until`
        # The k-th call of this part is free when k × `parts` calls of the limit are free.
        first = len(times) - past.limit + parts - 1
        sent = [times[n] for n in range(first, len(times), parts) if n >= 0]
        # Another replica may know fewer replicas, and then it takes more of the calls that have
        # become free. This replica cannot see those calls. So this replica also has a bound of its
        # own: the calls that it makes in one window are never more than its part. Its earlier calls
        # (`past.own`) count too.
        latest = zip_longest(reversed(sent), sorted(past.own, reverse=True), fillvalue=-inf)
        self._sent = [max(pair) for pair in latest][self._full - 1 :: -1]

    def follow(self, other: WindowLog) -> None:
        """Take the place of `other`, a log with another limit, and count its calls."""
        self._born = other._born
        self._sent = list(other._sent)
        self._by_rank = {rank: list(sent) for rank, sent in other._by_rank.items()}

    def _turn(self, now: float, rank: Rank) -> float:
        """The first time at which a call of the rank may be made.

        If a call may be made at one time, it may also be made at each later time, because each
        spent call that leaves the window frees one call, and at most one more call is then reserved
        for other ranks. So a binary search finds the first such time.
        """
        if self._may_go(now, rank):
            return now
        # After `share` the log of the rank may have calls that the log of all calls does not have.
        moments = sorted({now, *self._sent, *self._by_rank[rank]})
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


# A log keeps at most this many timestamps. If the past is unknown, all of them are written in one
# step. Redis or the event loop can do nothing else during this step.
MOST_KEPT: Final = 2_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the window of a high rate: at most `limit` calls in any `span` seconds. A window
    has `parts` stretches. A log has the timestamps of one stretch only, so their number is bounded.

    The spans together are as long as the window and its margin for transit. The limit of a stretch
    is rounded down, so the stretches never allow more than the rate.
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
        """Convert a number of calls of a stretch to a number of calls of the window."""
        return rate.limit if calls == self.limit else calls * self.parts
