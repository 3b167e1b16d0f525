"""The modes, ordered at one replica's admin port and followed by all, hits included."""

from __future__ import annotations

import asyncio

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, gateway, until
from tests.integration.replicas import replicas
from tests.integration.sweeping import sweepers, sweeps_ended

ONE, OTHER = "trn_000001", "trn_000002"


async def in_mode(planes: Planes, mode: str) -> bool:
    """Whether the replica shows that mode, on both sides that operators read."""
    status = (await planes.admin.get("/status")).json()
    return status["mode"] == mode and await planes.reads(f'gateway_mode{{mode="{mode}"}}', 1)


async def order(every: list[Planes], mode: str) -> None:
    """Order the mode at the first replica, and wait until each has followed."""
    answer = await every[0].admin.post("/mode", json={"mode": mode})
    assert (answer.status_code, answer.json()) == (200, {"mode": mode})
    assert await in_mode(every[0], mode)
    for planes in every:
        await until(lambda planes=planes: in_mode(planes, mode))  # type: ignore[misc]


async def test_the_sweep_pauses_while_nothing_may_be_stored(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """In bypass it reads no page, and stores no edit; afterwards it goes on."""
    fast = {"sweep__interval": "200ms", "freshness__lifetime": "10m"}
    async with sweepers(upstream.base_url, redis_url, 2, **fast) as every:
        before = (await every[0].get(ONE)).json()

        async def has_swept() -> bool:
            return await sweeps_ended(every[0]) > 1

        await until(has_swept)
        await order(every, "bypass")
        await control.edit(ONE, "edited")
        await control.reset_stats()
        for number in range(20):
            await every[number % 2].get(OTHER)
            await asyncio.sleep(0.1)
        endpoints = (await control.stats()).by_endpoint
        versions = [await _stored(planes) for planes in every]
        await order(every, "normal")

        async def is_edited() -> bool:
            return bool((await every[1].get(ONE)).json()["content"] == "edited")

        await until(is_edited)

    assert endpoints == {"GET /training/{id}": 20}
    assert {version for version in versions if version} == {before["updated_at"]}


@pytest.mark.parametrize("mode", ["frozen", "bypass"])
async def test_no_replica_waits_for_a_cold_start_that_the_mode_forbids(
    upstream: RunningSimulator, redis_url: str, mode: str
) -> None:
    """Neither the one that leads the sweep nor a follower, which makes no call that could fail."""
    async with gateway(upstream.base_url, redis_url) as ordering:
        await order([ordering], mode)
        async with sweepers(upstream.base_url, redis_url, 2, sweep__warm="before-ready") as every:

            async def are_ready() -> bool:
                probes = [await planes.data.get("/readyz") for planes in every]
                return [probe.status_code for probe in probes] == [200, 200]

            await until(are_ready, patience=20.0)


async def _stored(planes: Planes) -> object:
    """The version in Redis."""
    return (await planes.admin.get(f"/explain/{ONE}")).json()["l2"]["updated_at"]


async def test_all_replicas_follow_an_order(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """Frozen calls nothing, bypass asks for each, and then it is as before."""
    async with replicas(upstream.base_url, [redis_url] * 2) as every:
        for planes in every:
            await planes.get(ONE)
        calls = len(await control.requests())

        await order(every, "frozen")
        for planes in every:
            assert (await planes.get(ONE)).headers["cache-status"].startswith("gateway; hit; ttl=")
            refused = await planes.get(OTHER)
            assert refused.status_code == 503
            assert refused.json()["type"] == "urn:gateway:problem:frozen"
            assert int(refused.headers["retry-after"]) > 0
        assert len(await control.requests()) == calls

        await order(every, "bypass")
        for planes in every:
            for _ in range(2):
                answer = await planes.get(ONE)
                assert answer.headers["cache-status"] == (
                    "gateway; fwd=bypass; fwd-status=200; detail=not-stored-bypass"
                )
        assert len(await control.requests()) == calls + 4

        await order(every, "normal")
        for planes in every:
            assert "; hit; " in (await planes.get(ONE)).headers["cache-status"]
