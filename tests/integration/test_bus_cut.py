"""A replica that hears nothing, or nonsense, of the others: how stale its answers get."""

from __future__ import annotations

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.staleness import L1_LIFETIME, SHORT_WINDOWS, bus_troubled, redis_cut

SHORT, LONG = 3.0, 30.0


@pytest.mark.parametrize("trouble", ["cut", "mute", "mangled"])
async def test_without_its_bus_a_replica_is_bounded_by_the_lifetime_of_l1(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str, trouble: str, full: bool
) -> None:
    """Messages cut off, held back, dropped, repeated, out of order: it asks Redis in time."""
    truth = await bus_troubled(upstream, control, redis_url, trouble, LONG if full else SHORT)

    assert truth.staleness(truth.ruled_out) <= L1_LIFETIME


async def test_without_redis_a_replica_is_bounded_by_the_windows(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str, full: bool
) -> None:
    """Its own fetches are all that it knows."""
    truth = await redis_cut(upstream, control, redis_url, LONG if full else SHORT)

    assert 0.0 < truth.staleness(truth.published) <= SHORT_WINDOWS
