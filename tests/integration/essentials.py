"""What a gateway does with Redis, all of it once: the least that any Redis has to allow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.keys import AccountNames
from gateway.core.budget.window_log import Start
from gateway.core.errors import BudgetExhausted
from gateway.core.vocabulary import Purpose, RedisOperation
from gateway.simulator import SimulatorClient
from gateway.simulator.faults import FaultMode
from tests.doubles.budgets import NO_RESERVES, redis_budget_on, rules_of
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.integration.gateways import Planes, until
from tests.integration.replicas import number_of, replicas
from tests.integration.sweeping import sweepers, sweeps_ended

IDS = [f"trn_{number:06}" for number in range(1, 13)]
SETTINGS = {
    "freshness__lifetime": "100ms",
    "l1__lifetime": "200ms",
    # A third of it is the lease's lifetime, which is to be renewed.
    "upstream__timeout": "6s",
    # In short windows: a 429 lowers it to what was spent in one, and all wait for the next.
    "upstream__rate_limit": "5000/second",
    # Whoever is stalled is not what this is about.
    "redis__timeout": "30s",
}


async def ask_all(planes: Planes) -> set[int]:
    """The versions that the trainings are answered with."""
    answers = await asyncio.gather(*map(planes.get, IDS))
    assert {answer.status_code for answer in answers} == {200}
    return {number_of(answer) for answer in answers}


async def exercise(upstream: str, control: SimulatorClient, url: str) -> None:
    """Two replicas fetch, share, confirm, follow, wait for their turn, change their mode, close,
    reopen, refuse, invalidate and purge, a third one sweeps; every caller is answered."""
    async with replicas(upstream, [url] * 2, **SETTINGS) as (one, other):
        await ask_all(one)
        await ask_all(other)
        await edited(control, one, other)
        await followed(control, one, other)
        await spent(url)
        await ordered(one, other)
        await closed(control, one)
        await refused(control, one)
        async with unasked(control):
            told = (await one.admin.post("/purge", json={"soft": True})).json()
            assert told["replicas"] == {"known": 2, "confirmed": 2}
    async with sweepers(upstream, url, 1, sweep__interval="1s") as (one,):
        await until(lambda: has_swept(one))


async def has_swept(planes: Planes) -> bool:
    """Whether all was filled and compared: it takes a sweep each."""
    await planes.get(IDS[0])
    return await sweeps_ended(planes) >= 2


async def ordered(one: Planes, other: Planes) -> None:
    """A mode that both read, and the usual one again."""
    for mode in ("frozen", "normal"):
        assert (await one.admin.post("/mode", json={"mode": mode})).status_code == 200
        await until(lambda mode=mode: other.reads(f'gateway_mode{{mode="{mode}"}}', 1))  # type: ignore[misc]


async def edited(control: SimulatorClient, one: Planes, other: Planes) -> None:
    """A change and the order that tells of it."""
    for training_id in IDS:
        await control.edit(training_id, "7")
    told = (await one.admin.post("/invalidate", json={"ids": IDS})).json()
    assert told["replicas"] == {"known": 2, "confirmed": 2}
    assert await ask_all(other) == {7}
    assert await ask_all(one) == {7}
    await until(lambda: is_confirmed(one))


async def is_confirmed(planes: Planes) -> bool:
    """Whether what L1 holds was confirmed in the background, while it is read."""
    await ask_all(planes)
    name = "gateway_redis_request_duration_seconds_count"
    return await planes.metric(f'{name}{{operation="confirm"}}') > 0


async def followed(control: SimulatorClient, one: Planes, other: Planes) -> None:
    """A fetch for two replicas, that lasts until its lease had to be renewed."""
    await control.fault(FaultMode.HELD)
    asked = [asyncio.create_task(planes.get("trn_000040")) for planes in (one, other)]

    async def is_asked() -> bool:
        return "trn_000040" in (await control.stats()).by_id

    await until(is_asked)
    await asyncio.sleep(0.8)
    await control.clear_faults()
    answers = [await each for each in asked]
    assert [answer.status_code for answer in answers] == [200] * 2


async def refused(control: SimulatorClient, one: Planes) -> None:
    """A token that is revoked: all that it stored is struck."""
    await control.fault(FaultMode.UNAUTHORIZED)

    async def is_refused() -> bool:
        return {(await one.get(each)).status_code for each in IDS} == {401}

    await until(is_refused)
    await control.clear_faults()


async def spent(url: str) -> None:
    """A budget of one call, asked for two, whose log is then lost; by itself, since spending a
    gateway's takes long."""
    clock = RealClock()
    connection = Connection(url, clock, RecordingObserver(), timeout=30.0)
    assert await connection.check()
    budget = redis_budget_on(connection, clock, rules_of(1, start=Start.FULL, replicas=NO_RESERVES))
    with pytest.raises(BudgetExhausted):
        await budget.take("spent", Purpose.MISS)
    await asyncio.sleep(1.1)  # nothing is granted in the first second of a life
    charge = await budget.take("spent", Purpose.MISS)
    with pytest.raises(BudgetExhausted):
        await budget.take("spent", Purpose.MISS)
    log = AccountNames("gateway").all("spent")[2]
    await connection.execute(RedisOperation.BUDGET, lambda client: client.delete(log))
    with pytest.raises(BudgetExhausted):
        await budget.take("spent", Purpose.MISS)
    await budget.give_back("spent", charge)
    await connection.close()


async def closed(control: SimulatorClient, one: Planes) -> None:
    """A 429 closes the gate, and the answer to the probe opens it."""
    await control.fault(FaultMode.RATE_LIMITED)

    async def reads(value: float) -> bool:
        await one.get(IDS[0])
        return await one.metric("gateway_gate_closed") == value

    await until(lambda: reads(1.0))
    await control.clear_faults()
    await until(lambda: reads(0.0))


@asynccontextmanager
async def unasked(control: SimulatorClient) -> AsyncIterator[None]:
    """Without a call upstream."""
    before = (await control.stats()).requests
    yield
    assert (await control.stats()).requests == before
