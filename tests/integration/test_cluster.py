"""Whole gateways on a Redis Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from redis.crc import key_slot

from gateway.app.run import check
from gateway.settings import Settings, load
from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, until
from tests.integration.replicas import number_of, replicas
from tests.support.redis_cluster import ClusterServers
from tests.support.servers import free_port, wait_until

IDS = [f"trn_{number:06}" for number in range(1, 31)]
FEW = IDS[:9]


def settings_on(url: str, upstream: RunningSimulator) -> Settings:
    """Of a gateway that is checked only."""
    return load(
        None,
        {
            "GATEWAY_UPSTREAM__BASE_URL": upstream.base_url,
            "GATEWAY_SERVER__PORT": str(free_port()),
            "GATEWAY_ADMIN__PORT": str(free_port()),
            "GATEWAY_REDIS__URL": url,
            "GATEWAY_REDIS__TIMEOUT": "5s",
        },
    )


async def ask_all(planes: Planes, ids: Sequence[str] = IDS) -> list[int]:
    """The version that each training is answered with, all asked at once."""
    answers = await asyncio.gather(*map(planes.get, ids))
    return [number_of(answer) for answer in answers]


async def test_replicas_share_bodies_orders_and_the_budget(
    upstream: RunningSimulator, control: SimulatorClient, cluster_url: str
) -> None:
    """One fetch for both; an edit and an order reach each node's trainings; so does a purge."""
    async with replicas(upstream.base_url, [cluster_url] * 2, l1__lifetime="60s") as (one, other):
        await ask_all(one)
        await ask_all(other)
        assert (await control.stats()).requests == len(IDS)

        for training_id in IDS:
            await control.edit(training_id, "7")
        told = (await one.admin.post("/invalidate", json={"ids": IDS})).json()
        assert told == {"replicas": {"known": 2, "confirmed": 2}}
        assert await ask_all(other) == [7] * len(IDS)
        assert await ask_all(one) == [7] * len(IDS)
        assert (await control.stats()).requests == 2 * len(IDS)

        told = (await other.admin.post("/purge", json={})).json()
        assert told == {"replicas": {"known": 2, "confirmed": 2}}
        await ask_all(one)
        assert (await control.stats()).requests == 3 * len(IDS)


async def test_a_node_dies_under_callers(
    upstream: RunningSimulator, control: SimulatorClient, own_cluster: ClusterServers
) -> None:
    """Even that of the bus and the budget: nobody fails and no version comes back, and when it
    returns all is as before. With a thousand requests a second: tests/drills."""
    own_cluster.flush()
    node = own_cluster.holder("{bus}")
    short = {"freshness__lifetime": "50ms", "redis__timeout": "1s", "l1__lifetime": "100ms"}
    async with replicas(upstream.base_url, [own_cluster.url] * 2, **short) as both:
        async with reading(both) as seen:
            node.kill()
            for number in range(1, 4):
                await asyncio.gather(*(control.edit(each, f"{number}") for each in FEW))
                await until(seen.more)
            await all_read(both, "gateway_redis_up", 0)
            node.start()
            await asyncio.to_thread(wait_until, own_cluster.is_settled, 30, "the cluster whole")
            await all_read(both, "gateway_redis_up", 1)
            await all_read(both, "gateway_bus_connected", 1)
        await until(lambda: all_confirm(both[0]))
        assert await ask_all(both[1], FEW) == [3] * len(FEW)


class Seen:
    """How often all were asked."""

    def __init__(self) -> None:
        self.rounds = 0
        self._before = 0

    async def more(self) -> bool:
        """Whether there were some rounds since this was true last."""
        if self.rounds < self._before + 4:
            return False
        self._before = self.rounds
        return True


@asynccontextmanager
async def reading(both: Sequence[Planes]) -> AsyncIterator[Seen]:
    """Ask each for all without a pause; every answer is a 200, no version below one before."""
    seen, stop = Seen(), asyncio.Event()

    async def read_on(planes: Planes) -> None:
        last = [0] * len(FEW)
        while not stop.is_set():
            answers = await ask_all(planes, FEW)
            assert all(map(int.__le__, last, answers)), (last, answers)
            last = answers
            seen.rounds += 1

    async with asyncio.TaskGroup() as group:
        for planes in both:
            group.create_task(read_on(planes))
        yield seen
        stop.set()


async def all_read(both: Sequence[Planes], metric: str, value: float) -> None:
    """Return once the metric of each has that value."""
    for planes in both:
        await until(partial(planes.reads, metric, value))


async def all_confirm(planes: Planes) -> bool:
    """Whether an order reaches both replicas."""
    answer = await planes.admin.post("/invalidate", json={"ids": FEW})
    return bool(answer.json()["replicas"] == {"known": 2, "confirmed": 2})


async def test_a_check_names_the_node(
    upstream: RunningSimulator, own_cluster: ClusterServers
) -> None:
    """That does not answer, and no other; one that is whole has no fault."""
    settings = settings_on(own_cluster.url, upstream)
    assert await check(settings) == ()
    gone = own_cluster.masters[2]
    gone.kill()

    (fault,) = await check(settings)

    assert fault.startswith("redis.url: ")
    assert f"ConnectionError: Error 111 connecting to {gone.place}. Connect" in fault
    assert own_cluster.masters[0].place not in fault
    gone.start()
    wait_until(own_cluster.is_settled, 30, "the cluster whole again")


def test_the_trainings_of_these_tests_spread() -> None:
    """Over all nodes."""
    assert len({key_slot(f"{{{each}}}".encode()) * 3 // 16384 for each in FEW}) == 3
