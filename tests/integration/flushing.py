"""Redis flushed again and again under the callers of three gateways, while a training is edited."""

from __future__ import annotations

import asyncio
import itertools
import random

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.doubles.proxy import LateAnswers
from tests.integration.replicas import Watch, replicas
from tests.support.servers import RedisServer

ONE = "trn_000001"
# Nearly every read finds its entry stale or unconfirmed, so that each flush meets fetches of every
# age, some of which bring the version before and some the one after.
SETTINGS = {"freshness__lifetime": "60ms", "l1__lifetime": "50ms"}


async def flush_under_load(
    upstream: RunningSimulator, control: SimulatorClient, server: RedisServer, flushes: int
) -> int:
    """No failed answer, and no caller of one replica sees a version go back; how many answers."""
    chance = random.Random(flushes)
    async with (
        LateAnswers(upstream.base_url, longest=0.25) as late,
        replicas(late.url, [server.url] * 3, **SETTINGS) as all_planes,
        Watch(all_planes, ONE, pause=0.02).open() as watch,
    ):
        # A busy machine reads slowly: on, until there are more answers than flushes were wanted.
        for number in itertools.count(1):
            await control.edit(ONE, f"{number}")
            await asyncio.sleep(0.13 * chance.random())
            server.flush()
            await asyncio.sleep(0.08 * chance.random())
            if number >= flushes and watch.answers > flushes:
                return watch.answers
    raise AssertionError("it counts without an end")
