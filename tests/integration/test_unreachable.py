"""A gateway that reaches no Redis answers on, and orders say until when it may be wrong."""

from __future__ import annotations

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.unreachable import SPAN, Orders, two_replicas


@pytest.mark.parametrize("how", ["refuse", "swallow"])
async def test_no_answer_is_older_than_what_orders_say(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str, how: str
) -> None:
    """Cut off for longer than it may answer unasked, and back."""
    orders = Orders(control)
    async with (
        two_replicas(upstream.base_url, redis_url, how) as (one, other, set_cut),
        orders.asked(one.data, other.data),
    ):
        await orders.while_cut(one.admin, set_cut, SPAN + 4.0)

    assert orders.old == []
    assert orders.answers > 0
    assert min(orders.statuses[200], orders.statuses[202]) > 0
