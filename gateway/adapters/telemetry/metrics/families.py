"""The metrics that are counters or histograms: name, help text, labels, and where the numbers of
each come from. This is data: nothing is counted or rendered here.
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

# Each row: the name without `_total`, the help text, the labels, and what reads the numbers.
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
        "Calls to the upstream, by purpose and by class of status.",
        ("purpose", "status"),
        lambda counters: _rows(counters.calls),
    ),
    (
        "gateway_upstream_failures",
        "Calls to the upstream that failed: no usable response of the API came.",
        ("reason",),
        lambda counters: _single(counters.failures),
    ),
    (
        "gateway_budget_denied",
        "Calls that were not made because no budget was left or the gate was closed.",
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
        "Bodies that are no training. They are refused and not stored.",
        ("reason",),
        lambda counters: _single(counters.rejected),
    ),
    (
        "gateway_payload_drift",
        "Differences from the API's documentation, found in bodies that were accepted.",
        ("kind",),
        lambda counters: _single(counters.drift),
    ),
    (
        "gateway_version_regressions",
        "Responses of the upstream with an older version than one seen before.",
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
        "Requests to Redis that got no answer, or an answer that makes no sense.",
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
        "Orders that this replica carried out, by order and operator.",
        ("order", "operator"),
        lambda counters: _rows(counters.orders),
    ),
    (
        "gateway_log_lines_dropped",
        "Log lines that were lost because standard output did not accept them.",
        (),
        lambda counters: [((), counters.log_lines_dropped)],
    ),
    (
        "gateway_trace_spans",
        "Spans of kept traces, by what became of them.",
        ("result",),
        lambda counters: _single(counters.spans),
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
        "Age of the responses that were served, from the cache or from the upstream.",
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
        "Time from a training's updated_at to the moment when that version is served.",
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


# `list` copies a table in one step: a scrape may run in a thread while the event loop goes on
# counting.
def _rows(counts: Mapping[T, int]) -> list[Row]:
    return [(labels, count) for labels, count in list(counts.items())]


def _single(counts: Mapping[S, int]) -> list[Row]:
    return [((label,), count) for label, count in list(counts.items())]


def _series(histograms: Mapping[S, Histogram]) -> list[Series]:
    return [((label,), histogram) for label, histogram in histograms.items()]
