"""Tenants and revoked keys under random interleavings; the drills do it a hundred times as often.

The bounds are those that SECURITY.md states.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.app import access
from gateway.simulator import SimulatorClient, SimulatorConfig, running
from tests.integration.client_files import bearer, two_tenants
from tests.integration.gateways import Planes, gateway
from tests.integration.tenancy import (
    IDS,
    LIFETIME,
    ORGANISATIONS,
    STALE,
    WINDOWS,
    Campaign,
    GatewayKeys,
    OwnTokens,
)

READS = 600


@pytest.fixture(autouse=True)
def _looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LOOK_EVERY", 0.05)


@asynccontextmanager
async def three_replicas(
    redis_url: str, **settings: str
) -> AsyncIterator[tuple[list[Planes], SimulatorClient]]:
    """On one Redis, in front of a simulator with three organisations."""
    keys = {f"T-{name}": name for name in ORGANISATIONS}
    config = SimulatorConfig(trainings=20, limit=None, keys=keys, latency=0.01, jitter=0.02)
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(running(config))
        control = await stack.enter_async_context(SimulatorClient(simulator.base_url))
        house = {**WINDOWS, **settings}
        replicas = [
            await stack.enter_async_context(gateway(simulator.base_url, redis_url, **house))
            for _ in range(3)
        ]
        yield replicas, control


async def with_own_tokens(redis_url: str, reads: int) -> Campaign:
    """The campaign in `passthrough`, with sweeps for three tokens, once it is over."""
    sweep = {"sweep__enabled": "true", "sweep__partitions": "3", "sweep__interval": "200ms"}
    async with three_replicas(redis_url, **sweep) as (replicas, control):
        campaign = OwnTokens(replicas, control, LIFETIME + STALE, seed=1)
        await campaign.run(reads)
        campaign.seen["swept"] = (await control.stats()).by_endpoint.get("GET /training", 0)
        return campaign


async def with_gateway_keys(redis_url: str, reads: int, folder: Path) -> Campaign:
    """The campaign in `clients`, once it is over."""
    file = two_tenants(folder, ORGANISATIONS)
    async with three_replicas(redis_url, **file.settings) as (replicas, control):
        campaign = GatewayKeys(replicas, control, bound=3.0, seed=1, file=file)
        await campaign.run(reads)
        return campaign


async def test_revoked_tokens_and_tenants(redis_url: str) -> None:
    """Nobody is answered with another's training, nor with a token past its bound."""
    campaign = await with_own_tokens(redis_url, READS)

    assert campaign.wrong == []
    assert campaign.was_worth_it, campaign.seen
    assert campaign.seen["swept"] > 0


async def test_rotated_keys_and_tenants(redis_url: str, tmp_path: Path) -> None:
    """Nor with a key that is gone from the file; and no good key is ever refused."""
    campaign = await with_gateway_keys(redis_url, READS, tmp_path)

    assert campaign.wrong == []
    assert campaign.was_worth_it, campaign.seen


async def test_the_first_refusal_ends_all_that_a_token_had(redis_url: str) -> None:
    """In every replica and for every training, fresh or not, although upstream fails then."""
    long = {"freshness__lifetime": "500ms", "freshness__stale_if_error": "1h"}
    async with three_replicas(redis_url, **long) as (replicas, control):
        good = bearer("T-acme")

        async def read(planes: Planes, training_id: str) -> int:
            answer = await planes.data.get(f"/training/{training_id}", headers=good)
            return answer.status_code

        warm = [await read(planes, each) for planes in replicas for each in IDS]
        await control.revoke_key("T-acme")
        answered = [await read(replicas[0], IDS[0])]
        while answered[-1] != 401:
            await asyncio.sleep(0.05)
            answered.append(await read(replicas[0], IDS[0]))
        await control.fault("status-500")
        await asyncio.sleep(0.2)  # the notice is on its way
        after = [await read(planes, each) for planes in replicas for each in IDS]

    assert set(warm) == {200}
    assert set(answered[:-1]) <= {200}
    assert set(after) == {401}
