"""An edit and one order, a thousand times in a row."""

from __future__ import annotations

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.rounds import edit_and_invalidate


@pytest.mark.parametrize("count", [2, 3])
async def test_a_thousand_orders_and_no_old_answer(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str, count: int
) -> None:
    """The very next answer of every replica is the new version."""
    await edit_and_invalidate(upstream, control, redis_url, count=count, rounds=1_000)
