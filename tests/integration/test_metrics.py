"""What is exported: how many series, whoever asks for whatever; and both ways out count alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.simulator import RunningSimulator, SimulatorConfig, running
from tests.integration.gateways import gateway
from tests.rounds.metric_series import hundred_clients, read_by_all, series_of

ONE = "trn_000001"
MOST = 1_110


@pytest.fixture
async def upstream() -> AsyncIterator[RunningSimulator]:
    """A simulator without a limit."""
    async with running(SimulatorConfig(trainings=5, limit=None)) as simulator:
        yield simulator


async def test_the_series_are_few_whatever_is_asked_for(
    upstream: RunningSimulator, tmp_path: Path, redis_url: str
) -> None:
    """A hundred clients and several hundred ids, known, unknown and impossible."""
    settings = hundred_clients(tmp_path)
    ids = [*(f"unheard-{number}" for number in range(300)), ONE, "..", "%20", "x" * 200]
    async with gateway(upstream.base_url, redis_url, **settings) as planes:
        await read_by_all(str(planes.data.base_url), ids, "Cache-Control: only-if-cached")
        await read_by_all(str(planes.data.base_url), [ONE])
        exported = await series_of(str(planes.admin.base_url))

    assert 700 < len(exported) <= MOST
    assert sum(each.startswith("gateway_client_requests_total") for each in exported) == 300
    assert not [each for each in exported if "unheard" in each or "trn_" in each or "gw_" in each]
