"""A rolling update from the release before: both at work on one Redis, under callers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.simulator import SimulatorClient
from tests.rounds.rolling_update import Fleet, previous_release
from tests.rounds.steady_traffic import steady
from tests.support.redis_cluster import client_of
from tests.system.commands import Gateway, address, simulator

SETTINGS = {
    "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
    "GATEWAY_FRESHNESS__LIFETIME": "500ms",
    "GATEWAY_REDIS__TIMEOUT": "1s",
    "GATEWAY_SERVER__DRAIN_DELAY": "1s",
    "GATEWAY_LOG__LEVEL": "warning",
}


async def test_a_replica_is_replaced_and_back(tmp_path: Path, redis_url: str) -> None:
    """No request fails, and no replica's version goes back for a caller."""
    older, settings = previous_release(tmp_path), {**SETTINGS, "GATEWAY_REDIS__URL": redis_url}
    with simulator(tmp_path, "--limit", "0") as process:
        upstream = address(process)
        old = Gateway(tmp_path, upstream, **settings, **older)
        new = Gateway(tmp_path, upstream, **settings)
        async with Fleet() as fleet, SimulatorClient(upstream) as control:
            await fleet.add(old)
            async with steady(fleet, control, rate=200, callers=10) as stream:
                await fleet.add(new)
                await asyncio.sleep(1)
                await fleet.retire(old)
            await fleet.retire(new)

    with client_of(redis_url) as client:
        stored = [len(client.keys(f"gateway:g{each}:*:e:*")) for each in (1, 2)]
    assert min(stored) > 0, "both wrote their own"
    assert stream.faults == []
    assert stream.went_back == []
    assert stream.statuses[200] > 100
