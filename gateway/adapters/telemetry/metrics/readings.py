"""What is not counted but read at the moment of a scrape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.vocabulary import Circuit, Mode
from gateway.ports import BudgetView


@dataclass(frozen=True, slots=True)
class GaugeReadings:
    """The state of this replica now. None: there is no such thing here, so no series.

    budgets   by tenant's name; never by partition, which would be one a credential
    loop_lag  seconds, see `loop_lag`
    sweep_confirmed  seconds since the oldest confirmation among the entries under sweep
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
