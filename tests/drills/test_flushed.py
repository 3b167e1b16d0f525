"""Redis flushed under the callers of three gateways, for minutes."""

from __future__ import annotations

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.flushing import flush_under_load
from tests.support.servers import RedisServer


async def test_hundreds_of_flushes_fail_nobody(
    upstream: RunningSimulator, control: SimulatorClient, own_redis: RedisServer
) -> None:
    """And no version comes back."""
    assert await flush_under_load(upstream, control, own_redis, flushes=600) > 600
