"""One fetch for a key across replicas, over real HTTP: what each replica's callers get."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import httpx
import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import TOKEN, Planes, gateway, has_in_flight, until
from tests.support.servers import RedisServer
from tests.unit.flow.house import training

ONE = "trn_000001"
WAITERS = "gateway_collapsed_waiters"
# What a stalled machine must not decide.
SLOW = {"upstream__timeout": "60s"}


@asynccontextmanager
async def neighbours(
    upstream: str, redis: str, count: int = 3, **settings: str
) -> AsyncIterator[list[Planes]]:
    """Gateways on one Redis, each of which hears the others."""
    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(gateway(upstream, redis, **SLOW, **settings))
            for _ in range(count)
        ]
        for planes in found:
            await until(partial(planes.reads, "gateway_bus_connected", 1.0))
        yield found


@pytest.fixture
async def replicas(upstream: RunningSimulator, redis_url: str) -> AsyncIterator[list[Planes]]:
    """Three gateways in front of the simulator."""
    async with neighbours(upstream.base_url, redis_url) as found:
        yield found


class Crowd:
    """Callers of all replicas for one training, none of them answered yet."""

    def __init__(self, replicas: list[Planes], training_id: str, each: int) -> None:
        self._replicas = replicas
        self._count = each * len(replicas)
        self._tasks = [
            asyncio.create_task(planes.get(training_id)) for planes in replicas for _ in range(each)
        ]

    async def gathered(self) -> None:
        """All of them wait for one: the first caller of the replica that leads."""
        await until(self._all_wait)

    async def _all_wait(self) -> bool:
        waiters = [await planes.metric(WAITERS) for planes in self._replicas]
        return sum(waiters) == self._count - 1

    async def answers(self) -> list[httpx.Response]:
        """What they get."""
        return await asyncio.gather(*self._tasks)


async def test_a_cold_id_costs_one_call(replicas: list[Planes], control: SimulatorClient) -> None:
    """300 callers of three replicas are answered with the same bytes."""
    await control.fault("held")
    crowd = Crowd(replicas, ONE, 100)
    await crowd.gathered()

    await control.clear_faults()
    answers = await crowd.answers()

    assert (await control.stats()).by_id[ONE] == 1
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    told = Counter(answer.headers["cache-status"].partition("; ttl=")[0] for answer in answers)
    assert told == {
        "gateway; fwd=uri-miss; fwd-status=200; stored": 1,
        "gateway; fwd=uri-miss; fwd-status=200; stored; collapsed": 99,
        "gateway; fwd=uri-miss; collapsed": 200,
    }
    assert [await planes.metric(WAITERS) for planes in replicas] == [0.0] * 3
    collapsed = 'gateway_requests_total{outcome="collapsed",status="2xx",tier="l2"}'
    assert sum([await planes.metric(collapsed) for planes in replicas]) == 200


async def test_a_stall_at_the_start_costs_a_cold_id_no_answer(
    replicas: list[Planes], control: SimulatorClient
) -> None:
    """What the budget keeps for replicas that were not heard for a moment is soon free again."""
    time.sleep(2.5)  # noqa: ASYNC251 - it is the loop that stands still

    answers = await asyncio.gather(*(planes.get(ONE) for planes in replicas))

    assert [answer.status_code for answer in answers] == [200] * 3
    assert (await control.stats()).by_id[ONE] == 1


async def test_a_403_is_asked_for_by_each_replica(
    replicas: list[Planes], control: SimulatorClient
) -> None:
    """It is for those callers alone who were told so by upstream itself."""
    await control.fault("held")
    crowd = Crowd(replicas, ONE, 5)
    await crowd.gathered()

    await control.add_key(TOKEN, scope="none")
    await control.clear_faults()
    answers = await crowd.answers()

    assert {answer.status_code for answer in answers} == {403}
    assert (await control.stats()).by_id[ONE] == 3


async def test_a_failing_upstream_is_asked_once(redis_url: str) -> None:
    """The failure is everybody's; the key is left alone in no replica, since nothing is held."""
    async with failing() as upstream, neighbours(upstream.url, redis_url) as replicas:
        crowd = Crowd(replicas, ONE, 5)
        await crowd.gathered()

        upstream.answering.set()
        answers = await crowd.answers()

    assert upstream.calls == 1
    assert {answer.status_code for answer in answers} == {502}
    assert len({(answer.json()["type"], answer.json()["detail"]) for answer in answers}) == 1
    assert {answer.headers["retry-after"] for answer in answers} == {"7"}


async def test_an_invalidation_passes_the_leader_over(
    replicas: list[Planes], control: SimulatorClient
) -> None:
    """Who asks after it waits for nobody who asked before, and gets the new version."""
    one, other, third = replicas
    await control.fault("held", count=1)
    early = [asyncio.create_task(planes.get(ONE)) for planes in (one, other)]
    await until(lambda: has_in_flight(control))
    edited = await control.edit(ONE, "new")
    order = {"ids": [ONE], "updated_at": edited["updated_at"]}
    assert (await one.admin.post("/invalidate", json=order)).status_code == 200

    late = [(await planes.get(ONE)).json()["content"] for planes in (third, other, one)]
    await control.clear_faults()
    answers = await asyncio.gather(*early)

    assert late == ["new"] * 3
    assert {answer.status_code for answer in answers} == {200}
    assert (await control.stats()).by_id[ONE] == 2


async def test_a_short_timeout_makes_a_short_lease(
    upstream: RunningSimulator, control: SimulatorClient, redis_server: RedisServer
) -> None:
    """Who vanishes leaves the others time for a call of their own."""
    redis_server.flush()
    await control.fault("held")
    settings = {"upstream__timeout": "6s"}
    async with gateway(upstream.base_url, redis_server.url, **settings) as planes:
        asking = asyncio.create_task(planes.get(ONE))
        await until(lambda: has_in_flight(control))
        with redis_server.client() as client:
            (lease,) = client.keys("*:l:*")
            assert 0 < client.pttl(lease) <= 2_000
        await control.clear_faults()
        assert (await asking).status_code == 200


async def test_a_failing_refresh_is_asked_for_once_by_each_replica(redis_url: str) -> None:
    """Every read finds the entry stale. The 503 asked for a minute, and each replica that got it
    keeps it. Replicas that refresh at the same time share a call."""
    stale = {
        "freshness__lifetime": "1ms",
        "freshness__stale_while_revalidate": "1h",
        "upstream__rate_limit": "unlimited",
    }
    async with failing() as upstream, neighbours(upstream.url, redis_url, 3, **stale) as replicas:
        upstream.answering.set()
        upstream.good = 1
        upstream.retry_after = 60
        assert (await replicas[0].get(ONE)).status_code == 200

        answers = [await planes.get(ONE) for _ in range(20) for planes in replicas]
        for planes in replicas:
            await until(partial(planes.reads, "gateway_upstream_inflight", 0.0))
            answers.append(await planes.get(ONE))
        explained = [(await planes.admin.get(f"/explain/{ONE}")).json() for planes in replicas]

    refreshes = upstream.calls - upstream.good
    assert 1 <= refreshes <= len(replicas)
    assert {answer.status_code for answer in answers} == {200}
    assert all("detail=stale-error" in each.headers["cache-status"] for each in answers[-3:])
    assert all("the last fetch failed" in each["next_refresh"] for each in explained)


class Failing:
    """An upstream that answers 503, once it is told to; its first `good` answers are trainings."""

    def __init__(self) -> None:
        self.answering = asyncio.Event()
        self.calls = 0
        self.good = 0
        self.retry_after = 7
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One call."""
        await reader.readuntil(b"\r\n\r\n")
        self.calls += 1
        await self.answering.wait()
        writer.write(self._good() if self.calls <= self.good else self._bad())
        await writer.drain()
        writer.close()

    def _good(self) -> bytes:
        body = training(1, ONE)
        fields = b"Content-Type: application/json\r\nConnection: close\r\n"
        return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body)

    def _bad(self) -> bytes:
        fields = b"Content-Length: 0\r\nConnection: close\r\n"
        asks = b"Retry-After: %d\r\n\r\n" % self.retry_after
        return b"HTTP/1.1 503 Service Unavailable\r\n" + fields + asks


@asynccontextmanager
async def failing() -> AsyncIterator[Failing]:
    """That upstream on a free port."""
    upstream = Failing()
    async with await asyncio.start_server(upstream.serve, "127.0.0.1", 0) as server:
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield upstream
