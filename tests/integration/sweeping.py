"""Replicas that sweep a simulator with a limit of its own, and what they serve meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.simulator import SimulatorClient
from tests.integration.gateways import TOKEN, Planes, until
from tests.integration.replicas import replicas

OURS = {"access__mode": "open", "upstream__token": TOKEN, "sweep__enabled": "true"}


@asynccontextmanager
async def sweepers(
    upstream: str, redis: str, count: int, **settings: str
) -> AsyncIterator[list[Planes]]:
    """So many replicas on one Redis that hold the token themselves."""
    async with replicas(upstream, [redis] * count, (), **{**OURS, **settings}) as all_planes:
        yield all_planes


async def state(planes: Planes) -> dict[str, object]:
    """What /status says of the one tenant's freshness."""
    said: dict[str, object] = (await planes.admin.get("/status")).json()["freshness"]["tenants"]
    words = said.get("default", {})
    assert isinstance(words, dict)
    return words


async def sweeps_ended(planes: Planes) -> int:
    """How many sweeps have come to their end."""
    ended = (await state(planes)).get("sweeps", 0)
    assert isinstance(ended, int)
    return ended


async def leader_of(all_planes: Sequence[Planes]) -> int:
    """Which replica leads; waits until one does."""
    found: list[int] = []

    async def leads() -> bool:
        states = [await state(planes) for planes in all_planes]
        found[:] = [at for at, each in enumerate(states) if each.get("leads")]
        return len(found) == 1

    await until(leads)
    return found[0]


async def calls_of(control: SimulatorClient) -> tuple[int, int]:
    """Calls for pages and for single trainings."""
    requests = await control.requests()
    pages = sum(each.path == "/training" for each in requests)
    return pages, len(requests) - pages
