"""The metrics that are gauges: name, help text, labels, and what is read at the moment of a scrape.
This is data, as in `families`: nothing is rendered here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.adapters.telemetry.metrics.counters import Counters
from gateway.adapters.telemetry.metrics.families import Labels, Row
from gateway.core.vocabulary import Circuit, Mode, Tier
from gateway.ports import BudgetView


@dataclass(frozen=True, slots=True)
class GaugeReadings:
    """The state of this replica now. None: this replica has no such thing, and exports no series.

    budgets   by the name of the tenant; not by partition, which would be a series for each
    credential loop_lag  seconds, see `loop_lag` sweep_confirmed  seconds since the oldest
    confirmation among the entries under sweep
    """

    ready: bool
    draining: bool
    l1_entries: int
    l1_bytes: int
    l2_entries: int | None = None
    l2_bytes: int | None = None
    collapsed_waiters: int = 0
    circuit: Circuit = Circuit.CLOSED
    budgets: Mapping[str, BudgetView] = field(default_factory=dict)
    redis_up: bool | None = None
    bus_connected: bool | None = None
    loop_lag: float | None = None
    sweep_confirmed: float | None = None
    clients_reloaded: bool | None = None
    tokens_reloaded: bool | None = None
    mode: Mode = Mode.NORMAL


T = TypeVar("T", bound=tuple[str, ...])

# A gauge whose value is None has no series.
GAUGES: tuple[tuple[str, str, Labels, Callable[[GaugeReadings], list[Row]]], ...] = (
    (
        "gateway_upstream_circuit_state",
        "State of the upstream's breaker: 1 for the present state, 0 for the others.",
        ("state",),
        lambda now: [((state,), state is now.circuit) for state in Circuit],
    ),
    (
        "gateway_budget_limit",
        "Calls that the tenant may make in a window; no series if that is unlimited.",
        ("tenant",),
        lambda now: _known({(name,): view.limit for name, view in now.budgets.items()}),
    ),
    (
        "gateway_budget_available",
        "Calls that the tenant may still make now; no series if that is unlimited.",
        ("tenant",),
        lambda now: _known({(name,): view.available for name, view in now.budgets.items()}),
    ),
    (
        "gateway_gate_closed",
        "Whether the tenant's gate is closed, because the upstream answered 429.",
        ("tenant",),
        lambda now: [((name,), view.gate_closed_for > 0) for name, view in now.budgets.items()],
    ),
    (
        "gateway_cache_entries",
        "Entries held.",
        ("tier",),
        lambda now: _known({(Tier.L1,): now.l1_entries, (Tier.L2,): now.l2_entries}),
    ),
    (
        "gateway_cache_bytes",
        "Bytes of memory that the held entries take.",
        ("tier",),
        lambda now: _known({(Tier.L1,): now.l1_bytes, (Tier.L2,): now.l2_bytes}),
    ),
    (
        "gateway_collapsed_waiters",
        "Requests that wait for a fetch that another request started.",
        (),
        lambda now: [((), now.collapsed_waiters)],
    ),
    (
        "gateway_redis_up",
        "Whether Redis answered when it was last asked; no series without Redis.",
        (),
        lambda now: _known({(): now.redis_up}),
    ),
    (
        "gateway_bus_connected",
        "Whether this replica hears the other replicas; no series without Redis.",
        (),
        lambda now: _known({(): now.bus_connected}),
    ),
    ("gateway_ready", "Whether /readyz answers 200.", (), lambda now: [((), now.ready)]),
    (
        "gateway_draining",
        "Whether the replica is about to stop, and drains.",
        (),
        lambda now: [((), now.draining)],
    ),
    (
        "gateway_mode",
        "Mode of all replicas, as an operator ordered: 1 for the present mode, 0 for the others.",
        ("mode",),
        lambda now: [((mode,), mode is now.mode) for mode in Mode],
    ),
    (
        "gateway_event_loop_lag_seconds",
        "By how much the event loop was late in the last seconds, at worst.",
        (),
        lambda now: _known({(): now.loop_lag}),
    ),
    (
        "gateway_sweep_confirmed_seconds",
        "Age of the oldest confirmation among the entries under sweep.",
        (),
        lambda now: _known({(): now.sweep_confirmed}),
    ),
    (
        "gateway_clients_last_reload_successful",
        "Whether the last change of the clients file was accepted.",
        (),
        lambda now: _known({(): now.clients_reloaded}),
    ),
    (
        "gateway_tokens_last_reload_successful",
        "Whether the last change of the tokens file was accepted.",
        (),
        lambda now: _known({(): now.tokens_reloaded}),
    ),
)

# Gauges that are read from the counters.
OWN_GAUGES: tuple[tuple[str, str, Labels, Callable[[Counters], list[Row]]], ...] = (
    (
        "gateway_upstream_inflight",
        "Calls to the upstream under way.",
        (),
        lambda counters: [((), counters.calls_inflight)],
    ),
    (
        "gateway_upstream_last_success_timestamp_seconds",
        "Time of the last successful answer of the API; no series before the first one.",
        (),
        lambda counters: _known({(): counters.last_success}),
    ),
)


def _known(readings: Mapping[T, float | None]) -> list[Row]:
    return [(labels, value) for labels, value in readings.items() if value is not None]
