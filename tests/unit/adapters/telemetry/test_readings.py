from __future__ import annotations

from gateway.adapters.telemetry.metrics import GaugeReadings
from gateway.adapters.telemetry.observer import Telemetry
from gateway.core.sweep.progress import SweepState
from gateway.core.vocabulary import Circuit
from gateway.ports import BudgetView
from tests.unit.adapters.telemetry.stand_ins import ListLog, ManualClock, samples


def _scrape(readings: GaugeReadings) -> dict[str, float]:
    return samples(Telemetry(ManualClock(), ListLog()), lambda: readings)


def test_what_is_not_there_has_no_series() -> None:
    """Without Redis, bus, sweep and clients file nothing is claimed of them."""
    found = _scrape(GaugeReadings(ready=True, draining=False, l1_entries=0, l1_bytes=0))

    absent = ("redis_up", "bus_connected", "sweep_confirmed_seconds", "clients_last_reload")
    assert [name for name in found if name.startswith(tuple(f"gateway_{a}" for a in absent))] == []
    assert 'gateway_cache_entries{tier="l2"}' not in found


def test_what_is_there_is_told() -> None:
    """Each reading becomes the gauge of its name."""
    found = _scrape(
        GaugeReadings(
            ready=True,
            draining=False,
            is_warming=True,
            l1_entries=3,
            l1_bytes=4_096,
            collapsed_waiters=2,
            redis_up=False,
            bus_connected=True,
            loop_lag=0.25,
            sweep_confirmed=17.0,
        )
    )

    assert found["gateway_ready"] == 1
    assert found["gateway_draining"] == 0
    assert found["gateway_warming"] == 1
    assert found['gateway_cache_entries{tier="l1"}'] == 3
    assert found['gateway_cache_bytes{tier="l1"}'] == 4_096
    assert found["gateway_collapsed_waiters"] == 2
    assert found["gateway_redis_up"] == 0
    assert found["gateway_bus_connected"] == 1
    assert found["gateway_event_loop_lag_seconds"] == 0.25
    assert found["gateway_sweep_confirmed_seconds"] == 17.0


def test_the_circuit_is_in_one_state() -> None:
    """All states have a series, and only the present one is 1."""
    found = _scrape(
        GaugeReadings(ready=True, draining=False, l1_entries=0, l1_bytes=0, circuit=Circuit.OPEN)
    )

    assert found['gateway_upstream_circuit_state{state="open"}'] == 1
    assert found['gateway_upstream_circuit_state{state="closed"}'] == 0
    assert found['gateway_upstream_circuit_state{state="half-open"}'] == 0


def test_a_budget_is_told_by_tenant() -> None:
    """A limited tenant has three series, an unlimited one only its gate."""
    budgets = {
        "shop": BudgetView(limit=100, window=60.0, available=40, gate_closed_for=0.0),
        "free": BudgetView(limit=None, window=60.0, available=None, gate_closed_for=3.5),
    }

    found = _scrape(
        GaugeReadings(ready=True, draining=False, l1_entries=0, l1_bytes=0, budgets=budgets)
    )

    assert {name: value for name, value in found.items() if "tenant=" in name} == {
        'gateway_budget_limit{tenant="shop"}': 100,
        'gateway_budget_available{tenant="shop"}': 40,
        'gateway_gate_closed{tenant="shop"}': 0,
        'gateway_gate_closed{tenant="free"}': 1,
    }


def test_sweeps_are_counted_by_their_state() -> None:
    """Two tenants may be refused the list, while a third is swept."""
    states = (SweepState.OFF, SweepState.ON, SweepState.OFF)
    found = _scrape(
        GaugeReadings(ready=True, draining=False, l1_entries=0, l1_bytes=0, sweep_states=states)
    )

    assert found['gateway_sweep_state{state="off"}'] == 2
    assert found['gateway_sweep_state{state="on"}'] == 1
    assert found['gateway_sweep_state{state="behind"}'] == 0
