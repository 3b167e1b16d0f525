"""Sentinel on real processes: the master dies under load, and nobody may notice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, apart, gateway, until
from tests.support.redis_setups import Watched, watched

IDS = [f"trn_{number:06d}" for number in range(1, 11)]
# Fresh for long, and confirmed with Redis all the time: a Redis that forgot a version is believed
# in nothing that would bring the one before it back.
SETTINGS = {
    "freshness__lifetime": "60s",
    "l1__lifetime": "100ms",
    "upstream__rate_limit": "unlimited",
}


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Watched]:
    """A master, its copy, and three sentinels."""
    with watched(tmp_path) as group:
        yield group


@dataclass(slots=True)
class Seen:
    """What all readers got: failures, and versions that went back."""

    answers: int = 0
    edits: int = 0
    failed: list[httpx.Response] = field(default_factory=list)
    went_back: list[tuple[str, str, str]] = field(default_factory=list)

    async def read(self, planes: Planes) -> None:
        """Read one training after the other until cancelled."""
        async with apart(planes) as own:
            await self._read_on(own)

    async def _read_on(self, planes: Planes) -> None:
        versions: dict[str, str] = {}
        for training_id in itertools.cycle(IDS):
            answer = await planes.get(training_id)
            self.answers += 1
            if answer.status_code != 200:
                self.failed.append(answer)
            else:
                version = answer.headers["training-updated-at"]
                before = versions.setdefault(training_id, version)
                if version < before:
                    self.went_back.append((training_id, before, version))
                versions[training_id] = version
            await asyncio.sleep(0.01)

    async def edit(self, replicas: list[Planes], control: SimulatorClient) -> None:
        """New versions all the time, each told to one of the replicas, which may be in vain."""
        turns = zip(itertools.cycle(IDS), itertools.cycle(replicas), strict=False)
        for training_id, planes in turns:
            edited = await control.edit(training_id, f"edit {self.edits}")
            order = {"ids": [training_id], "updated_at": edited["updated_at"]}
            answer = await planes.admin.post("/invalidate", json=order)
            assert answer.status_code in (200, 202, 503)
            self.edits += 1
            await asyncio.sleep(0.01)

    async def two_rounds(self) -> None:
        """Return once each training has had two more versions."""
        wanted = self.edits + 2 * len(IDS)
        async with asyncio.timeout(60.0):
            while self.edits < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@asynccontextmanager
async def traffic(replicas: list[Planes], control: SimulatorClient) -> AsyncIterator[Seen]:
    """Two readers of each replica, and an editor; at the end nothing may have gone wrong."""
    seen = Seen()
    tasks = [asyncio.create_task(seen.read(planes)) for planes in [*replicas, *replicas]]
    tasks.append(asyncio.create_task(seen.edit(replicas, control)))
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result for result in done if not isinstance(result, asyncio.CancelledError)] == []
    assert seen.failed == []
    assert seen.went_back == []


async def all_are(replicas: list[Planes], sample: str, value: float) -> None:
    """Return once every replica's metric has that value."""

    async def are() -> bool:
        return {await planes.metric(sample) for planes in replicas} == {value}

    await until(are, 30.0)


async def invalidate(planes: Planes) -> dict[str, object]:
    """What is answered to the order, whatever the status."""
    answer = await planes.admin.post("/invalidate", json={"ids": [IDS[0]]})
    words: dict[str, object] = answer.json()
    return {"status": answer.status_code, **words}


async def test_the_master_dies_under_load(
    group: Watched, upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """No request fails, no version goes back, and orders are confirmed by all once more. That Redis
    counts as away meanwhile is not waited for: it lasts for as long as the sentinels need."""

    async def has_failed_over() -> bool:
        return await asyncio.to_thread(group.failed_over)

    async def is_confirmed_by_all() -> bool:
        """Whether each replica confirms an order, the first one's."""
        complete = {"status": 200, "replicas": {"known": 3, "confirmed": 3}}
        return await invalidate(replicas[0]) == complete

    async with AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(gateway(upstream.base_url, group.url, **SETTINGS))
            for _ in range(3)
        ]
        await all_are(replicas, "gateway_bus_connected", 1.0)
        async with traffic(replicas, control) as seen:
            assert await is_confirmed_by_all()

            await seen.two_rounds()  # the copy has versions
            group.cut_copy_off()
            await seen.two_rounds()  # and not the latest
            group.master.kill()
            group.copy.resume()
            before = seen.answers
            await until(has_failed_over, 60.0)
            await until(is_confirmed_by_all, 60.0)

            assert seen.answers > before
        edited = await control.edit(IDS[0], "after the failover")
        await until(is_confirmed_by_all, 60.0)
        for planes in replicas:
            answer = (await planes.get(IDS[0])).json()
            assert answer["updated_at"] == edited["updated_at"]
