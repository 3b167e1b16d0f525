"""Several gateways on one Redis, and callers who read of each without a pause."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import zip_longest

import httpx

from tests.integration.gateways import Planes, apart, gateway, until

UNLIMITED = {"upstream__rate_limit": "unlimited"}


@asynccontextmanager
async def replicas(
    upstream: str, redis_urls: Sequence[str], skews: Sequence[float] = (), /, **settings: str
) -> AsyncIterator[list[Planes]]:
    """One gateway for each address of the same Redis, once each hears the others.

    `skews`: by how many seconds the clocks of their machines are ahead, where that is the point.
    """
    async with AsyncExitStack() as stack:
        all_planes = []
        for url, skew in zip_longest(redis_urls, skews[: len(redis_urls)]):
            one = gateway(upstream, url, skew, **UNLIMITED | settings)
            all_planes.append(await stack.enter_async_context(one))
        for planes in all_planes:
            await until(lambda planes=planes: hears(planes))  # type: ignore[misc]
        yield all_planes


async def hears(planes: Planes) -> bool:
    """Whether notices of others arrive there."""
    return await planes.metric("gateway_bus_connected") == 1.0


def number_of(answer: httpx.Response) -> int:
    """Which version it brings, where editors write its number alone."""
    text = str(answer.json()["content"])
    return int(text) if text.isdecimal() else 0


class Watch:
    """Reads one training of each replica for as long as it is open.

    `floor` is the version below which no answer may be that was asked for from now on. Each
    caller keeps to one replica, and must never see a version go back.
    """

    def __init__(self, all_planes: Sequence[Planes], training_id: str, pause: float) -> None:
        self._all = all_planes
        self._id = training_id
        self._pause = pause
        self._random = random.Random(1)
        self.floor = 0
        self.answers = 0
        self.wrong: list[str] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Watch]:
        """Callers read inside; whatever was wrong is raised at the end."""
        callers = [
            asyncio.create_task(self._read(number))
            for number in range(len(self._all))
            for _ in "ab"
        ]
        try:
            yield self
        finally:
            for caller in callers:
                caller.cancel()
            ends = await asyncio.gather(*callers, return_exceptions=True)
        self.wrong += [repr(end) for end in ends if not isinstance(end, asyncio.CancelledError)]
        assert not self.wrong, "\n".join(self.wrong)

    async def _read(self, number: int) -> None:
        async with apart(self._all[number]) as own:
            await self._read_on(number, own)

    async def _read_on(self, number: int, planes: Planes) -> None:
        seen = 0
        while True:
            floor = self.floor
            answer = await planes.get(self._id)
            self.answers += 1
            if answer.status_code != 200:
                self.wrong.append(f"replica {number}: {answer.status_code} {answer.text}")
                continue
            version = number_of(answer)
            if version < max(floor, seen):
                why = f"replica {number}: {version} after {seen}, floor {floor}"
                self.wrong.append(f"{why}, {answer.headers['cache-status']}")
            seen = max(seen, version)
            await asyncio.sleep(self._pause * self._random.random())
