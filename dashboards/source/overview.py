"""The first dashboard: are callers served, is it us or the upstream, how stale are we."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.source import process, upstream
from dashboards.source.panels import (
    BAD,
    FAIR,
    GOOD,
    Panel,
    Query,
    Row,
    board,
    number,
    plot,
)
from dashboards.source.queries import (
    ASKED,
    DEPLOYMENT,
    HITS,
    highest,
    of,
    per_second,
    quantile,
    share,
    summed,
)

UID = "gateway-overview"
TITLE = "Training Gateway: overview"
_REQUESTS = "gateway_requests_total"
_SECONDS = "gateway_request_duration_seconds"
_AGE = "gateway_response_age_seconds"
_LAG = "gateway_freshness_lag_seconds"
_ALL = summed(per_second(_REQUESTS))
_WANTED = summed(per_second(_REQUESTS, ASKED))
_FAILED = summed(per_second(_REQUESTS, ASKED, 'status="5xx"'))
_HIT = summed(per_second(_REQUESTS, HITS))
_FIRING = 'count by (alertname, severity) (ALERTS{alertname=~"Gateway.+",alertstate="firing"})'
_AVAILABLE, _LIMIT = of("gateway_budget_available"), of("gateway_budget_limit")
_OPEN = highest(of("gateway_upstream_circuit_state", 'state=~"open|half-open"'))
_USED = (
    f"max(1 - max by ({DEPLOYMENT}, tenant) ({_AVAILABLE}) "
    f"/ max by ({DEPLOYMENT}, tenant) ({_LIMIT}))"
)


def overview() -> dashboard.Dashboard:
    """The whole of it, the most urgent question first."""
    rows = (
        Row("Are callers served? Us or the upstream?", [*_figures(), *_states(), *_served()]),
        Row("Upstream and budget", upstream.panels()),
        Row("Freshness", _freshness()),
        Row("Tiers", process.tiers()),
        Row("Callers and payloads", process.callers()),
        Row("Process", process.processes()),
    )
    says = "RUNBOOK.md beside this dashboard's source says what to do about each alert."
    other = ("Objectives", "gateway-objectives")
    return board(TITLE, UID, says, rows, since="now-1h", other=other)


def _figures() -> list[Panel]:
    return [
        number(
            "Success",
            "Requests not answered with a 5xx; those rejected for the caller's own fault left out.",
            f"1 - ({share(_FAILED, _WANTED)})",
            "percentunit",
            steps=((None, BAD), (0.99, FAIR), (0.999, GOOD)),
        ),
        number("Requests", "Of all kinds, each second, all replicas.", _ALL, "reqps"),
        number(
            "Hit rate",
            "Answered from what is stored, of all but the rejected.",
            share(_HIT, _WANTED),
            "percentunit",
            steps=((None, BAD), (0.5, FAIR), (0.8, GOOD)),
        ),
        number(
            "p99",
            "99 of 100 requests are answered within this time; with no request there is none.",
            quantile(0.99, _SECONDS, ASKED),
            "s",
            steps=((None, GOOD), (0.5, FAIR), (1, BAD)),
        ),
    ]


def _states() -> list[Panel]:
    return [
        number(
            "Budget used",
            "Of the calls that the tenant worst off may make in its window; empty: unlimited.",
            _USED,
            "percentunit",
            steps=((None, GOOD), (0.8, FAIR), (0.95, BAD)),
        ),
        number(
            "Ready",
            "Replicas that say so on /readyz.",
            summed(of("gateway_ready")),
            steps=((None, BAD), (1, GOOD)),
        ),
        number(
            "Upstream",
            "Left alone: the breaker is open. Told to wait: a 429 holds some tenant's calls.",
            f"{_OPEN} + 2 * {highest(of('gateway_gate_closed'))}",
            steps=((None, GOOD), (1, BAD)),
            words={"0": "called", "1": "left alone", "2": "told to wait", "3": "both"},
        ),
        number(
            "Redis",
            "Whether every replica reaches it; empty: there is none.",
            f"min({of('gateway_redis_up')})",
            steps=((None, BAD), (1, GOOD)),
            words={"0": "away", "1": "there"},
        ),
    ]


def _served() -> list[Panel]:
    return [
        plot(
            "Outcomes",
            "How requests ended. stale-* and failed: the upstream or the budget is short.",
            Query(summed(per_second(_REQUESTS), "outcome"), "{{outcome}}"),
            unit="reqps",
            stacked=True,
        ),
        plot(
            "Us or the upstream?",
            "Our errors beside those of the upstream. Ours alone: look at Process and Tiers.",
            Query(_FAILED, "callers: 5xx"),
            Query(
                summed(per_second("gateway_upstream_failures_total"), "reason"),
                "upstream: {{reason}}",
            ),
            Query(summed(per_second("gateway_budget_denied_total")), "budget: denied"),
            unit="reqps",
        ),
        plot(
            "Latency",
            "Of requests, the caller's own faults left out; and of hits. Points are single traces.",
            Query(quantile(0.5, _SECONDS, ASKED), "p50"),
            Query(quantile(0.99, _SECONDS, ASKED), "p99", exemplars=True),
            Query(quantile(0.99, _SECONDS, HITS), "hits p99"),
            unit="s",
        ),
        plot(
            "Status",
            "What callers were answered.",
            Query(summed(per_second(_REQUESTS), "status"), "{{status}}"),
            unit="reqps",
            width=12,
            stacked=True,
        ),
        plot(
            "Alerts",
            "Those that fire; RUNBOOK.md has a section for each.",
            Query(
                _FIRING,
                "{{alertname}} ({{severity}})",
            ),
            width=12,
            stacked=True,
        ),
    ]


def _sweeps() -> list[Panel]:
    return [
        plot(
            "Sweeps",
            "Sweeps of the list by how they ended; all but complete ones are news.",
            Query(summed(per_second("gateway_sweeps_total"), "end"), "{{end}}"),
            unit="ops",
            stacked=True,
        ),
        plot(
            "Sweeps by state",
            "behind: the list is older than answers for single trainings; off: it is refused.",
            Query(summed(of("gateway_sweep_state"), "state"), "{{state}}"),
        ),
    ]


def _freshness() -> list[Panel]:
    stale = summed(per_second(_REQUESTS, 'outcome=~"stale-.+"'), "outcome")
    return [
        plot(
            "Age served",
            "Time since the upstream last confirmed what was answered.",
            Query(quantile(0.5, _AGE), "p50"),
            Query(quantile(0.99, _AGE), "p99"),
            unit="s",
        ),
        plot(
            "Freshness lag",
            "From an edit to the moment its new version is served; of trainings that nobody asked "
            "for in between, too.",
            Query(quantile(0.5, _LAG), "p50"),
            Query(quantile(0.99, _LAG), "p99"),
            unit="s",
        ),
        plot(
            "Stale answers",
            "stale-refreshing: refreshed behind; stale-error: the upstream failed; stale-shielded: "
            "it was not called (budget, gate, breaker).",
            Query(f"{stale} / on () group_left () ({_WANTED} > 0)", "{{outcome}}"),
            unit="percentunit",
        ),
        plot(
            "Invalidations",
            "Entries that became invalid, by cause; updated_at is an edit that was noticed.",
            Query(summed(per_second("gateway_invalidations_total"), "cause"), "{{cause}}"),
            unit="ops",
            stacked=True,
        ),
        plot(
            "Sweep",
            "Age of the oldest confirmation among the entries under sweep; empty without a sweep.",
            Query(highest(of("gateway_sweep_confirmed_seconds")), "oldest confirmation"),
            unit="s",
        ),
        *_sweeps(),
        plot(
            "Versions that went back",
            "Older than one that was seen: refused until told often enough.",
            Query(summed(per_second("gateway_version_regressions_total")), "regressions"),
            unit="ops",
        ),
    ]
