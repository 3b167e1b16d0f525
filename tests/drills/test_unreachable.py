"""Replicas cut off, refused and stopped, again and again, while orders go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.unreachable import SPAN, Orders, two_replicas
from tests.system.stopping import stop_and_go_on

# The fewest orders of one run.
_ORDERS = 200


@pytest.mark.parametrize("how", ["refuse", "swallow"])
async def test_hundreds_of_orders_are_kept(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str, how: str
) -> None:
    """Cut off for shorter and longer than a replica may answer unasked."""
    orders = Orders(control)
    async with (
        two_replicas(upstream.base_url, redis_url, how) as (one, other, set_cut),
        orders.asked(one.data, other.data),
    ):
        for seconds in (1.0, 6.0, SPAN + 4.0, SPAN + 15.0):
            await orders.while_cut(one.admin, set_cut, seconds)
        while orders.statuses.total() < _ORDERS:  # a busy machine gives fewer a second
            await orders.while_cut(one.admin, set_cut, 1.0)

    assert orders.old == []
    assert min(orders.statuses[200], orders.statuses[202]) > 20


async def test_a_replica_that_is_stopped_ten_times(tmp_path: Path, redis_url: str) -> None:
    """Each time it asks before it answers."""
    assert await stop_and_go_on(tmp_path, redis_url, rounds=10) == []
