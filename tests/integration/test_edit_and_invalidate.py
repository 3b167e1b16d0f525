"""An edit and one order: the very next answer of every replica is the new version."""

from __future__ import annotations

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.rounds import edit_and_invalidate


@pytest.mark.parametrize("count", [2, 3])
async def test_no_answer_after_a_confirmed_order_is_an_old_one(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str, count: int
) -> None:
    """Whatever fetch of the old body is on its way at that moment."""
    await edit_and_invalidate(upstream, control, redis_url, count=count, rounds=20)
