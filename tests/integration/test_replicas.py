"""Several replicas on one Redis: what one learns holds for all."""

from __future__ import annotations

import asyncio

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import TOKEN, gateway
from tests.support.redis_cluster import client_of

ONE = "trn_000001"
STALE = {"freshness__lifetime": "200ms", "freshness__stale_while_revalidate": "0"}


async def test_a_revoked_credential_is_answered_by_no_replica(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """What one replica dropped after a 401 does not rescue in another."""
    async with (
        gateway(upstream.base_url, redis_url, **STALE) as one,
        gateway(upstream.base_url, redis_url, **STALE) as other,
    ):
        await one.get(ONE)
        await other.get(ONE)
        await control.revoke_key(TOKEN)
        await asyncio.sleep(0.25)
        assert (await one.get(ONE)).status_code == 401

        await control.fault("status-500")
        answers = [await other.get(ONE) for _ in range(5)]
        assert {answer.status_code for answer in answers} <= {401, 502, 503}


async def test_a_soft_purge_rescues(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """What is purged softly is asked for anew, and stands in where that fails."""
    async with gateway(upstream.base_url, redis_url) as planes:
        good = await planes.get(ONE)
        await control.fault("status-500", count=1)
        await planes.admin.post("/purge", json={"soft": True})

        stale = await planes.get(ONE)
        assert stale.content == good.content
        assert "detail=stale-error" in stale.headers["cache-status"]


async def test_guessed_ids_leave_little_in_redis(
    upstream: RunningSimulator, redis_url: str
) -> None:
    """Asking for what the budget does not allow leaves marks that go by themselves, soon."""
    async with gateway(upstream.base_url, redis_url, upstream__rate_limit="2/minute") as planes:
        await asyncio.gather(*(planes.get(f"guess-{number}") for number in range(50)))
        with client_of(redis_url) as client:
            lives = [client.pttl(key) for key in client.keys("*:m")]

    asked_in_vain = [life for life in lives if life <= 40_000]
    assert len(asked_in_vain) >= 40
