"""Panels of the overview about the upstream, and our share of its limit."""

from __future__ import annotations

from dashboards.source.panels import BAD, FAIR, GOOD, Panel, Query, number, plot
from dashboards.source.queries import DEPLOYMENT, highest, of, per_second, quantile, summed

_CALLS = "gateway_upstream_requests_total"
_FAILURES = "gateway_upstream_failures_total"
_CALL_SECONDS = "gateway_upstream_request_duration_seconds"
_TOLD_OFF = 'reason=~"rate-limited|challenge|refused"'
_WAIT = "gateway_budget_wait_seconds"


def panels() -> list[Panel]:
    """How often it is called against the limit, what comes back, and what waits."""
    return [*_figures(), *_calls(), *_budget()]


def _figures() -> list[Panel]:
    return [
        number(
            "Since the last good answer",
            "Of the API to any replica; high with no traffic, too.",
            f"time() - {highest(of('gateway_upstream_last_success_timestamp_seconds'))}",
            "s",
            steps=((None, GOOD), (300, FAIR), (1800, BAD)),
            width=6,
        ),
        number(
            "Calls under way",
            "All replicas together.",
            summed(of("gateway_upstream_inflight")),
            width=6,
        ),
        number(
            "Gate",
            "Closed by a 429, for the tenants named.",
            highest(of("gateway_gate_closed"), "tenant"),
            steps=((None, GOOD), (1, BAD)),
            words={"0": "open", "1": "closed"},
            width=6,
            legend="{{tenant}}",
        ),
        number(
            "Circuit",
            "Replicas, by the state of their breakers.",
            summed(of("gateway_upstream_circuit_state"), "state"),
            width=6,
            legend="{{state}}",
        ),
    ]


def _calls() -> list[Panel]:
    return [
        plot(
            "Calls a minute",
            "By why they were made. The limit is that of all tenants together, in its own window.",
            Query(f"60 * {summed(per_second(_CALLS), 'purpose')}", "{{purpose}}"),
            Query(f"sum({highest(of('gateway_budget_limit'), f'{DEPLOYMENT}, tenant')})", "limit"),
            width=12,
            stacked=True,
        ),
        plot(
            "Answers of the upstream",
            "By status; none: no answer came.",
            Query(f"60 * {summed(per_second(_CALLS), 'status')}", "{{status}} a minute"),
            Query(
                f"60 * {summed(per_second(_FAILURES, _TOLD_OFF), 'reason')}",
                "of these {{reason}} a minute",
            ),
            width=12,
        ),
        plot(
            "Latency of the upstream",
            "Of a call, answered or not.",
            Query(quantile(0.5, _CALL_SECONDS), "p50"),
            Query(quantile(0.99, _CALL_SECONDS), "p99", exemplars=True),
            unit="s",
        ),
    ]


def _budget() -> list[Panel]:
    return [
        plot(
            "Budget left",
            "Calls that each tenant may still make now; empty: unlimited.",
            Query(highest(of("gateway_budget_available"), "tenant"), "{{tenant}}"),
        ),
        plot(
            "Waiting and denied",
            "How long nine of ten calls waited for their turn, and calls that were not made.",
            Query(quantile(0.9, _WAIT), "waited, p90 (s)"),
            Query(
                summed(per_second("gateway_budget_denied_total"), "purpose"),
                "denied {{purpose}} /s",
            ),
        ),
    ]
