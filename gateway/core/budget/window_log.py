"""The window: never more than so many calls in any stretch of time, shared between ranks.

Lives here: what a rate is, and which budget has which; the times of the calls of one budget, those
that were granted for later included; the limit after a refusal, since somebody else may use the
same key, and its slow way back; and how a high rate is divided, so that what is kept of it is
bounded.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from gateway.core.budget.priority import RANKS, Portions, Rank, kept_from, portions, scaled
from gateway.core.http.rate_limit_headers import Stated

# The budget of credentials that the upstream has not accepted yet; no tenant can be called so.
NEWCOMERS: Final = ":newcomers"
_THEIR_SHARE: Final = 10

# Of what was spent when upstream refused: the rest is left to whoever spends it.
_KEPT: Final = 0.8
# A limit is never lowered below this part of what was set.
_LEAST: Final = 10
# Windows without a refusal before the way back begins, and then a twentieth in each.
_HOLD: Final = 10
_STEPS: Final = 20


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` of them in any `window` seconds."""

    limit: int
    window: float


class OwnRates:
    """The scopes that have another rate than most; the tenants' may change while running."""

    def __init__(self, tenants: Mapping[str, Rate | None] | None = None) -> None:
        self._tenants = dict(tenants or {})

    def replace(self, tenants: Mapping[str, Rate | None]) -> None:
        """From now on the tenants have these; None is unlimited."""
        self._tenants = dict(tenants)

    def of(self, scope: str, usual: Rate | None) -> Rate | None:
        """What holds for the scope, where most have the `usual` one."""
        if scope == NEWCOMERS:
            return usual and Rate(max(1, usual.limit // _THEIR_SHARE), usual.window)
        return self._tenants.get(scope, usual)


@dataclass(frozen=True, slots=True)
class Lowered:
    """From `since` on at most `limit` calls in a window."""

    limit: int
    since: float

    def now(self, full: int, window: float, now: float) -> int:
        """What holds of a limit that was set to `full`."""
        windows = max(0, int((now - self.since) / window) - _HOLD)
        return max(1, min(full, self.limit + windows * max(1, full // _STEPS)))


def after_refusal(full: int, holds: int, spent: int, *, is_known: bool = True) -> int:
    """The limit after a 429 to the last of `spent` calls within one window, where `holds` held.

    Not `is_known`: others who spend are not to be told from what was spent by us before. It is
    then halved at most, however few calls are known of.
    """
    counted = spent if is_known else max(spent, full // 2)
    return min(holds, max(1, full // _LEAST, int(counted * _KEPT)))


_ALL_OF_IT: Final = 1.0


def transit(window: float) -> float:
    """Seconds that a call's way to the upstream may take longer than the way of one before."""
    return min(1.0, window / 10.0)


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of a limit that several share: when calls were made, or will be. The rest of
    the limit counts as spent at `until`, when the last of it may have been (None: it was not), but
    for a `claim` of each."""

    limit: int
    times: Sequence[float]
    until: float | None
    claim: int = 0


class WindowLog:
    """Never more than `limit` calls in any `window` seconds: the times of the last ones.

    A token bucket would let through its burst and its rate in one window. A call made at `t`
    counts in [t, t + window); a margin for transit is made by a longer window. Calls
    may be granted for later: those count from now on. A lowered limit recovers by the `season`
    (seconds; None: the window).
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
        # What stands in the log from before is made up.
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
        """A log for an unknown past: `free` calls may go at once, the rest at the mean rate.

        Each rank is taken to have had as much of its floor as was spent of the limit.
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
        """When calls were made, or will be, the oldest first."""
        return self._sent

    def try_take(self, now: float, rank: Rank = Rank.CALLER, patience: float = 0.0) -> float:
        """The seconds until the call may go: granted if that is within `patience`, and charged
        at that moment; else refused."""
        self._forget(now)
        wait = self._turn(now, rank) - now
        if wait > patience:
            self._wanted[rank] = now
            return wait
        self._charge(now + wait, rank)
        return wait

    def move(self, stamp: float, now: float) -> bool:
        """The call charged at `stamp` goes now, which is later, and counts from now on; False
        where nothing is charged there any more."""
        moved = [sent for sent in (self._sent, *self._by_rank.values()) if _remove(sent, stamp)]
        for sent in moved:
            insort(sent, now)
        return bool(moved)

    def give_back(self, stamp: float) -> None:
        """Undo the charge made at `stamp`, for a call that provably never left."""
        if _remove(self._sent, stamp):
            any(_remove(sent, stamp) for sent in self._by_rank.values())

    def limit(self, now: float) -> int:
        """What holds of the limit, after what upstream said of it."""
        self._forget(now)
        return self._limit

    def refused(self, now: float) -> None:
        """The upstream said 429: what is spent within a window was too much. What is granted
        for later, or made up for an unknown past, was not sent; a caller that waits for that asks
        anew, under what holds of the limit now."""
        for sent in (self._sent, *self._by_rank.values()):
            del sent[bisect_right(sent, now) :]
        limit, is_known = self.limit(now), self._born <= now - self._window
        spent = len(self._sent) - bisect_left(self._sent, self._born)
        if spent > 0 or not is_known:  # else what was spent was lost
            self._lower(now, after_refusal(self._full, limit, spent, is_known=is_known))

    def learn(self, now: float, said: Stated) -> None:
        """The upstream said how many are left: fewer than we thought means that others spend;
        or what its limit is: a lower one holds, a higher one is not ours to use."""
        if said.quota is not None and said.window is not None:
            quota = max(1, int(said.quota * self._window / said.window))
            if quota < self.limit(now):
                self._lower(now, quota)
        if said.remaining is not None and said.reset is not None and said.reset > 0.0:
            until = now + min(said.reset, self._window)
            for _ in range(self.available(now) - said.remaining):
                insort(self._sent, until - self._window)

    def _lower(self, now: float, limit: int) -> None:
        self._lowered = Lowered(limit, now)
        self._forget(now)

    def available(self, now: float) -> int:
        """How many calls may go now."""
        self._forget(now)
        return max(0, self._limit - len(self._sent))

    def share(self, past: Past, parts: int) -> None:
        """Become one of so many equal parts of that limit: together they grant what is left of
        it, and what is spent becomes free for all alike. No part is nothing."""
        self._full = self._limit = max(1, past.limit // parts)
        self._portions, self._lowered = portions(self._full, self._sweep_share), None
        times = sorted(past.times)
        if past.until is not None:
            del times[: bisect_right(times, past.until - self._window)]
            times += [past.until] * (past.limit - len(times) - past.claim * parts)
        # The n-th call is free again for this part once n calls are for each.
        first = len(times) - past.limit + parts - 1
        self._sent = [times[n] for n in range(first, len(times), parts) if n >= 0]

    def follow(self, other: WindowLog) -> None:
        """Take the place of a log under another limit: what was sent there counts here."""
        self._born = other._born
        self._sent = list(other._sent)
        self._by_rank = {rank: list(sent) for rank, sent in other._by_rank.items()}

    def _turn(self, now: float, rank: Rank) -> float:
        """The first moment at which a call of the rank may go.

        As time passes what is spent only falls, and by at least as much as floors are kept
        again: what may go at one moment may go at each later one.
        """
        if self._may_go(now, rank):
            return now
        # A share that was just made may know calls of the rank that are not among all calls.
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


# The times of so many calls are kept at most: Redis and the event loop stand still while they
# are written down for an unknown past.
MOST_KEPT: Final = 2_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """At most `limit` calls in any `span` seconds, of which a window has `parts`.

    Whatever stretches of that length a window consists of, they hold no more calls together
    than its rate allows; what cannot be divided is not used. The span has the margin for
    transit of the whole window.
    """

    limit: int
    span: float
    parts: int

    @classmethod
    def of(cls, rate: Rate) -> Stretch:
        """The longest one that keeps the times of few enough calls."""
        parts = -(-rate.limit // MOST_KEPT)
        return cls(rate.limit // parts, (rate.window + transit(rate.window)) / parts, parts)

    def whole(self, calls: int, rate: Rate) -> int:
        """So many calls of a stretch as calls of the window."""
        return rate.limit if calls == self.limit else calls * self.parts
