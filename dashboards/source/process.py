"""Panels of the overview about the tiers, the callers, and each replica's own health."""

from __future__ import annotations

from dashboards.source.panels import Panel, Query, plot
from dashboards.source.queries import (
    ASKED,
    HITS,
    REPLICA,
    highest,
    of,
    per_second,
    quantile,
    summed,
)

_REQUESTS = "gateway_requests_total"
_CLIENTS = "gateway_client_requests_total"
_REDIS = "gateway_redis_request_duration_seconds"
_NAME = "{{pod}} {{instance}}"


def tiers() -> list[Panel]:
    """L1, Redis, and what is shared between callers."""
    return [*_stored(), *_redis()]


def _stored() -> list[Panel]:
    by_tier = summed(per_second(_REQUESTS, HITS), "tier")
    wanted = summed(per_second(_REQUESTS, ASKED))
    evicted = summed(per_second("gateway_cache_evictions_total"), "tier")
    return [
        plot(
            "Hit rate by tier",
            "Of all but the rejected.",
            Query(f"{by_tier} / on () group_left () ({wanted} > 0)", "{{tier}}"),
            unit="percentunit",
            stacked=True,
        ),
        plot(
            "Held",
            "Bytes in each replica, keys and overhead counted; l1.max_bytes bounds them.",
            Query(summed(of("gateway_cache_bytes"), f"tier, {REPLICA}"), f"{{{{tier}}}} {_NAME}"),
            unit="bytes",
        ),
        plot(
            "Entries, and those evicted",
            "Evicted for space, each minute: more than a few, and L1 is too small.",
            Query(summed(of("gateway_cache_entries"), "tier"), "{{tier}} entries"),
            Query(f"60 * {evicted}", "{{tier}} evicted a minute"),
        ),
        plot(
            "Cache being filled",
            "1 while a cache that began empty is filled: after a first start, or a loss in Redis.",
            Query(highest(of("gateway_warming"), REPLICA), _NAME),
        ),
    ]


def _redis() -> list[Panel]:
    return [
        plot(
            "Redis, p99",
            "By what was asked of it; redis.timeout is the bound.",
            Query(quantile(0.99, _REDIS, by="operation"), "{{operation}}"),
            unit="s",
        ),
        plot(
            "Redis, errors",
            "Not answered in time, or nonsense; and whether it and the bus are there (1).",
            Query(
                summed(per_second("gateway_redis_errors_total"), "operation"), "{{operation}} /s"
            ),
            Query(f"min({of('gateway_redis_up')})", "Redis is there"),
            Query(f"min({of('gateway_bus_connected')})", "the bus is there"),
        ),
        plot(
            "Waiting for another's fetch",
            "Requests that wait for a call that another one made.",
            Query(summed(of("gateway_collapsed_waiters"), REPLICA), _NAME),
        ),
    ]


def callers() -> list[Panel]:
    """Who asks, who is turned away, and what the upstream's bodies were like."""
    return [
        plot(
            "Requests by client",
            "The ten that ask most; and all that were limited or refused.",
            Query(f"topk(10, {summed(per_second(_CLIENTS), 'client')})", "{{client}}"),
            Query(summed(per_second(_CLIENTS, 'result!="served"'), "result"), "all: {{result}}"),
            unit="reqps",
        ),
        plot(
            "Trainings in batches",
            "How each training of a request for several was answered.",
            Query(summed(per_second("gateway_batch_items_total"), "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        plot(
            "Turned away",
            "At either door, before anything was asked for.",
            Query(summed(per_second("gateway_access_refused_total"), "reason"), "{{reason}}"),
            unit="reqps",
        ),
        plot(
            "Orders",
            "Invalidations, purges and changes of mode that operators ordered in the last hour.",
            Query(
                summed(f"increase({of('gateway_orders_total')}[1h])", "order, operator"),
                "{{order}} by {{operator}}",
            ),
        ),
        plot(
            "Payloads",
            "Bodies that are no training, and how those that are differ from the documentation.",
            Query(
                summed(per_second("gateway_payload_rejected_total"), "reason"),
                "no training: {{reason}}",
            ),
            Query(summed(per_second("gateway_payload_drift_total"), "kind"), "drift: {{kind}}"),
            unit="ops",
        ),
    ]


def processes() -> list[Panel]:
    """CPU, memory, the event loop, versions."""
    return [
        plot(
            "CPU",
            "Of one core: a replica uses no more than one.",
            Query(_ours(per_second("process_cpu_seconds_total")), _NAME),
            unit="percentunit",
        ),
        plot(
            "Memory",
            "Resident, of each replica.",
            Query(_ours(of("process_resident_memory_bytes")), _NAME),
            unit="bytes",
        ),
        plot(
            "Event loop, worst delay",
            "Of the last quarter of a minute: what each request waits as well.",
            Query(highest(of("gateway_event_loop_lag_seconds"), REPLICA), _NAME),
            unit="s",
        ),
        plot(
            "Files and sockets",
            "Open in each replica, and how many it may have.",
            Query(_ours(of("process_open_fds")), _NAME),
            Query(f"min({_ours(of('process_max_fds'))})", "limit"),
        ),
        _states(),
        plot(
            "Log lines and spans lost",
            "Standard output did not take the lines, the collector of traces not the spans.",
            Query(summed(per_second("gateway_log_lines_dropped_total"), REPLICA), _NAME),
            Query(
                summed(per_second("gateway_trace_spans_total", 'result!="sent"'), "result"),
                "spans {{result}}",
            ),
            unit="ops",
        ),
        plot(
            "Started",
            "Restarts within the time shown.",
            Query(_ours(f"changes({of('process_start_time_seconds')}[$__range])"), _NAME),
        ),
    ]


def _states() -> Panel:
    return plot(
        "Versions and states",
        "Replicas of each version; those that drain; those that refused a file of clients or "
        "tokens.",
        Query(f"count by (version) ({of('gateway_build_info')})", "{{version}}"),
        Query(summed(of("gateway_draining")), "draining"),
        Query(f"max by (mode) ({of('gateway_mode')}) > 0", "mode {{mode}}"),
        Query(
            f"count({of('gateway_clients_last_reload_successful')} == 0) or vector(0)",
            "clients file refused",
        ),
        Query(
            f"count({of('gateway_tokens_last_reload_successful')} == 0) or vector(0)",
            "tokens file refused",
        ),
    )


def _ours(expression: str) -> str:
    """Of the gateways alone: other programs have such metrics too."""
    return f"{expression} and on (job, instance) {of('gateway_build_info')}"
