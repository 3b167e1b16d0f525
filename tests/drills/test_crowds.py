"""The same as in tests/system/test_crowds.py and test_openapi.py, with full counts."""

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
from tests.rounds.described_requests import findings
from tests.system.commands import TOKEN, Gateway


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway in front of a simulator without a limit."""
    with gateway_for_crowds(tmp_path) as house:
        yield house


async def test_ten_thousand_malformed_requests(house: Gateway) -> None:
    """Each 4xx or closed, the next good request fine, memory flat."""
    assert await refused_by_both_planes(house, (2_000, 10_000, 2_000), seed=4) < 8.0


async def test_a_crowd_of_seven_thousand(house: Gateway) -> None:
    """5,000 idle, 1,000 with slow heads, 1,000 who read nothing: everybody else is answered."""
    open_files(7_000)
    async with crowd(house.data, idle=5_000, slow_heads=1_000, slow_readers=1_000):
        for _ in range(5):
            assert await good_answers(house.data, 200) == 200


@pytest.mark.parametrize("plane", ["data", "admin"])
def test_a_plane_does_as_its_description_says(house: Gateway, plane: str, tmp_path: Path) -> None:
    """A thousand examples an operation."""
    url = house.data if plane == "data" else house.admin

    assert findings(url, TOKEN, tmp_path, examples=1_000, seconds=850) == ""
