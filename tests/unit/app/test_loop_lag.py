from __future__ import annotations

import asyncio

import pytest

from gateway.app.clock import LoopLag
from tests.unit.adapters.telemetry.stand_ins import ManualClock


async def _worst_after(*lates: float) -> float:
    """What is told after the loop was so late, one wake after the other."""
    clock = ManualClock()
    clock.lates = list(lates)
    lag = LoopLag(clock)
    with pytest.raises(asyncio.CancelledError):
        await lag.watch()
    return lag.worst


async def test_before_the_first_measurement_there_is_none() -> None:
    """A scrape right after the start finds 0."""
    assert await _worst_after() == 0.0


async def test_being_woken_late_is_lag() -> None:
    """The time beyond what was asked for is what the loop was late."""
    assert await _worst_after(0.4) == pytest.approx(0.4)


async def test_being_woken_early_is_no_lag() -> None:
    """A timer that fires a little early does not make the lag negative."""
    assert await _worst_after(-0.01) == 0.0


async def test_a_stall_is_still_told_by_the_next_scrape() -> None:
    """The worst of the last 15 s is what a scrape finds, not the last."""
    assert await _worst_after(2.0, *[0.0] * 59) == pytest.approx(2.0)


async def test_a_stall_is_forgotten_in_time() -> None:
    """What was worse longer ago is past."""
    assert await _worst_after(2.0, *[0.0] * 60) == pytest.approx(0.0)
