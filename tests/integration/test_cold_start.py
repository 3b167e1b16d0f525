"""`upstream.cold_start`: whether a budget of which nothing is known counts as unspent."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from gateway.core.sweep.belief import LOOKS
from gateway.simulator import RunningSimulator, SimulatorClient
from gateway.simulator.faults import FaultMode
from tests.integration.gateways import gateway, until


@pytest.mark.parametrize(
    ("cold_start", "served"), [("paced", range(1, 3)), ("full", range(15, 21))]
)
@pytest.mark.parametrize("has_redis", [True, False], ids=["redis", "alone"])
async def test_a_cold_start_is_as_said(
    upstream: RunningSimulator, redis_url: str, cold_start: str, served: range, *, has_redis: bool
) -> None:
    """A tenth of the limit goes at once; or all of it, but what is kept for other purposes."""
    settings = {"upstream__cold_start": cold_start, "upstream__rate_limit": "20/10m"}
    settings |= {"sweep__enabled": "false"}
    async with gateway(upstream.base_url, redis_url if has_redis else None, **settings) as planes:
        ids = [f"trn_{number:06d}" for number in range(1, 25)]
        answers = await asyncio.gather(*map(planes.get, ids))

    assert sum(each.status_code == 200 for each in answers) in served


async def test_a_cache_that_began_empty_is_told_until_it_is_full(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """By the metric and by a finding; a replica that joins a full cache has nothing to tell."""
    settings = {"access__mode": "open", "upstream__token": "demo-token"}
    settings |= {"sweep__enabled": "true", "sweep__interval": "1s"}
    await control.fault(FaultMode.HELD)
    async with gateway(upstream.base_url, redis_url, **settings) as planes:
        assert await planes.metric("gateway_warming ") == 1
        findings = (await planes.admin.get("/status")).json()["findings"]
        assert "GatewayWarming" in [each["runbook"] for each in findings]

        await control.clear_faults()
        await planes.get("trn_000001")
        await until(partial(planes.reads, "gateway_warming ", 0))
        async with gateway(upstream.base_url, redis_url, **settings) as joined:
            await until(partial(joined.reads, "gateway_warming ", 0))
            assert await planes.metric("gateway_warming ") == 0


async def test_in_passthrough_one_miss_tests_the_token_and_the_list_answers_the_others(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """Forty misses at once cost one call, and those of the first sweep: a page and five looks."""
    settings = {"sweep__enabled": "true", "upstream__rate_limit": "unlimited"}
    async with gateway(upstream.base_url, shared, **settings) as planes:
        ids = [f"trn_{number:06d}" for number in range(1, 41)]
        answers = await asyncio.gather(*map(planes.get, ids))
        calls = [call.path.rpartition("/")[2] for call in await control.requests()]

    assert [each.status_code for each in answers] == [200] * 40
    assert len([each for each in calls if each.startswith("trn_")]) <= 1 + LOOKS + 1
