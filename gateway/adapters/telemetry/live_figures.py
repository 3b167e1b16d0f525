"""Figures for the live page and /status: since the start, of the last minute, and of every two
seconds (a row).

A row is made from the counters, so requests do no additional work for it. Making a row takes a
tenth of a millisecond.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from gateway.adapters.telemetry.counters import (
    AGE_SECONDS,
    REQUEST_SECONDS,
    STALE,
    Counters,
    Histogram,
)
from gateway.adapters.telemetry.metrics import GaugeReadings
from gateway.core.vocabulary import (
    AccessRefusal,
    FailureReason,
    InvalidReason,
    Outcome,
    Purpose,
)
from gateway.ports import Clock

S = TypeVar("S", bound=str)

HITS = (
    Outcome.FRESH,
    *STALE,
    Outcome.NEGATIVE,
)


def figures(counters: Counters) -> dict[str, float | int]:
    """The figures since the start. A figure with a dot in its name, such as `requests.fresh`, is a
    part of another figure, or a quantile."""
    outcomes = by_outcome(counters)
    calls = {
        purpose: sum(histogram.buckets) for purpose, histogram in counters.call_seconds.items()
    }
    latency = list(counters.request_seconds.values())
    return {
        "requests": sum(outcomes.values()),
        **_split("requests", outcomes),
        "hit_rate": hit_rate(outcomes),
        "request_seconds.p50": quantile(latency, 0.5),
        "request_seconds.p99": quantile(latency, 0.99),
        "upstream_calls": sum(calls.values()),
        **_split("upstream_calls", calls),
        "upstream_inflight": counters.calls_inflight,
        "upstream_failures": sum(counters.failures.values()),
        "budget_denied": sum(counters.denied.values()),
        "invalidations": sum(counters.invalidations.values()),
        **_split("invalidations", counters.invalidations),
        "payload_rejected": sum(counters.rejected.values()),
        "payload_drift": sum(counters.drift.values()),
        "version_regressions": counters.regressions,
        "access_refused": sum(counters.refusals.values()),
        "evictions": sum(counters.evictions.values()),
        "redis_errors": sum(counters.redis_errors.values()),
    }


def by_outcome(counters: Counters) -> dict[Outcome, int]:
    """The number of requests by outcome."""
    totals = dict.fromkeys(Outcome, 0)
    for (outcome, _, _), count in list(counters.requests.items()):
        totals[outcome] += count
    return totals


def hit_rate(outcomes: Mapping[Outcome, int]) -> float:
    """The share of hits among the requests that were not rejected (0.0 without such requests)."""
    asked = sum(count for outcome, count in outcomes.items() if outcome is not Outcome.REJECTED)
    return sum(outcomes[outcome] for outcome in HITS) / asked if asked else 0.0


def quantile(histograms: Sequence[Histogram], share: float) -> float:
    """The value that a `share` of all observations does not exceed. 0.0 without observations.

    All histograms (at least one) have the same bounds. Within a bucket the value is interpolated
    linearly, as in Prometheus. A value above the last bound counts as that bound.
    """
    bounds = histograms[0].bounds
    counts = [sum(h.buckets[at] for h in histograms) for at in range(len(bounds) + 1)]
    return quantile_of(bounds, counts, share)


def quantile_of(
    bounds: Sequence[float], counts: Sequence[int], share: float, most: float = math.inf
) -> float:
    """As `quantile`, for the buckets of one histogram. No observation exceeds `most`. So `most` is
    taken as the upper bound of the bucket in which it lies."""
    wanted, below, lower = share * sum(counts), 0, 0.0
    for bound, count in zip(bounds, counts[:-1], strict=True):
        if count and below + count >= wanted:
            upper = most if lower < most < bound else bound
            return lower + (upper - lower) * (wanted - below) / count
        below, lower = below + count, bound
    return lower if sum(counts) else 0.0


def _split(figure: str, parts: Mapping[S, int]) -> dict[str, int]:
    return {f"{figure}.{part}": count for part, count in parts.items()}


# Seconds from one row to the next, and seconds for which a row is kept.
EVERY: Final = 2.0
SPAN: Final = 900.0
_MINUTE: Final = 60.0

NAMES: Final = (
    *("time", *map(str, Outcome), "errors", "calls", "denied", "limit", "available"),
    *("p50", "p99", "age50", "age99"),
)
Row = tuple[float | None, ...]
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Totals:
    """The counts up to a moment, or between two moments.

    turned_away  connections beyond `limits.max_connections`. Their requests count nowhere else
    rows         rows of the pages of the list that were read
    seconds      requests by latency: a count for each bucket of `REQUEST_SECONDS`
    ages         responses by age: a count for each bucket of `AGE_SECONDS`
    """

    requests: dict[Outcome, int]
    errors: int
    turned_away: int
    calls: int
    failures: dict[FailureReason, int]
    denied: dict[Purpose, int]
    rejected: dict[InvalidReason, int]
    rows: int
    seconds: list[int]
    ages: list[int]

    def since(self, before: Totals) -> Totals:
        return Totals(
            _difference(self.requests, before.requests),
            self.errors - before.errors,
            self.turned_away - before.turned_away,
            self.calls - before.calls,
            _difference(self.failures, before.failures),
            _difference(self.denied, before.denied),
            _difference(self.rejected, before.rejected),
            self.rows - before.rows,
            [now - then for now, then in zip(self.seconds, before.seconds, strict=True)],
            [now - then for now, then in zip(self.ages, before.ages, strict=True)],
        )

    def latency(self, share: float) -> float | None:
        """The seconds within which this share of the requests was answered (None: no requests)."""
        return quantile_of(REQUEST_SECONDS, self.seconds, share) if any(self.seconds) else None

    def age(self, share: float, most: float) -> float | None:
        """The age in seconds that this share of the responses did not exceed (None: no response had
        an age). No age exceeds `most`."""
        return quantile_of(AGE_SECONDS, self.ages, share, most) if any(self.ages) else None


class History:
    """Makes a row of figures every two seconds, and keeps the rows of the last 15 minutes.

    read      returns the gauges, None if they cannot be read
    lifetime  age in seconds beyond which a response is stale. Infinite if the upstream's header
              fields decide this
    """

    def __init__(
        self,
        counters: Counters,
        clock: Clock,
        read: Callable[[], GaugeReadings | None],
        lifetime: float,
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._read = read
        self._lifetime = lifetime
        self._rows: deque[Row] = deque(maxlen=int(SPAN / EVERY))
        self._totals: deque[Totals] = deque([_totals(counters)], maxlen=int(_MINUTE / EVERY) + 1)
        self._oldest_stale: deque[float | None] = deque(maxlen=int(_MINUTE / EVERY))
        self.taken = 0

    async def watch(self) -> None:
        """Make rows until cancelled."""
        while True:
            await self._clock.sleep(EVERY)
            self.take()

    def take(self) -> None:
        """Make a row: the counts since the last row, and the present budget."""
        before, now = self._totals[-1], _totals(self._counters)
        self._totals.append(now)
        oldest_stale = self._counters.take_oldest_stale()
        self._oldest_stale.append(oldest_stale)
        oldest = max(self._lifetime, oldest_stale or 0.0)
        self._rows.append(self._row(now.since(before), oldest))
        self.taken += 1

    def minute(self) -> Totals:
        """The counts of the last minute, up to now."""
        return _totals(self._counters).since(self._totals[0])

    def oldest_stale(self) -> float | None:
        """The age in seconds of the oldest stale answer of the last minute (None: no stale
        answer)."""
        ages = (*self._oldest_stale, self._counters.oldest_stale)
        return max((age for age in ages if age is not None), default=None)

    def oldest(self) -> float:
        """An age in seconds that no answer of the last minute exceeded."""
        return max(self._lifetime, self.oldest_stale() or 0.0)

    def after(self, taken: int) -> dict[str, list[float | None]]:
        """The rows after the first `taken` rows, as far as they are kept: a list for each
        column."""
        count = min(max(self.taken - taken, 0), len(self._rows))
        rows = list(self._rows)[len(self._rows) - count :]
        return {name: [row[at] for row in rows] for at, name in enumerate(NAMES)}

    def _row(self, totals: Totals, oldest: float) -> Row:
        limit, available = self._budget()
        return (
            round(self._clock.now(), 3),
            *(totals.requests[outcome] for outcome in Outcome),
            totals.errors,
            totals.calls,
            sum(totals.denied.values()),
            *(limit, available),
            *(totals.latency(0.5), totals.latency(0.99)),
            *(totals.age(0.5, oldest), totals.age(0.99, oldest)),
        )

    def _budget(self) -> tuple[float | None, float | None]:
        """The limits of all tenants together (in calls a minute), and the calls that are free now.
        Both are None if a tenant has no limit, or if no budget was read."""
        readings = self._read()
        views = () if readings is None else tuple(readings.budgets.values())
        limits = [view.limit * _MINUTE / view.window for view in views if view.limit is not None]
        free = [view.available for view in views if view.available is not None]
        if not views or len(limits) < len(views):
            return None, None
        return sum(limits), float(sum(free))


def _totals(counters: Counters) -> Totals:
    requests = list(counters.requests.items())
    return Totals(
        by_outcome(counters),
        sum(
            count
            for (outcome, _, status), count in requests
            if status == "5xx" and outcome is not Outcome.REJECTED
        ),
        counters.refusals[AccessRefusal.TOO_MANY_CONNECTIONS],
        sum(sum(each.buckets) for each in counters.call_seconds.values()),
        dict(counters.failures),
        dict(counters.denied),
        dict(counters.rejected),
        counters.rows,
        [
            sum(row)
            for row in zip(*(h.buckets for h in counters.request_seconds.values()), strict=True)
        ],
        list(counters.age.buckets),
    )


def _difference(now: dict[K, int], then: dict[K, int]) -> dict[K, int]:
    return {key: count - then.get(key, 0) for key, count in now.items()}
