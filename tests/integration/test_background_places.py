"""`upstream.max_background`: how many fetches that nobody waits for may run at once."""

from __future__ import annotations

import asyncio
from functools import partial

from gateway.simulator import RunningSimulator, SimulatorClient
from gateway.simulator.faults import FaultMode
from tests.integration.gateways import gateway, has_in_flight, until


async def test_no_more_refreshes_run_than_the_setting_allows(
    upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """The readers of all five get their stale responses at once. One partition has half of the
    four places, so two of these are refreshed."""
    settings = {"upstream__max_background": "4", "freshness__lifetime": "100ms"}
    ids = [f"trn_{number:06d}" for number in range(1, 6)]
    async with gateway(upstream.base_url, None, **settings) as planes:
        for each in ids:
            await planes.get(each)
        await asyncio.sleep(0.2)
        await control.fault(FaultMode.HELD)

        answers = [await planes.get(each) for each in ids]

        await until(partial(has_in_flight, control, 2))
        await asyncio.sleep(0.3)
        assert await has_in_flight(control, 2)
        assert all("stale-refreshing" in each.headers["cache-status"] for each in answers)
        await control.clear_faults()
