"""Records lost between an order and the next answer, as `allkeys-lru` may lose any of them."""

from __future__ import annotations

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.losing import evict_records, lose_records, some_keys
from tests.support.servers import RedisServer

ORDERS = [["all", "bound", "purge", "soft purge"], ["revoked"]]


@pytest.mark.parametrize("orders", ORDERS, ids=["orders", "revoked"])
async def test_no_loss_brings_back_what_was_ruled_out(
    upstream: RunningSimulator,
    control: SimulatorClient,
    redis_url: str,
    orders: list[str],
) -> None:
    """Any set of keys, in either gateway. That of any single key: tests/contract."""
    losing = await lose_records(
        upstream, control, redis_url, orders, choose=some_keys, rounds=6 * len(orders)
    )

    assert losing.old == []
    assert sum(losing.rounds.values()) == 6 * len(orders)


async def test_what_l1_holds_is_not_confirmed_by_what_is_lost(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """A gateway that hears of no order is bounded by `l1.lifetime` all the same."""
    losing = await lose_records(upstream, control, redis_url, ["deaf"], choose=some_keys, rounds=6)

    assert losing.old == []
    assert losing.rounds["deaf 202"] > 0


async def test_an_eviction_brings_back_nothing(
    upstream: RunningSimulator, control: SimulatorClient, own_redis: RedisServer
) -> None:
    """By `allkeys-lru`, while memory is short."""
    evicted, old = await evict_records(upstream, control, own_redis, rounds=2)

    assert old == []
    assert evicted > 30
