"""`Training-Min-Updated-At` over real HTTP: what it costs, whatever callers want."""

from __future__ import annotations

from contextlib import AsyncExitStack

import httpx

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, gateway

IDS = [f"trn_{number:06d}" for number in range(1, 11)]
NEVER = {"Training_Min_Updated_At": "2030-01-01T00:00:00Z"}
# A tenth are eight calls, of which one caller has half, in all replicas together.
BUDGET = {"upstream__rate_limit": "80/30s", "freshness__lifetime": "1h"}
ITS_PART = 4


def told(answer: httpx.Response) -> bool:
    """Whether it says that the version is not there, which one is, and when to come back."""
    fields = answer.headers
    return (
        answer.status_code == 412
        and answer.json()["type"] == "urn:gateway:problem:version-not-reached"
        and "training-updated-at" in fields
        and 1 <= int(fields["retry-after"]) <= 60
    )


async def test_versions_that_do_not_exist_have_a_share_of_the_budget(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """One caller wants them of ten trainings again and again, from both replicas; whatever else
    is asked for has its calls, and what was written is read."""
    async with AsyncExitStack() as stack:
        replicas: list[Planes] = []
        for _ in range(1 if shared is None else 2):
            planes = await stack.enter_async_context(gateway(upstream.base_url, shared, **BUDGET))
            replicas.append(planes)
        for each in IDS:
            for planes in replicas:
                assert (await planes.get(each)).status_code == 200
        await control.reset_stats()

        answers = [
            await planes.get(each, **NEVER)
            for _ in range(20)
            for each in IDS
            for planes in replicas
        ]

        assert all(map(told, answers))
        assert 1 <= (await control.stats()).requests <= ITS_PART
        assert (await replicas[0].get("trn_000030")).status_code == 200
