from __future__ import annotations

from gateway.adapters.telemetry.metrics import COUNTS, GAUGES, OWN_GAUGES, TIMINGS

# The contract's table.
COUNTERS = {
    "gateway_requests_total": ("outcome", "tier", "status"),
    "gateway_batch_items_total": ("outcome",),
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
# The contract's table, and what operations.md finds worth having; build_info is the collector's.
GAUGE_NAMES = {
    "gateway_upstream_inflight": (),
    "gateway_upstream_last_success_timestamp_seconds": (),
    "gateway_upstream_circuit_state": ("state",),
    "gateway_budget_limit": ("tenant",),
    "gateway_budget_available": ("tenant",),
    "gateway_gate_closed": ("tenant",),
    "gateway_sweep_confirmed_seconds": (),
    "gateway_cache_entries": ("tier",),
    "gateway_cache_bytes": ("tier",),
    "gateway_collapsed_waiters": (),
    "gateway_redis_up": (),
    "gateway_bus_connected": (),
    "gateway_ready": (),
    "gateway_draining": (),
    "gateway_warming": (),
    "gateway_mode": ("mode",),
    "gateway_sweep_state": ("state",),
    "gateway_event_loop_lag_seconds": (),
    "gateway_clients_last_reload_successful": (),
    "gateway_tokens_last_reload_successful": (),
}


def test_the_metrics_are_those_of_the_contract() -> None:
    """Names and labels, none missing and none more."""
    assert {f"{name}_total": labels for name, _, labels, _ in COUNTS} == COUNTERS
    assert {name: labels for name, _, labels, _ in TIMINGS} == HISTOGRAMS
    gauges = {name: labels for name, _, labels, _ in GAUGES}
    assert gauges | {name: labels for name, _, labels, _ in OWN_GAUGES} == GAUGE_NAMES


def test_every_metric_explains_itself() -> None:
    """A help text is a sentence."""
    texts = [text for table in (COUNTS, TIMINGS, GAUGES, OWN_GAUGES) for _, text, _, _ in table]

    assert [text for text in texts if not (text[0].isupper() and text.endswith("."))] == []
