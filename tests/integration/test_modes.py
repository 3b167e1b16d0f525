"""The modes, ordered at one replica's admin port and followed by all, hits included."""

from __future__ import annotations

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, gateway, until
from tests.integration.replicas import replicas
from tests.integration.sweeping import sweepers

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


async def test_no_replica_waits_for_a_cold_start_that_the_mode_forbids(
    upstream: RunningSimulator, redis_url: str
) -> None:
    """Neither the one that leads the sweep nor a follower, which makes no call that could fail."""
    async with gateway(upstream.base_url, redis_url) as ordering:
        await order([ordering], "frozen")
        async with sweepers(upstream.base_url, redis_url, 2, sweep__warm="before-ready") as every:

            async def are_ready() -> bool:
                probes = [await planes.data.get("/readyz") for planes in every]
                return [probe.status_code for probe in probes] == [200, 200]

            await until(are_ready, patience=20.0)


async def test_all_replicas_follow_an_order(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """Frozen calls nothing, and then it is as before."""
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

        await order(every, "normal")
        for planes in every:
            assert "; hit; " in (await planes.get(ONE)).headers["cache-status"]
