"""Redis flushed under the callers of three gateways."""

from __future__ import annotations

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.flushing import flush_under_load
from tests.support.servers import RedisServer


async def test_a_flush_fails_nobody_and_brings_back_no_version(
    upstream: RunningSimulator, control: SimulatorClient, own_redis: RedisServer
) -> None:
    """Whatever was on its way when everything that Redis knew went."""
    assert await flush_under_load(upstream, control, own_redis, flushes=30) > 30
