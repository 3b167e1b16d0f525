"""Redis killed, hung, restarted and flushed while callers read: nobody may notice."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, apart, gateway, until
from tests.support.servers import KNOWN, RedisServer

IDS = [f"trn_{number:06d}" for number in range(1, 21)]
SETTINGS = {
    "freshness__lifetime": "300ms",
    "l1__lifetime": "100ms",
    "upstream__rate_limit": "unlimited",
}


@dataclass(slots=True)
class Traffic:
    """What the callers got."""

    answers: int = 0
    failed: list[httpx.Response] = field(default_factory=list)

    async def read(self, planes: Planes) -> None:
        """Read one training after the other until cancelled."""
        async with apart(planes) as own:
            for training_id in itertools.cycle(IDS):
                answer = await own.get(training_id)
                self.answers += 1
                if answer.status_code != 200:
                    self.failed.append(answer)
                await asyncio.sleep(0.005)

    async def goes_on(self) -> None:
        """Return once another hundred answers have come."""
        enough = self.answers + 100
        async with asyncio.timeout(30):
            while self.answers < enough:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@asynccontextmanager
async def traffic(planes: Planes) -> AsyncIterator[Traffic]:
    """Eight callers reading; at the end none may have failed."""
    seen = Traffic()
    readers = [asyncio.create_task(seen.read(planes)) for _ in range(8)]
    try:
        await seen.goes_on()
        yield seen
        await seen.goes_on()
    finally:
        for reader in readers:
            reader.cancel()
        done = await asyncio.gather(*readers, return_exceptions=True)
    assert [error for error in done if not isinstance(error, asyncio.CancelledError)] == []
    assert [answer.text for answer in seen.failed] == []


async def test_redis_killed_and_restarted(
    upstream: RunningSimulator, own_redis: RedisServer
) -> None:
    """A Redis that dies shows in the metric, costs no answer, and is used again by itself."""
    async with (
        gateway(upstream.base_url, own_redis.url, **SETTINGS) as planes,
        traffic(planes) as seen,
    ):
        own_redis.kill()
        await until(lambda: _up(planes, 0.0))
        await seen.goes_on()
        own_redis.restart()
        await until(lambda: _up(planes, 1.0))
        await until(lambda: _holds_keys(own_redis))


async def test_redis_hung_and_resumed(upstream: RunningSimulator, own_redis: RedisServer) -> None:
    """A Redis that hangs holds callers up for its timeout at most, and comes back by itself."""
    async with (
        gateway(upstream.base_url, own_redis.url, redis__timeout="300ms", **SETTINGS) as planes,
        traffic(planes) as seen,
    ):
        own_redis.pause()
        try:
            await until(lambda: _up(planes, 0.0))
            await seen.goes_on()
        finally:
            own_redis.resume()
        await until(lambda: _up(planes, 1.0))


async def test_a_full_redis_costs_no_call_per_request(
    upstream: RunningSimulator, control: SimulatorClient, own_redis: RedisServer
) -> None:
    """With `noeviction` at its `maxmemory` it counts as away, and L1 keeps what was fetched."""
    patient = {
        "freshness__lifetime": "2s",
        "freshness__stale_while_revalidate": "0",
        # The replica may serve its entries without Redis for this time and a few seconds more.
        # Afterwards each request costs a call. A busy machine needs long for 200 requests.
        "l1__lifetime": "10m",
    }
    async with gateway(upstream.base_url, own_redis.url, **SETTINGS | patient) as planes:
        await asyncio.sleep(KNOWN)
        await planes.get(IDS[0])
        with own_redis.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
        await asyncio.sleep(2.1)  # it is stale
        before, started = (await control.stats()).requests, time.monotonic()

        answers = [await planes.get(IDS[0]) for _ in range(200)]
        lifetimes = (time.monotonic() - started) / 2.0

        assert {answer.status_code for answer in answers} == {200}
        # One call at the start and one each lifetime, however long the 200 requests took.
        assert (await control.stats()).requests - before <= 2 + lifetimes
        assert await _up(planes, 0.0)
        with own_redis.client() as client:
            client.config_set("maxmemory", 0)
        await until(lambda: _up(planes, 1.0))


async def test_redis_flushed(
    upstream: RunningSimulator, control: SimulatorClient, own_redis: RedisServer
) -> None:
    """A flush costs a few calls upstream, no answer, and no later version is forgotten."""
    async with gateway(upstream.base_url, own_redis.url, **SETTINGS) as planes, traffic(planes):
        edited = await control.edit(IDS[0], "the version after")
        await until(lambda: _serves(planes, "the version after"))
        own_redis.flush()
        for _ in range(50):
            answer = await planes.get(IDS[0])
            assert answer.headers["training-updated-at"] >= str(edited["updated_at"])
        await until(lambda: _holds_keys(own_redis))


async def test_a_gateway_starts_without_its_redis(
    upstream: RunningSimulator, own_redis: RedisServer
) -> None:
    """A Redis that is away at the start holds up nothing. No order knows of this replica, so that
    the API is asked each time; once Redis is there, what was fetched is a hit."""
    own_redis.kill()
    async with gateway(upstream.base_url, own_redis.url, **SETTINGS) as planes:
        assert (await planes.get(IDS[0])).status_code == 200
        assert "detail=unchanged" in (await planes.get(IDS[0])).headers["cache-status"]
        own_redis.restart()
        await until(lambda: _up(planes, 1.0))
        await until(lambda: _hits(planes))


async def _hits(planes: Planes) -> bool:
    return (await planes.get(IDS[0])).headers["cache-status"].startswith("gateway; hit")


async def _up(planes: Planes, value: float) -> bool:
    return await planes.metric("gateway_redis_up") == value


async def _holds_keys(server: RedisServer) -> bool:
    with server.client() as client:
        return any(b":e:" in key for key in client.keys("*"))


async def _serves(planes: Planes, content: str) -> bool:
    return bool((await planes.get(IDS[0])).json()["content"] == content)
