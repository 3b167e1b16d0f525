"""One fetch for a key across replicas, over real HTTP: what each replica's callers get."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import httpx
import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, gateway, until

ONE = "trn_000001"
EACH = 100


@pytest.fixture
async def replicas(upstream: RunningSimulator, redis_url: str) -> AsyncIterator[list[Planes]]:
    """Three gateways on one Redis, each of which hears the others."""
    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(gateway(upstream.base_url, redis_url)) for _ in range(3)
        ]
        for planes in found:
            await until(partial(_hears, planes))
        yield found


async def _hears(planes: Planes) -> bool:
    return await planes.metric("gateway_bus_connected") == 1.0


async def _crowd(replicas: list[Planes], training_id: str, each: int) -> list[httpx.Response]:
    asked = [planes.get(training_id) for planes in replicas for _ in range(each)]
    return await asyncio.gather(*asked)


async def _calls(control: SimulatorClient) -> int:
    return (await control.stats()).by_id.get(ONE, 0)


async def test_a_cold_id_costs_one_call(replicas: list[Planes], control: SimulatorClient) -> None:
    """300 callers of three replicas are answered with the same bytes."""
    await control.latency(0.5)
    answers = await _crowd(replicas, ONE, EACH)

    assert await _calls(control) == 1
    assert Counter(answer.status_code for answer in answers) == {200: 3 * EACH}
    assert len({answer.content for answer in answers}) == 1
