"""`upstream.cold_start`: whether a budget of which nothing is known counts as unspent."""

from __future__ import annotations

import asyncio

import pytest

from gateway.simulator import RunningSimulator
from tests.integration.gateways import gateway


@pytest.mark.parametrize(
    ("cold_start", "served"), [("paced", range(1, 3)), ("full", range(15, 21))]
)
@pytest.mark.parametrize("has_redis", [True, False], ids=["redis", "alone"])
async def test_a_cold_start_is_as_said(
    upstream: RunningSimulator, redis_url: str, cold_start: str, served: range, *, has_redis: bool
) -> None:
    """A tenth of the limit goes at once; or all of it, but what is kept for other purposes."""
    settings = {"upstream__cold_start": cold_start, "upstream__rate_limit": "20/10m"}
    settings |= {"sweep__enabled": "false"}
    async with gateway(upstream.base_url, redis_url if has_redis else None, **settings) as planes:
        ids = [f"trn_{number:06d}" for number in range(1, 25)]
        answers = await asyncio.gather(*map(planes.get, ids))

    assert sum(each.status_code == 200 for each in answers) in served
