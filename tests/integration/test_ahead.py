"""Where no list can be read, what is read is asked about singly before somebody has it stale."""

from __future__ import annotations

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, gateway, until
from tests.integration.sweeping import OURS, state

READ, ONCE = "trn_000001", "trn_000002"
LIFETIME = {"freshness__lifetime": "3s"}


async def is_read_and_refreshed(planes: Planes, control: SimulatorClient) -> None:
    """One training is read, one was asked for once; then nobody comes any more."""
    before = (await control.stats()).by_id
    for training_id in (READ, READ, ONCE):
        assert (await planes.get(training_id)).status_code == 200

    async def is_refreshed() -> bool:
        return (await control.stats()).by_id[READ] == before.get(READ, 0) + 2

    await until(is_refreshed)
    assert (await control.stats()).by_id[ONCE] == before.get(ONCE, 0) + 1
    assert (await planes.get(READ)).headers["cache-status"].startswith("gateway; hit")


async def test_with_callers_own_tokens(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """By the token of who read it: the gateway has none, and asks for no list."""
    async with gateway(upstream.base_url, shared, **LIFETIME, sweep__enabled="auto") as planes:
        await is_read_and_refreshed(planes, control)

    assert set((await control.stats()).by_endpoint) == {"GET /training/{id}"}


async def test_with_a_list_that_refuses(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """By the token of the gateway."""
    await control.fault("list-refused")
    async with gateway(upstream.base_url, shared, **{**OURS, **LIFETIME}) as planes:

        async def is_off() -> bool:
            return (await state(planes)).get("sweep") == "off"

        await until(is_off)
        await is_read_and_refreshed(planes, control)


@pytest.mark.parametrize(
    "settings",
    [{"sweep__enabled": "false"}, {"sweep__enabled": "auto", "freshness__source": "origin"}],
    ids=["off", "origin"],
)
async def test_not_where_nothing_is_to_be_asked_ahead(
    upstream: RunningSimulator, control: SimulatorClient, settings: dict[str, str]
) -> None:
    """One is told so, the other by the upstream: what is stale waits for its next reader."""
    async with gateway(upstream.base_url, None, freshness__lifetime="100ms", **settings) as planes:
        for _ in range(2):
            await planes.get(READ)
        await planes.get(ONCE)
        calls = (await control.stats()).by_id[READ]

        async def is_looked_at() -> bool:
            await planes.get(ONCE)
            return (await control.stats()).by_id[ONCE] > 10

        await until(is_looked_at)

    assert (await control.stats()).by_id[READ] <= calls + 1
