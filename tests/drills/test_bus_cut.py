"""Half a minute without the bus: how stale the answers get."""

from __future__ import annotations

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.staleness import L1_LIFETIME, SHORT_WINDOWS, bus_troubled, redis_cut

SECONDS = 30.0


@pytest.mark.parametrize("trouble", ["cut", "mute", "mangled"])
async def test_half_a_minute_without_the_bus(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str, trouble: str
) -> None:
    """The lifetime of L1 is the bound."""
    truth = await bus_troubled(upstream, control, redis_url, trouble, SECONDS)

    assert truth.staleness(truth.ruled_out) <= L1_LIFETIME


async def test_half_a_minute_without_redis(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """The windows of freshness are the bound."""
    truth = await redis_cut(upstream, control, redis_url, SECONDS)

    assert truth.staleness(truth.published) <= SHORT_WINDOWS
