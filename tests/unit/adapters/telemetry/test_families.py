from __future__ import annotations

from gateway.adapters.telemetry.metrics import COUNTS, TIMINGS

# The contract's table; gauges have a file of their own.
COUNTERS = {
    "gateway_requests_total": ("outcome", "tier", "status"),
    "gateway_client_requests_total": ("client", "result"),
    "gateway_upstream_requests_total": ("purpose", "status"),
    "gateway_upstream_failures_total": ("reason",),
    "gateway_budget_denied_total": ("purpose",),
    "gateway_invalidations_total": ("cause",),
    "gateway_payload_rejected_total": ("reason",),
    "gateway_payload_drift_total": ("kind",),
    "gateway_version_regressions_total": (),
    "gateway_cache_evictions_total": ("tier",),
    "gateway_redis_errors_total": ("operation",),
    "gateway_access_refused_total": ("reason",),
    "gateway_orders_total": ("order", "operator"),
    "gateway_sweeps_total": ("end",),
    "gateway_log_lines_dropped_total": (),
    "gateway_trace_spans_total": ("result",),
}
HISTOGRAMS = {
    "gateway_request_duration_seconds": ("outcome",),
    "gateway_response_age_seconds": (),
    "gateway_upstream_request_duration_seconds": ("purpose",),
    "gateway_budget_wait_seconds": ("purpose",),
    "gateway_freshness_lag_seconds": (),
    "gateway_redis_request_duration_seconds": ("operation",),
}


def test_counters_are_those_of_the_contract() -> None:
    """Names and labels of all counters, none missing and none more."""
    assert {f"{name}_total": labels for name, _, labels, _ in COUNTS} == COUNTERS


def test_histograms_are_those_of_the_contract() -> None:
    """Names and labels of all histograms, none missing and none more."""
    assert {name: labels for name, _, labels, _ in TIMINGS} == HISTOGRAMS


def test_every_metric_explains_itself() -> None:
    """A help text is a sentence."""
    texts = [text for table in (COUNTS, TIMINGS) for _, text, _, _ in table]

    assert [text for text in texts if not (text[0].isupper() and text.endswith("."))] == []
