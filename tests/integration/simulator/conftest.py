"""What the simulator's tests share: one that runs, a caller of its API, a hand on its controls."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.simulator import RunningSimulator, SimulatorClient, SimulatorConfig, running


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimulator]:
    """A simulator of 25 trainings, for this test alone."""
    async with running(SimulatorConfig(trainings=25)) as simulator:
        yield simulator


@pytest.fixture
async def control(simulator: RunningSimulator) -> AsyncIterator[SimulatorClient]:
    """The simulator's controls, by HTTP."""
    async with SimulatorClient(simulator.base_url) as control:
        yield control


@pytest.fixture
async def api(simulator: RunningSimulator) -> AsyncIterator[httpx.AsyncClient]:
    """A caller with the demo key."""
    async with httpx.AsyncClient(
        base_url=simulator.base_url,
        headers={"Authorization": "Bearer demo-token"},
        trust_env=False,
        timeout=30,
    ) as client:
        yield client
