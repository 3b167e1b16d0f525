"""Steady traffic on two replicas, and what it costs Redis: a property of the test's report."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from gateway.simulator import RunningSimulator
from tests.integration.gateways import Planes, apart, gateway, until
from tests.support.servers import RedisServer

IDS = [f"trn_{number:06d}" for number in range(1, 51)]
LOOKUPS = 'gateway_redis_request_duration_seconds_count{operation="lookup"}'
CONFIRMS = 'gateway_redis_request_duration_seconds_count{operation="confirm"}'
L1_LIFETIME = 2.0
SETTINGS = {
    "l1__lifetime": f"{L1_LIFETIME}s",
    "redis__timeout": "2s",
    "upstream__rate_limit": "unlimited",
}


@asynccontextmanager
async def pair(upstream: str, redis: str, **settings: str) -> AsyncIterator[list[Planes]]:
    """Two replicas that hear each other and hold every training."""
    async with (
        gateway(upstream, redis, **{**SETTINGS, **settings}) as one,
        gateway(upstream, redis, **{**SETTINGS, **settings}) as other,
    ):
        for planes in (one, other):
            await until(partial(_hears, planes))
            await asyncio.gather(*map(planes.get, IDS))
        yield [one, other]


async def _hears(planes: Planes) -> bool:
    return await planes.metric("gateway_bus_connected") == 1.0


async def read_for(seconds: float, planes: Planes) -> int:
    """Four callers read one training after the other; how many answers there were."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    answers = 0

    async def read(ids: list[str]) -> None:
        nonlocal answers
        async with apart(planes) as own:
            for training_id in itertools.cycle(ids):
                answer = await own.get(training_id)
                assert answer.status_code == 200
                answers += 1
                if loop.time() > end:
                    return

    await asyncio.gather(*(read(IDS[start:] + IDS[:start]) for start in (0, 12, 25, 37)))
    return answers


def commands(server: RedisServer) -> dict[str, int]:
    """How often Redis ran each command since the last reset, those of scripts included."""
    with server.client() as client:
        told = client.info("commandstats")
    counts = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in told.items()}
    return {name: count for name, count in counts.items() if not name.startswith(("info", "conf"))}


async def test_steady_traffic_costs_redis_little(
    upstream: RunningSimulator,
    own_redis: RedisServer,
    record_property: Callable[[str, object], None],
) -> None:
    """Fifty unchanged trainings read over three l1.lifetimes: no announcement, no body, and
    questions that grow with time and not with traffic."""
    async with pair(upstream.base_url, own_redis.url) as replicas:
        lookups_before = [await planes.metric(LOOKUPS) for planes in replicas]
        confirms_before = [await planes.metric(CONFIRMS) for planes in replicas]
        with own_redis.client() as client:
            client.config_resetstat()
        seconds = 3 * L1_LIFETIME
        loop = asyncio.get_running_loop()
        began = loop.time()
        answers = sum(await asyncio.gather(*(read_for(seconds, each) for each in replicas)))
        lifetimes = (loop.time() - began) / L1_LIFETIME
        counts = commands(own_redis)
        lookups = [await planes.metric(LOOKUPS) for planes in replicas]
        confirms = [await planes.metric(CONFIRMS) for planes in replicas]

    record_property("MGET per 1,000 answers", 1_000 * counts["mget"] / answers)
    assert "publish" not in counts
    assert lookups == lookups_before
    assert counts["mget"] <= sum(confirms) - sum(confirms_before) + len(replicas)
    # A question each 0.4 lifetimes, one that was under way, and what two stalls of this machine
    # let go past their time, at most one each; without the task it would be one a training and
    # lifetime.
    expected, stalls = 2.5 * lifetimes + 10, 2 * len(IDS)
    assert expected + stalls < 3 * len(IDS)
    for now, then in zip(confirms, confirms_before, strict=True):
        assert 0 < now - then <= expected + stalls


async def test_what_one_replica_fetched_again_the_other_reads_once(
    upstream: RunningSimulator, own_redis: RedisServer
) -> None:
    """It is fresh there with the Date and Age of the later answer, and from L1 after that."""
    settings = {"freshness__lifetime": "2s", "l1__lifetime": "200ms"}
    async with pair(upstream.base_url, own_redis.url, **settings) as (one, other):
        first = await other.get(IDS[0])
        lookups = await other.metric(LOOKUPS)

        async def is_refreshing() -> bool:  # after one that a slow start had begun, perhaps
            return "stale-refreshing" in (await one.get(IDS[0])).headers["cache-status"]

        async def is_renewed() -> bool:
            return "detail=l1" in (await one.get(IDS[0])).headers["cache-status"]

        await asyncio.sleep(2.1)
        await until(is_refreshing)
        await until(is_renewed)
        here, there = await asyncio.gather(one.get(IDS[0]), other.get(IDS[0]))
        again = await other.get(IDS[0])
        assert await other.metric(LOOKUPS) == lookups + 1

    assert there.headers["cache-status"].startswith("gateway; hit; ttl=")
    assert there.headers["cache-status"].endswith("detail=l2")
    assert again.headers["cache-status"].endswith("detail=l1")
    assert there.headers["date"] == here.headers["date"] != first.headers["date"]
    assert int(there.headers["age"]) <= 1
    assert there.headers["cache-control"] == here.headers["cache-control"]
    assert there.content == here.content == first.content
