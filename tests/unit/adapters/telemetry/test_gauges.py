from __future__ import annotations

from gateway.adapters.telemetry.metrics import GAUGES, OWN_GAUGES

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


def test_gauges_are_those_of_the_contract() -> None:
    """Names and labels of all gauges, none missing and none more."""
    found = {name: labels for name, _, labels, _ in GAUGES}
    found |= {name: labels for name, _, labels, _ in OWN_GAUGES}

    assert found == GAUGE_NAMES


def test_every_gauge_explains_itself() -> None:
    """A help text is a sentence."""
    texts = [text for _, text, _, _ in GAUGES] + [text for _, text, _, _ in OWN_GAUGES]

    assert [text for text in texts if not (text[0].isupper() and text.endswith("."))] == []
