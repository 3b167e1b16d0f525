"""The clock of Redis is set back: what reads of trainings cost then, and what they get."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.budget_losses import SetClock
from tests.integration.gateways import gateway
from tests.support.servers import RedisServer

REPLICAS, READS = 2, 10
# Seconds within which a replica measures the clock of Redis anew.
_MEASURED = 3.0


@pytest.mark.parametrize("back", [120.0, 3_600.0])
@pytest.mark.parametrize("is_deleted", [False, True])
async def test_each_replica_makes_one_call_for_a_training_from_before_it(
    upstream: RunningSimulator,
    control: SimulatorClient,
    tmp_path: Path,
    back: float,
    *,
    is_deleted: bool,
) -> None:
    """Its age is not known any more. After one call it is. (With a limit, Redis would hand out no
    call for a window.)"""
    settings = {"log__level": "error", "upstream__rate_limit": "unlimited"}
    clock, server = SetClock(tmp_path), RedisServer(tmp_path)
    server._environment |= clock.environment
    with server:
        async with (
            gateway(upstream.base_url, server.url, **settings) as one,
            gateway(upstream.base_url, server.url, **settings) as other,
        ):
            for each in (one, other):
                await each.get("trn_000001")
            clock.set(-back)
            await asyncio.sleep(_MEASURED)
            if is_deleted:
                await control.delete("trn_000001")
            await control.reset_stats()

            answers = [
                await each.get("trn_000001")
                for _ in range(READS // REPLICAS)
                for each in (one, other)
            ]

            expected = 404 if is_deleted else 200
            assert [answer.status_code for answer in answers] == [expected] * READS
            calls = (await control.stats()).by_endpoint.get("GET /training/{id}", 0)
            assert 1 <= calls <= REPLICAS
            assert "hit" in answers[-1].headers["cache-status"]
