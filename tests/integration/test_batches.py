"""Several trainings with one request, over real HTTP, with a real Redis."""

from __future__ import annotations

from pathlib import Path

from gateway.simulator import RunningSimulator, SimulatorClient, SimulatorConfig, running
from tests.integration.client_files import bearer, two_tenants
from tests.integration.gateways import gateway
from tests.support.redis_cluster import client_of

IDS = [f"trn_{number:06d}" for number in range(1, 41)]
ALL = f"/training?ids={','.join(IDS)}"


async def test_forty_trainings_of_another_replica_are_one_look_up(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """One MGET and no call; and the bytes are those of the API."""
    async with gateway(upstream.base_url, redis_url) as one:
        filled = (await one.data.get(ALL)).json()["items"]
        async with gateway(upstream.base_url, redis_url) as other:
            with client_of(redis_url) as client:
                client.config_resetstat()
                response = await other.data.get(ALL)
                looked_up = client.info("commandstats")["cmdstat_mget"]["calls"]
        alone = await one.get(IDS[7])

    items = response.json()["items"]
    assert [item["status"] for item in items] == [200] * 40
    assert {item["cache"] for item in items} == {"hit; detail=l2"}
    assert [item["training"] for item in items] == [item["training"] for item in filled]
    assert b'"training":' + alone.content in response.content
    assert response.headers["cache-status"].endswith("detail=batch")
    assert looked_up == 1
    assert len(await control.requests()) == 40


async def test_a_batch_stays_in_its_tenant(tmp_path: Path) -> None:
    """And a list. Both have trainings under the same ids."""
    keys = {"T-acme": "acme", "T-globex": "globex"}
    async with running(SimulatorConfig(trainings=50, limit=None, keys=keys)) as upstream:
        settings = two_tenants(tmp_path).settings
        async with gateway(upstream.base_url, **settings) as planes:
            for key, tenant in (("gw_acme", "acme"), ("gw_globex", "globex")) * 2:
                response = await planes.data.get(ALL, headers=bearer(key))
                texts = [str(item["training"]) for item in response.json()["items"]]
                listed = await planes.data.get("/training?limit=50", headers=bearer(key))
                texts += [str(item) for item in listed.json()["items"]]
                assert len(texts) == 90
                assert all(tenant in text for text in texts)
