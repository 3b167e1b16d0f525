"""The clock of Redis is set back: what reads of trainings cost then, and what they get."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.budget_losses import SetClock
from tests.integration.gateways import gateway
from tests.support.servers import RedisServer

KEPT, DELETED = "trn_000001", "trn_000002"
REPLICAS, READS = 2, 10
# Seconds within which a replica measures the clock of Redis anew.
_MEASURED = 3.0


@pytest.mark.parametrize("back", [120.0, 3_600.0])
async def test_each_replica_makes_one_call_for_a_training_from_before_it(
    upstream: RunningSimulator, control: SimulatorClient, tmp_path: Path, back: float
) -> None:
    """Its age is not known any more. After one call it is, also where the training was deleted.
    (With a limit, Redis would hand out no call for a window.)"""
    settings = {"log__level": "error", "upstream__rate_limit": "unlimited"}
    clock, server = SetClock(tmp_path), RedisServer(tmp_path)
    server._environment |= clock.environment
    with server:
        async with (
            gateway(upstream.base_url, server.url, **settings) as one,
            gateway(upstream.base_url, server.url, **settings) as other,
        ):
            for each in (one, other):
                await each.get(KEPT)
                await each.get(DELETED)
            clock.set(-back)
            await asyncio.sleep(_MEASURED)
            await control.delete(DELETED)
            await control.reset_stats()

            for training_id, expected in ((KEPT, 200), (DELETED, 404)):
                answers = [
                    await each.get(training_id)
                    for _ in range(READS // REPLICAS)
                    for each in (one, other)
                ]
                assert [answer.status_code for answer in answers] == [expected] * READS
                assert 1 <= (await control.stats()).by_id[training_id] <= REPLICAS
                assert "hit" in answers[-1].headers["cache-status"]
