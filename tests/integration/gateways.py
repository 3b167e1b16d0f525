"""A whole gateway in this process's event loop, over real HTTP, in front of a simulator."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx
import pytest

from gateway.adapters.telemetry.log_lines import standard_output
from gateway.app import Addresses, serve
from gateway.app import compose as gateway_app
from gateway.app.clock import SystemClock
from gateway.settings import load
from gateway.simulator import SimulatorClient
from tests.support import bad_day

TOKEN = "demo-token"
# Nothing here takes so long, unless the machine has other things to do.
PATIENCE = 90.0
BEARER = {"Authorization": f"Bearer {TOKEN}"}
# With --clocks-apart, by how many seconds the clock of one gateway after the other is ahead.
clocks: Iterator[float] = itertools.repeat(0.0)


@dataclass(frozen=True, slots=True)
class Planes:
    """Clients of both planes; the data plane's presents the simulator's key."""

    data: httpx.AsyncClient
    admin: httpx.AsyncClient
    stop: asyncio.Event

    async def get(self, training_id: str, **headers: str) -> httpx.Response:
        """Read a training; underscores in names stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.data.get(f"/training/{training_id}", headers=named)

    async def metric(self, sample: str) -> float:
        """The value of a sample line of /metrics, 0.0 where there is none."""
        text = (await self.admin.get("/metrics")).text
        values = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(sample)]
        return sum(map(float, values))

    async def reads(self, metric: str, value: float) -> bool:
        """Whether the sample has that value now; to be waited for."""
        return await self.metric(metric) == value

    async def hears_others(self) -> bool:
        """Whether the bus is connected, or Redis is away."""
        return await self.reads("gateway_redis_up", 0) or await self.reads(
            "gateway_bus_connected", 1
        )

    async def holds(self, entries: int) -> bool:
        """Whether L1 holds so many entries now; to be waited for."""
        status = (await self.admin.get("/status")).json()
        return bool(status["l1"]["entries"] == entries)


@asynccontextmanager
async def apart(planes: Planes) -> AsyncIterator[Planes]:
    """The same gateway over connections of one's own, for who reads on and on: httpx hands a
    connection that falls idle to two who wait for one, and who is slower waits again, perhaps
    for as long as the other goes on."""
    data = planes.data
    async with httpx.AsyncClient(
        base_url=data.base_url,
        headers=data.headers,
        trust_env=False,
        timeout=PATIENCE,
        verify=False,
    ) as own:
        yield replace(planes, data=own)


def soon_stale(lifetime: str) -> dict[str, str]:
    """Settings with which a response is stale after `lifetime`, and the next request fetches it."""
    return {
        "freshness__lifetime": lifetime,
        "freshness__stale_while_revalidate": "0",
        "freshness__soft_wait": "60s",
    }


@asynccontextmanager
async def gateway(
    upstream: str, redis: str | None = None, skew: float | None = None, /, **settings: str
) -> AsyncIterator[Planes]:
    """A gateway, drained at the end; settings as `section__name`.

    `skew`: by how many seconds its machine's clock is ahead, where it does not go by Redis' alone.
    """
    environment = {
        "GATEWAY_UPSTREAM__BASE_URL": upstream,
        "GATEWAY_UPSTREAM__RATE_LIMIT": "1000/minute",
        "GATEWAY_SERVER__PORT": "0",
        "GATEWAY_ADMIN__PORT": "0",
        # It makes calls of its own, and most tests count theirs.
        "GATEWAY_SWEEP__ENABLED": "false",
        **{f"GATEWAY_{name.upper()}": value for name, value in settings.items()},
    }
    if redis is not None:
        environment["GATEWAY_REDIS__URL"] = redis
        # A busy machine that stalls is not what these tests are about.
        environment.setdefault("GATEWAY_REDIS__TIMEOUT", "10s")
    bad_day.expose(os.getpid())
    stop = asyncio.Event()
    addresses: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    with _machine_ahead(_skew(redis) if skew is None else skew):
        served = asyncio.create_task(
            serve(load(None, environment), started=addresses.set_result, stop=stop)
        )
        first: list[asyncio.Future[Any]] = [served, addresses]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    if served.done():
        served.result()
    where = await addresses
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(
            base_url=where.data, headers=BEARER, trust_env=False, timeout=PATIENCE, limits=limits
        ) as data,
        httpx.AsyncClient(base_url=where.admin, trust_env=False, timeout=PATIENCE) as admin,
    ):
        planes = Planes(data, admin, stop)
        try:
            if redis is not None:
                # The first connect of the bus is a gap, after which nobody joins what is under
                # way and L1 is suspected: it must not come between two lines of a test.
                await until(planes.hears_others)
            yield planes
        finally:
            await _end(planes, served)
            standard_output().flush(PATIENCE)


async def _end(planes: Planes, served: asyncio.Task[None]) -> None:
    """Drain it without connections that may be asked: it waits a moment for those."""
    planes.stop.set()
    await asyncio.gather(planes.data.aclose(), planes.admin.aclose())
    await served
    # A gateway freezes all objects of its process, also those that earlier tests left behind.
    gc.unfreeze()


def _skew(redis: str | None) -> float:
    """A gateway alone has no other clock than its machine's, so that one has to be right."""
    return 0.0 if redis is None else next(clocks)


@contextmanager
def _machine_ahead(seconds: float) -> Iterator[None]:
    """Gateways that start meanwhile read such a clock."""
    with pytest.MonkeyPatch.context() as patch:
        wrong = partial(SystemClock, lambda: time.time() + seconds)
        patch.setattr(gateway_app, "SystemClock", wrong)
        yield


async def until(answers: Callable[[], Awaitable[bool]], patience: float = PATIENCE) -> None:
    """Wait until the (awaitable) question `answers()` is true; AssertionError after `patience`."""

    async with asyncio.timeout(patience):
        while not await answers():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def has_in_flight(control: SimulatorClient, calls: int = 1) -> bool:
    """Whether so many calls are with the upstream now; to be waited for."""
    return (await control.stats()).in_flight == calls
