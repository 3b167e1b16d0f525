"""Where calls are short, those that there are go to what is read most, by a real gateway."""

from __future__ import annotations

import asyncio

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import TOKEN, Planes, gateway, until

FIVE = [f"trn_{number:06d}" for number in range(1, 6)]
SIXTH = "trn_000006"
HOT = {FIVE[3], FIVE[4]}
SHORT = {
    "access__mode": "open",
    "upstream__token": TOKEN,
    "upstream__rate_limit": "5/8s",
    "upstream__timeout": "30s",
    "freshness__lifetime": "500ms",
}


async def next_refresh(planes: Planes, training_id: str) -> str:
    """What operators are told."""
    words = (await planes.admin.get(f"/explain/{training_id}")).json()
    return str(words["next_refresh"])


async def asked(control: SimulatorClient) -> list[str]:
    """Which trainings, in the order in which they were asked for."""
    return [call.path.rpartition("/")[2] for call in await control.requests()]


async def test_the_two_that_are_read_most_are_refreshed_first(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """Five are stale, no call is left, and the least wanted one is read first. The order is told
    while they wait; the rest follow in it."""
    for training_id in FIVE:
        await control.edit(training_id)
    async with gateway(upstream.base_url, shared, **SHORT) as planes:
        # After a start calls are handed out evenly, and come back so: each 2 s one. The first one
        # comes back with the fifth, and a sixth training takes it.
        filled = await asyncio.gather(*map(planes.get, FIVE))
        filled.append(await planes.get(SIXTH))
        assert [answer.status_code for answer in filled] == [200] * 6
        for times, training_id in enumerate(FIVE, start=1):
            for _ in range(times):
                await planes.get(training_id)

        async def all_wait() -> bool:
            words = [await next_refresh(planes, training_id) for training_id in FIVE]
            return all("in the queue" in each for each in words)

        # With Redis, a refresh that finds no call waits as soon as Redis has said so.
        await until(all_wait)
        told = [await next_refresh(planes, training_id) for training_id in FIVE]
        assert len(await asked(control)) == 6

        async def are_refreshed(calls: int) -> bool:
            return len(await asked(control)) >= 6 + calls

        await until(lambda: are_refreshed(2))
        first = (await asked(control))[6:8]
        await until(lambda: are_refreshed(5))
        every = (await asked(control))[6:]

    assert [each.rpartition(": ")[2] for each in told] == [
        f"place {place} of 5 in the queue" for place in (5, 4, 3, 2, 1)
    ]
    assert set(first) == HOT
    assert every[-1] == FIVE[0]
