"""Redis flushed again and again under the callers of three gateways, while a training is edited."""

from __future__ import annotations

import asyncio

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.replicas import Watch, replicas
from tests.servers import RedisServer

ONE = "trn_000001"
SETTINGS = {"freshness__lifetime": "300ms", "l1__lifetime": "100ms"}


async def flush_under_load(
    upstream: RunningSimulator, control: SimulatorClient, server: RedisServer, flushes: int
) -> int:
    """No failed answer, and no caller of one replica sees a version go back; how many answers."""
    async with (
        replicas(upstream.base_url, [server.url] * 3, **SETTINGS) as all_planes,
        Watch(all_planes, ONE, pause=0.02).open() as watch,
    ):
        for number in range(1, flushes + 1):
            await control.edit(ONE, f"{number}")
            await asyncio.sleep(0.13 + 0.07 * (number % 4))
            server.flush()
            await asyncio.sleep(0.05 * (number % 3))
        return watch.answers
