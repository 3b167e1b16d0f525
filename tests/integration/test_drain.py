"""The end: readiness first, then what is in flight, then an honest answer to who still waits."""

from __future__ import annotations

import asyncio

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import gateway, until


async def is_asked(control: SimulatorClient) -> bool:
    """Whether a call is with the upstream."""
    return (await control.stats()).in_flight > 0


async def test_who_still_waits_at_the_end_is_told(
    upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """Past the drain timeout a waiting caller gets 503 shutting-down, with Retry-After."""
    await control.fault("hang", delay=20.0)
    async with gateway(upstream.base_url, server__drain_timeout="500ms") as planes:
        waiting = asyncio.create_task(planes.get("trn_000001"))
        await until(lambda: is_asked(control))
        planes.stop.set()
        answer = await waiting

    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:gateway:problem:shutting-down"
    assert "retry-after" in answer.headers


async def test_what_is_in_flight_is_finished(
    upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """Readiness is gone at once, and the answer under way still comes."""
    await control.fault("slow", delay=0.5)
    async with gateway(upstream.base_url, server__drain_delay="300ms") as planes:
        waiting = asyncio.create_task(planes.get("trn_000001"))
        await until(lambda: is_asked(control))
        planes.stop.set()
        await asyncio.sleep(0.05)
        ready = await planes.data.get("/readyz")
        alive = await planes.data.get("/livez")
        answer = await waiting

    assert (ready.status_code, alive.status_code) == (503, 200)
    assert answer.status_code == 200
