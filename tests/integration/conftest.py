"""Simulators for the integration tests, and the two ways to run a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace

import pytest
import uvicorn

from gateway.simulator import RunningSimulator, SimulatorClient, SimulatorConfig, running
from tests.support.redis_cluster import ClusterServers, cluster


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that look around fifty times a second instead of ten: most tests stop three of
    them, and each looks up only then, and once more to see its connections gone."""

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 5)

    monkeypatch.setattr(
        uvicorn.server, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": sleep})
    )


@pytest.fixture
async def upstream() -> AsyncIterator[RunningSimulator]:
    """A simulator whose own limit is out of the way."""
    async with running(SimulatorConfig(trainings=50, limit=None)) as simulator:
        yield simulator


@pytest.fixture
async def control(upstream: RunningSimulator) -> AsyncIterator[SimulatorClient]:
    """The simulator's control side."""
    async with SimulatorClient(upstream.base_url) as client:
        yield client


@pytest.fixture(scope="session")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterServers]:
    """A cluster whose nodes are killed and whose slots move; whole at the end of each test."""
    with cluster(tmp_path_factory.mktemp("own-cluster")) as servers:
        yield servers


@pytest.fixture(params=["alone", "redis"])
def shared(request: pytest.FixtureRequest) -> str | None:
    """The URL of Redis, or None for a process alone: each test runs both ways."""
    if request.param == "alone":
        return None
    url = request.getfixturevalue("redis_url")
    assert isinstance(url, str)
    return url
