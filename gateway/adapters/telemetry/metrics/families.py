"""Counters and histograms: names, help texts and labels as the contract has them, and where
each one's numbers come from. Data: nothing is counted or rendered here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from gateway.adapters.telemetry.metrics.counters import Counters, Histogram

S = TypeVar("S", bound=str)
T = TypeVar("T", bound=tuple[str, ...])
Labels = tuple[str, ...]
Row = tuple[Labels, float]
Series = tuple[Labels, Histogram]

# Name without `_total`, help, labels, rows.
COUNTS: tuple[tuple[str, str, Labels, Callable[[Counters], list[Row]]], ...] = (
    (
        "gateway_requests",
        "Requests to the data plane, by how they ended and where the answer came from.",
        ("outcome", "tier", "status"),
        lambda counters: _rows(counters.requests),
    ),
    (
        "gateway_client_requests",
        "Requests by client, and whether they were served.",
        ("client", "result"),
        lambda counters: _rows(counters.clients),
    ),
    (
        "gateway_upstream_requests",
        "Calls to the upstream, by why they were made and what was answered.",
        ("purpose", "status"),
        lambda counters: _rows(counters.calls),
    ),
    (
        "gateway_upstream_failures",
        "Calls that brought no answer of the API.",
        ("reason",),
        lambda counters: _single(counters.failures),
    ),
    (
        "gateway_budget_denied",
        "Calls not made for lack of budget, or at a closed gate.",
        ("purpose",),
        lambda counters: _single(counters.denied),
    ),
    (
        "gateway_invalidations",
        "Entries that became invalid.",
        ("cause",),
        lambda counters: _single(counters.invalidations),
    ),
    (
        "gateway_payload_rejected",
        "Bodies that are no training, refused and not stored.",
        ("reason",),
        lambda counters: _single(counters.rejected),
    ),
    (
        "gateway_payload_drift",
        "Differences from the documentation in bodies that were taken all the same.",
        ("kind",),
        lambda counters: _single(counters.drift),
    ),
    (
        "gateway_version_regressions",
        "Versions from upstream older than one already seen.",
        (),
        lambda counters: [((), counters.regressions)],
    ),
    (
        "gateway_cache_evictions",
        "Entries removed for space.",
        ("tier",),
        lambda counters: _single(counters.evictions),
    ),
    (
        "gateway_redis_errors",
        "Requests that Redis did not answer, or with nonsense.",
        ("operation",),
        lambda counters: _single(counters.redis_errors),
    ),
    (
        "gateway_access_refused",
        "Callers turned away.",
        ("reason",),
        lambda counters: _single(counters.refusals),
    ),
    (
        "gateway_orders",
        "Orders that were carried out by this replica, by the operator who gave them.",
        ("order", "operator"),
        lambda counters: _rows(counters.orders),
    ),
    (
        "gateway_log_lines_dropped",
        "Log lines that were lost because standard output did not take them.",
        (),
        lambda counters: [((), counters.log_lines_dropped)],
    ),
)

TIMINGS: tuple[tuple[str, str, Labels, Callable[[Counters], list[Series]]], ...] = (
    (
        "gateway_request_duration_seconds",
        "Time to answer a request to the data plane.",
        ("outcome",),
        lambda counters: _series(counters.request_seconds),
    ),
    (
        "gateway_response_age_seconds",
        "Age of what was served from store or upstream.",
        (),
        lambda counters: [((), counters.age)],
    ),
    (
        "gateway_upstream_request_duration_seconds",
        "Time of a call to the upstream, answered or not.",
        ("purpose",),
        lambda counters: _series(counters.call_seconds),
    ),
    (
        "gateway_budget_wait_seconds",
        "Time that a call waited for its turn.",
        ("purpose",),
        lambda counters: _series(counters.wait_seconds),
    ),
    (
        "gateway_freshness_lag_seconds",
        "From a training's updated_at to the moment its new version is served.",
        (),
        lambda counters: [((), counters.freshness_lag)],
    ),
    (
        "gateway_redis_request_duration_seconds",
        "Time of a request that Redis answered.",
        ("operation",),
        lambda counters: _series(counters.redis_seconds),
    ),
)


# Lists, taken in one step: a scrape may run in a thread while the event loop counts on.
def _rows(counts: Mapping[T, int]) -> list[Row]:
    return [(labels, count) for labels, count in list(counts.items())]


def _single(counts: Mapping[S, int]) -> list[Row]:
    return [((label,), count) for label, count in list(counts.items())]


def _series(histograms: Mapping[S, Histogram]) -> list[Series]:
    return [((label,), histogram) for label, histogram in histograms.items()]
