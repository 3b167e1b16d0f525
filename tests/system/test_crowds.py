"""Malformed requests and crowds of bad callers against a real process; full counts are drills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rounds.bad_callers import (
    crowd,
    gateway_for_crowds,
    good_answers,
    open_files,
    refused_by_both_planes,
)
from tests.system.commands import Gateway


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway in front of a simulator without a limit."""
    with gateway_for_crowds(tmp_path) as house:
        yield house


async def test_malformed_requests_are_refused_and_leave_nothing(house: Gateway) -> None:
    """Both planes: each 4xx or closed, the next good request fine, memory flat."""
    assert await refused_by_both_planes(house, (500, 500, 200), seed=1) < 8.0


async def test_a_crowd_does_not_keep_good_callers_from_answers(house: Gateway) -> None:
    """500 idle, 100 with slow heads, 100 who read nothing: everybody else is answered."""
    open_files(700)
    async with crowd(house.data, idle=500, slow_heads=100, slow_readers=100):
        assert await good_answers(house.data, 100) == 100
        assert await good_answers(house.data, 100) == 100
