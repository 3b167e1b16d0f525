"""The first numbers, for the live page and /status: sums and shares of what was counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

from gateway.adapters.telemetry.metrics.counters import STALE, Counters, Histogram
from gateway.core.vocabulary import Outcome

S = TypeVar("S", bound=str)

HITS = (
    Outcome.FRESH,
    *STALE,
    Outcome.NEGATIVE,
)


def figures(counters: Counters) -> dict[str, float | int]:
    """Since the start of this replica; a dot separates a figure from the part it is split by."""
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
    """Requests by outcome, tiers and statuses added up."""
    totals = dict.fromkeys(Outcome, 0)
    for (outcome, _, _), count in list(counters.requests.items()):
        totals[outcome] += count
    return totals


def hit_rate(outcomes: Mapping[Outcome, int]) -> float:
    """The share of hits in all requests but the rejected; 0.0 where there were none."""
    asked = sum(count for outcome, count in outcomes.items() if outcome is not Outcome.REJECTED)
    return sum(outcomes[outcome] for outcome in HITS) / asked if asked else 0.0


def quantile(histograms: Sequence[Histogram], share: float) -> float:
    """The value that `share` of all stay below, in the histograms' unit; 0.0 for none.

    The histograms, one at least, have the same bounds. Within a bucket it is estimated on a
    straight line, as Prometheus does; what exceeds the last bound counts as that bound.
    """
    bounds = histograms[0].bounds
    counts = [sum(h.buckets[at] for h in histograms) for at in range(len(bounds) + 1)]
    return quantile_of(bounds, counts, share)


def quantile_of(
    bounds: Sequence[float], counts: Sequence[int], share: float, most: float = math.inf
) -> float:
    """The same of one histogram's buckets, of which the last is what exceeds all bounds.

    `most`: a value that is known not to be exceeded, which a straight line may; where the buckets
    show that it is, they are believed.
    """
    wanted, below, lower = share * sum(counts), 0, 0.0
    for bound, count in zip(bounds, counts[:-1], strict=True):
        if count and below + count >= wanted:
            upper = most if lower < most < bound else bound
            return lower + (upper - lower) * (wanted - below) / count
        below, lower = below + count, bound
    return lower if sum(counts) else 0.0


def _split(figure: str, parts: Mapping[S, int]) -> dict[str, int]:
    return {f"{figure}.{part}": count for part, count in parts.items()}
