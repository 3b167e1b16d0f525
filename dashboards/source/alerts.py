"""The alerts, as data. Each has a section in RUNBOOK.md, and fires and resolves in a test of rules.

An expression names no job, since each Prometheus chooses that name itself.
"""

from __future__ import annotations

from dashboards.source.alert import BY, BY_REPLICA, Alert, grown
from dashboards.source.burns import BURNS
from dashboards.source.queries import ASKED, DEPLOYMENT, HITS, quantile_within, unless_warming
from gateway.core.vocabulary import SWEEPS

_FAILURES = "gateway_upstream_failures_total"
_CALLS = "gateway_upstream_requests_total"
_DENIED = "gateway_budget_denied_total"
_WAITED = "gateway_budget_wait_seconds"
_ASKS = "gateway_requests_total"
_REDIS = "gateway_redis_request_duration_seconds"
# Purposes for which a caller waits, with nothing stored to answer with meanwhile. A caller whose
# revalidation is denied nearly always gets the stale response.
_WAITED_FOR = 'purpose=~"miss|min-version|write"'
# All purposes but the sweep's. The finding of the same name in `gateway status` counts these too.
_OF_NO_SWEEP = f'purpose!~"{"|".join(SWEEPS)}"'


_CROWDED = 'reason="too-many-connections"'
REPLICAS = (
    Alert(
        "GatewayAbsent",
        "critical",
        "5m",
        "Prometheus gets metrics from no gateway: none runs, or it reaches none",
        # Another deployment in the same Prometheus must not hide that one has gone.
        f"(group {BY} (last_over_time(gateway_build_info[1h]))"
        f" unless group {BY} (gateway_build_info)) or absent(gateway_build_info)",
    ),
    Alert(
        "GatewayNoReplicaReady",
        "critical",
        "1m",
        "No replica is ready: load balancers send no requests",
        f"sum {BY} (gateway_ready) == 0",
    ),
    Alert(
        "GatewayLoopLag",
        "warning",
        "5m",
        "A replica's event loop is late: this delays each request to the replica",
        f"max {BY} (gateway_event_loop_lag_seconds) > 0.25",
    ),
    Alert(
        "GatewayClientsFileRefused",
        "warning",
        "1m",
        "The clients file has a fault: the previous version stays in force",
        f"min {BY} (gateway_clients_last_reload_successful) == 0",
    ),
    Alert(
        "GatewayTokensFileRefused",
        "warning",
        "1m",
        "The file of operators' tokens has a fault: the previous version stays in force",
        f"min {BY} (gateway_tokens_last_reload_successful) == 0",
    ),
    Alert(
        "GatewayConnectionsExhausted",
        "warning",
        "5m",
        "A replica has as many connections as it may have, and refuses others",
        f"{grown('gateway_access_refused_total', '5m', _CROWDED)} > 0",
    ),
    Alert(
        "GatewayWarming",
        "info",
        "1m",
        "The cache began empty and is being filled: some callers get 503 meanwhile",
        f"min {BY} (gateway_warming) == 1",
    ),
    Alert(
        "GatewayModeLeft",
        "warning",
        "30m",
        "Somebody ordered the mode frozen, and nobody ended it",
        f'max {BY} (gateway_mode{{mode!="normal"}}) == 1',
    ),
    Alert(
        "GatewayVersionsDiffer",
        "warning",
        "1h",
        "Replicas of different versions run side by side",
        f"count {BY} (count by ({DEPLOYMENT}, version) (gateway_build_info)) > 1",
    ),
)

_CHALLENGED = 'reason="challenge"'
_TOLD_OFF = 'reason="rate-limited"'
_REFUSED = 'reason="refused"'
_SUCCEEDED = 'status="2xx"'
# Short: the breaker soon lets probes alone through, and good calls from before must not hide them.
_PAGES_OF_CDN = grown(_FAILURES, "3m", _CHALLENGED)
_OPEN = f'max {BY_REPLICA} (gateway_upstream_circuit_state{{state=~"open|half-open"}}) == 1'
UPSTREAM = (
    Alert(
        "GatewayUpstreamBlocked",
        "critical",
        "2m",
        "The upstream's CDN answers with a page of its own instead of the API",
        f"{_PAGES_OF_CDN} > 2\nand {_PAGES_OF_CDN} > 0.5 * {grown(_CALLS, '3m')}",
    ),
    Alert(
        "GatewayTokenRefused",
        "critical",
        "1m",
        "The upstream refuses the gateway's own token: nothing can be fetched with it",
        # Short, so that the alert resolves soon after the token was replaced.
        f"{grown(_FAILURES, '2m', _REFUSED)} > 1",
    ),
    Alert(
        "GatewayCircuitOpen",
        "critical",
        "5m",
        "The upstream fails: a replica sends it only probes",
        # A replica that needs no call makes no probe, so a breaker can stay open after an outage.
        # Only calls of that replica count, and the window is shorter than the five minutes.
        f"max {BY} ({_OPEN}\nand {grown(_FAILURES, '3m', by=BY_REPLICA)} > 0)",
    ),
    Alert(
        "GatewayUpstreamRateLimited",
        "warning",
        "0m",
        "The upstream answers 429 often: its limit is lower than the gateway's, or is shared",
        f"{grown(_FAILURES, '30m', _TOLD_OFF)} > 3",
    ),
    Alert(
        "GatewayGateClosed",
        "warning",
        "1m",
        "Because of 429s nearly no calls were made in the last ten minutes",
        f"max by ({DEPLOYMENT}, tenant) (avg_over_time(gateway_gate_closed[10m])) > 0.8",
    ),
    Alert(
        "GatewayPayloadsRejected",
        "warning",
        "5m",
        "More than 5 % of the upstream's bodies are no trainings",
        f"{grown('gateway_payload_rejected_total', '15m')} > 5\n"
        f"and {grown('gateway_payload_rejected_total', '15m')} "
        f"> 0.05 * {grown(_CALLS, '15m', _SUCCEEDED)}",
    ),
)

# Short, so that the alert resolves soon after calls are free again.
_CALLERS_DENIED = grown(_DENIED, "5m", _WAITED_FOR)
_P90_WAIT = quantile_within("10m", 0.9, _WAITED)
_P99_REDIS = quantile_within("5m", 0.99, _REDIS)
SHARES = (
    Alert(
        "GatewayCallersTurnedAway",
        "critical",
        "2m",
        "Callers get 503: their requests need calls to the API, and none may be made",
        f"{_CALLERS_DENIED} > 20\nand {_CALLERS_DENIED} > 0.01 * {grown(_ASKS, '5m', ASKED)}\n"
        f"{unless_warming('5m')}",
    ),
    Alert(
        "GatewayBudgetShort",
        "warning",
        "15m",
        "The budget is short: calls wait, or are not made",
        f"(({grown(_DENIED, '10m', _OF_NO_SWEEP)} > 5)\nor ({_P90_WAIT}) > 1)\n"
        f"{unless_warming('10m')}",
    ),
    Alert(
        "GatewayRedisAway",
        "warning",
        "2m",
        "A replica does not reach Redis, or gets no messages of the other replicas",
        f"min {BY} (gateway_redis_up) == 0\nor min {BY} (gateway_bus_connected) == 0",
    ),
    Alert(
        "GatewayRedisSlow",
        "warning",
        "10m",
        "Redis takes longer than 25 ms for one answer in a hundred",
        f"({_P99_REDIS}) > 0.025",
    ),
)

_HIT = f"sum {BY} (rate({_ASKS}{{{HITS}}}[30m]))"
_WANTED = f"sum {BY} (rate({_ASKS}{{{ASKED}}}[30m]))"
_EVICTED = f"sum {BY} (rate(gateway_cache_evictions_total[15m]))"
CACHE = (
    Alert(
        "GatewaySweepOff",
        "warning",
        "5m",
        "The API refuses the list of trainings: stored responses get older than the bound",
        f'sum {BY} (gateway_sweep_state{{state="off"}}) > 0',
    ),
    Alert(
        "GatewaySweepBehind",
        "warning",
        "5m",
        "The list of trainings is older than answers for single trainings",
        f'sum {BY} (gateway_sweep_state{{state="behind"}}) > 0',
    ),
    Alert(
        "GatewayHitRateLow",
        "info",
        "30m",
        "Fewer than half of the requests are answered from what is stored",
        f"{_HIT} / {_WANTED} < 0.5\nand {_WANTED} > 1",
    ),
    Alert(
        "GatewayL1Thrashing",
        "info",
        "15m",
        "L1 is too small: it evicts more than one entry for every ten requests",
        f"{_EVICTED} > 0.1 * sum {BY} (rate({_ASKS}{{{ASKED}}}[15m]))\nand {_EVICTED} > 0.1",
    ),
)

GROUPS: dict[str, tuple[Alert, ...]] = {
    "gateway-replicas": REPLICAS,
    "gateway-upstream": UPSTREAM,
    "gateway-budget-and-redis": SHARES,
    "gateway-cache": CACHE,
}
ALERTS = (*BURNS, *(alert for group in GROUPS.values() for alert in group))
