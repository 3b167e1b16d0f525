"""A thousand sets of records lost, and each record by itself, after orders of each kind."""

from __future__ import annotations

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.losing import Choose, each_key, evict_records, lose_records, some_keys
from tests.support.servers import RedisServer

ORDERS = [["all", "bound", "purge", "soft purge"], ["revoked"], ["deaf"]]


@pytest.mark.parametrize("orders", ORDERS, ids=["orders", "revoked", "deaf"])
@pytest.mark.parametrize(("choose", "rounds"), [(each_key, 100), (some_keys, 1_000)])
async def test_no_loss_brings_back_what_was_ruled_out(
    upstream: RunningSimulator,
    control: SimulatorClient,
    redis_url: str,
    *,
    orders: list[str],
    choose: Choose,
    rounds: int,
) -> None:
    """Neither any single key nor any set of them; a gateway that is deaf takes a second a round."""
    rounds = rounds // 10 if orders == ["deaf"] else rounds
    losing = await lose_records(upstream, control, redis_url, orders, choose=choose, rounds=rounds)

    assert losing.old == []
    assert sum(losing.rounds.values()) == rounds


async def test_hundreds_of_evictions_bring_back_nothing(
    upstream: RunningSimulator, control: SimulatorClient, own_redis: RedisServer
) -> None:
    """By `allkeys-lru`, while memory is short."""
    evicted, old = await evict_records(upstream, control, own_redis, rounds=40)

    assert old == []
    assert evicted > 1_000
