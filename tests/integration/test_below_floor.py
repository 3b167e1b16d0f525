"""An order names a version that the API does not show yet, over real HTTP, with a sweep."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, gateway, until
from tests.integration.sweeping import OURS, state

IDS = [f"trn_{number:06d}" for number in range(1, 21)]
ORDERED, LISTED = IDS[3], IDS[7]
# Without a limit: how fast the machine is must not decide.
SETTINGS = OURS | {"freshness__lifetime": "10m", "sweep__interval": "1s", "sweep__warm": "off"}
SETTINGS["upstream__rate_limit"] = "unlimited"
# A second, two, four and eight after the first, and the singles that the sweep asks for.
A_HANDFUL = 20


async def test_requests_cost_few_calls_until_it_is_there(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """110 requests at each replica, for that one and for one that the list contradicts, which costs
    few calls; the sweep goes on, and the version is served once the API has it."""
    ahead = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=100)
    await control.fault("list-rounded", ids=[LISTED])
    async with AsyncExitStack() as stack:
        replicas: list[Planes] = []
        for _ in range(1 if shared is None else 2):
            planes = await stack.enter_async_context(gateway(upstream.base_url, shared, **SETTINGS))
            await asyncio.gather(*map(planes.get, IDS))
            replicas.append(planes)
        order = {"ids": [ORDERED], "updated_at": ahead.isoformat()}
        assert (await replicas[0].admin.post("/invalidate", json=order)).status_code == 200
        await control.reset_stats()

        statuses = set()
        for _ in range(110):
            for planes in replicas:
                answers = [await planes.get(each) for each in (ORDERED, LISTED)]
                statuses |= {each.status_code for each in answers}
            await asyncio.sleep(0.02)
        by_id = (await control.stats()).by_id

        assert statuses == {200}
        assert by_id[ORDERED] >= 2  # each request costs a call until the version is there
        assert by_id.get(LISTED, 0) <= A_HANDFUL
        assert (await state(replicas[0]))["bound_seconds"] is not None
        await control.edit(ORDERED, "as announced", updated_at=ahead)

        async def is_there() -> bool:
            answers = [await planes.get(ORDERED) for planes in replicas]
            return all("as announced" in each.text for each in answers)

        await until(is_there, patience=30.0)
        again = await replicas[-1].get(ORDERED)
    assert " hit" in again.headers["cache-status"]
    assert "stale" not in again.headers["cache-status"]
