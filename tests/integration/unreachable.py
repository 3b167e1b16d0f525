"""Two gateways, of which one cannot be asked for a while: orders go on through the other, and
callers of both are answered with nothing older than what was said of the orders."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from gateway.simulator import SimulatorClient
from tests.doubles.proxy import BusProxy, Link
from tests.integration.gateways import BEARER, Planes
from tests.integration.replicas import number_of, replicas

ONE = "trn_000001"
# Five heartbeats and the longest that an answer of theirs is given unasked, in seconds.
SPAN = 5.0 + 3.0
WINDOWS = {
    "freshness__lifetime": "2s",
    "freshness__stale_while_revalidate": "1s",
    "l1__lifetime": "3s",
    "upstream__rate_limit": "unlimited",
    "log__level": "error",
}
Set = Callable[[bool], Awaitable[None]]


class WayToRedis(BusProxy):
    """All of one gateway's connections: refused, or swallowed without a word."""

    def __init__(self, url: str) -> None:
        super().__init__(url, whole=True)
        self.swallows = False

    async def forward(self, link: Link, data: bytes) -> bytes:
        return b"" if self.swallows else await super().forward(link, data)

    async def refuse(self, yes: bool) -> None:
        """Cut them, and let none come about."""
        self.cut() if yes else self.mend()

    async def swallow(self, yes: bool) -> None:
        """Answer nothing, and end nothing; then end what was held up."""
        self.swallows = yes
        if not yes:
            for link in self.links:
                link.cut()


@dataclass
class Orders:
    """What was ordered, what was told of it, and what was answered after it: `old` may not be."""

    control: SimulatorClient
    statuses: Counter[int] = field(default_factory=Counter)
    answers: int = 0
    old: list[str] = field(default_factory=list)
    _promised: list[tuple[float, int]] = field(default_factory=list)
    _last: int = 0

    async def give(self, admin: httpx.AsyncClient) -> int:
        """Edit, and order: from when it is said to hold, nothing older may be answered."""
        self._last += 1
        await self.control.edit(ONE, f"{self._last}")
        answer = await admin.post("/invalidate", json={"ids": [ONE]})
        self.statuses[answer.status_code] += 1
        said = answer.json()
        if answer.status_code == 200:
            self._promised.append((time.time(), self._last))
        else:
            assert answer.status_code == 202, answer.text
            until = datetime.fromisoformat(said["until"]).timestamp()
            assert until <= time.time() + SPAN + 2.0
            self._promised.append((until, self._last))
        return answer.status_code

    async def ask(self, data: httpx.AsyncClient) -> None:
        """One question; its answer is held against what was promised before it was asked."""
        floor = max((number for at, number in self._promised if at <= time.time()), default=0)
        try:
            answer = await data.get(f"/training/{ONE}", headers=BEARER)
        except httpx.TransportError:
            return  # its process does not answer
        if answer.status_code == 200:
            self.answers += 1
            if number_of(answer) < floor:
                self.old.append(f"{number_of(answer)} < {floor}: {answer.headers['cache-status']}")

    @asynccontextmanager
    async def asked(self, *data: httpx.AsyncClient) -> AsyncIterator[None]:
        """Callers ask on and on inside, on connections that they keep."""

        async def ask_on(each: httpx.AsyncClient) -> None:
            while True:
                await self.ask(each)
                await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(ask_on(each)) for each in data for _ in "abc"]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            self.old += [repr(end) for end in ends if not isinstance(end, asyncio.CancelledError)]

    async def while_cut(self, admin: httpx.AsyncClient, set_cut: Set, seconds: float) -> None:
        """Give orders before, for so many seconds meanwhile, and after."""
        await self.give(admin)
        await set_cut(True)
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                await self.give(admin)
                await asyncio.sleep(0.05)
        finally:
            await set_cut(False)
        end = time.monotonic() + 3.0
        while time.monotonic() < end:
            await self.give(admin)
            await asyncio.sleep(0.05)


@asynccontextmanager
async def two_replicas(
    upstream: str, redis: str, how: str
) -> AsyncIterator[tuple[Planes, Planes, Set]]:
    """Two replicas, and what cuts the other one off from Redis: `how` is refuse or swallow."""
    async with (
        WayToRedis(redis) as way,
        replicas(upstream, [redis, way.url], redis__timeout="200ms", **WINDOWS) as (one, other),
    ):
        yield one, other, way.refuse if how == "refuse" else way.swallow
