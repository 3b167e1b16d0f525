"""What operators are told of one training, by a real gateway in front of a simulator."""

from __future__ import annotations

import re

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, gateway, until

A = "trn_000001"


async def events(planes: Planes) -> list[dict[str, object]]:
    """What happened to the training lately, the newest first."""
    found: list[dict[str, object]] = (await planes.admin.get(f"/explain/{A}")).json()["events"]
    return found


async def test_the_story_of_a_training_is_told(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """Fetched, revalidated, found changed, invalidated by an order here and seen by the other
    replica; a failure with its reason."""
    shared = {"freshness__lifetime": "1s"}
    async with (
        gateway(upstream.base_url, redis_url, **shared) as one,
        gateway(upstream.base_url, redis_url, **shared) as other,
    ):
        await one.get(A)
        await other.get(A)
        await one.admin.post("/invalidate", json={"ids": [A]})
        ordered, told = await events(one), await events(other)
        await control.edit(A)
        await one.get(A)
        await control.fault("status-500")

        async def failed() -> bool:
            await one.get(A)
            return (await events(one))[0]["event"] == "fetch.failed"

        await until(failed)
        last = (await events(one))[0]

    assert [each["event"] for each in ordered] == ["entry.invalidated", "entry.fetched"]
    assert (ordered[0]["by"], told[0]["by"]) == ("order", "replica")
    assert ordered[1]["verdict"] == "first"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z", str(last["time"]))
    assert "500" in str(last["why"])
