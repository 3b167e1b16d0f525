"""A thousand requests a second while replicas, masters and nodes come and go: nobody fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gateway.simulator import SimulatorClient
from tests.rounds.rolling_update import Fleet, look, previous_release
from tests.rounds.steady_traffic import Stream, steady
from tests.support.redis_cluster import cluster
from tests.support.redis_setups import watched
from tests.support.servers import wait_until
from tests.system.commands import Gateway, address, simulator
from tests.system.test_rolling_update import SETTINGS

RATE = 1_000
REPLICAS = 3
_logger = logging.getLogger(__name__)


class Stage:
    """A fleet in front of an upstream, and how to make another replica for it."""

    def __init__(self, folder: Path, upstream: str, redis: str, fleet: Fleet) -> None:
        self.fleet = fleet
        self._folder = folder
        self._upstream = upstream
        # As an operator has it; the tests of `make test` are more patient with busy machines.
        patience = {"GATEWAY_REDIS__TIMEOUT": "50ms"}
        self._settings = {**SETTINGS, **patience, "GATEWAY_REDIS__URL": redis}

    async def start(self, release: Mapping[str, str] | None = None) -> list[Gateway]:
        """As many as there usually are, of that release."""
        return [await self.add(release) for _ in range(REPLICAS)]

    async def add(self, release: Mapping[str, str] | None = None) -> Gateway:
        """One more, of that release, once it is sent requests."""
        settings = {**self._settings, **(release or {})}
        replica = Gateway(self._folder, self._upstream, **settings)
        await self.fleet.add(replica)
        return replica


@asynccontextmanager
async def stage(folder: Path, redis: str) -> AsyncIterator[tuple[Stage, SimulatorClient]]:
    """Nobody on it yet; all are gone at the end, however that came."""
    with simulator(folder, "--limit", "0") as process:
        upstream = address(process)
        async with Fleet() as fleet, SimulatorClient(upstream) as control:
            yield Stage(folder, upstream, redis, fleet), control


def judge(name: str, stream: Stream) -> None:
    """No request failed, none was answered with a version before one that its caller had."""
    _logger.info("%s: %s", name, stream)
    assert stream.faults == []
    assert stream.went_back == []
    assert stream.statuses.total() == stream.offered
    assert stream.rate > RATE * 0.99, "the load was not what is promised"
    assert stream.pace > RATE * 0.9, "the load was put off"


async def test_a_rolling_update_and_back(tmp_path: Path, redis_url: str) -> None:
    """From the release before to this one, replica by replica, and back again."""
    older, newer = previous_release(tmp_path), dict[str, str]()
    async with stage(tmp_path, redis_url) as (on, control):
        current = await on.start(older)
        async with steady(on.fleet, control, rate=RATE) as stream:
            for release in [newer] * REPLICAS + [older] * REPLICAS:
                current.append(await on.add(release))
                await on.fleet.retire(current.pop(0))
            await asyncio.sleep(2)

    judge("rolling update and back", stream)


async def test_a_replica_is_drained(tmp_path: Path, redis_url: str) -> None:
    """One of three leaves, and comes back; then the next."""
    async with stage(tmp_path, redis_url) as (on, control):
        replicas = await on.start()
        async with steady(on.fleet, control, rate=RATE) as stream:
            for replica in replicas:
                await asyncio.sleep(1)
                await on.fleet.retire(replica)
                await on.fleet.add(replica)

    judge("replicas drained", stream)


async def test_a_sentinel_failover(tmp_path: Path) -> None:
    """The master is killed; the gateways find the new one by themselves."""
    with watched(tmp_path) as group:
        async with stage(tmp_path, group.url) as (on, control):
            replicas = await on.start()
            async with steady(on.fleet, control, rate=RATE) as stream:
                await asyncio.sleep(3)
                group.master.kill()
                await asyncio.to_thread(wait_until, group.failed_over, 60, "the copy the master")
                await all_read(replicas, "gateway_bus_connected 1.0")
                await asyncio.sleep(3)

    judge("sentinel failover", stream)


@pytest.mark.parametrize("tag", ["{bus}", "{default}"], ids=["of the bus", "of the budget"])
async def test_a_node_of_a_cluster_dies(tmp_path: Path, tag: str) -> None:
    """Its copy takes over; later it returns, as a copy."""
    with cluster(tmp_path, copies=True) as servers:
        async with stage(tmp_path, servers.url) as (on, control):
            replicas = await on.start()
            node = servers.holder(tag)
            copy = servers.copies[servers.masters.index(node)]
            async with steady(on.fleet, control, rate=RATE) as stream:
                await asyncio.sleep(3)
                node.kill()
                is_over = lambda: servers.names(copy)  # noqa: E731
                await asyncio.to_thread(wait_until, is_over, 60, "the copy a master")
                await all_read(replicas, "gateway_redis_up 1.0")
                await all_read(replicas, "gateway_bus_connected 1.0")
                await asyncio.to_thread(node.start)
                await asyncio.sleep(3)

    judge(f"node {tag} of a cluster killed", stream)


async def test_a_node_without_a_copy_dies_and_returns(tmp_path: Path) -> None:
    """Until it returns, all trainings are answered as without Redis."""
    with cluster(tmp_path) as servers:
        async with stage(tmp_path, servers.url) as (on, control):
            replicas = await on.start()
            node = servers.masters[1]
            async with steady(on.fleet, control, rate=RATE) as stream:
                await asyncio.sleep(2)
                node.kill()
                await asyncio.sleep(4)
                await asyncio.to_thread(node.start)
                await all_read(replicas, "gateway_redis_up 1.0")
                await asyncio.sleep(2)

    judge("node without a copy killed", stream)


async def all_read(replicas: list[Gateway], line: str) -> None:
    """Return once the metrics of each have that line."""
    async with asyncio.timeout(60):
        while not all([await reads(each, line) for each in replicas]):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def reads(replica: Gateway, line: str) -> bool:
    """Whether its metrics have that line now."""
    with suppress(OSError, TimeoutError):
        return f"\n{line}\n".encode() in (await look(replica.admin, "/metrics")).body
    return False
