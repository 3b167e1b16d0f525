"""Malformed requests and crowds of bad callers against a real process; full counts are drills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rounds.bad_callers import (
    crowd,
    gateway_for_crowds,
    good_answers,
    memory_of,
    open_files,
    refusals,
)
from tests.system.commands import Gateway, address, simulator

MIB = 1024**2


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway in front of a simulator without a limit."""
    with simulator(tmp_path, "--limit", "0") as upstream:
        house = gateway_for_crowds(tmp_path, address(upstream))
        with house.process:
            yield house


async def test_malformed_requests_are_refused_and_leave_nothing(house: Gateway) -> None:
    """Both planes: each 4xx or closed, the next good request fine, memory flat."""
    assert await refusals(house.data, 500, seed=1) == []
    before = memory_of(house.process.pid)
    assert await refusals(house.data, 500, seed=2) == []
    assert await refusals(house.admin, 200, seed=3) == []

    assert memory_of(house.process.pid) - before < 8 * MIB
    assert "Traceback" not in house.process.output


async def test_a_crowd_does_not_keep_good_callers_from_answers(house: Gateway) -> None:
    """500 idle, 100 with slow heads, 100 who read nothing: everybody else is answered."""
    open_files(700)
    async with crowd(house.data, idle=500, slow_heads=100, slow_readers=100):
        assert await good_answers(house.data, 100) == 100
        assert await good_answers(house.data, 100) == 100
