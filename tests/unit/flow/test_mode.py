"""Modes: an operator's word holds for all replicas, and outlives a Redis that lost it."""

from __future__ import annotations

import pytest

from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import Mode
from tests.unit.flow.house import Redis, Replica


async def test_what_one_orders_the_others_follow(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """At their next look; each change is told once."""
    await replica.modes.order(Mode.FROZEN, "on-call")
    for _ in range(2):
        await other.modes.look()

    assert other.modes.current is Mode.FROZEN
    assert other.modes.ordered == replica.modes.ordered
    assert other.observer.of("mode_moved") == [(Mode.FROZEN, "on-call")]

    await other.modes.order(Mode.NORMAL)
    await replica.modes.look()
    assert replica.modes.current is Mode.NORMAL


async def test_without_redis_nothing_is_half_ordered(replica: Replica, redis: Redis) -> None:
    """The order is refused and the last word holds."""
    await replica.modes.order(Mode.FROZEN)
    redis.switch.is_up = False

    with pytest.raises(RedisUnavailable):
        await replica.modes.order(Mode.NORMAL)
    await replica.modes.look()

    assert replica.modes.current is Mode.FROZEN


async def test_what_redis_lost_its_replicas_know(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """A flush thaws nobody, and who starts after it is told."""
    await replica.modes.order(Mode.FROZEN)
    redis.mode.ordered = None

    await replica.modes.look()
    await other.modes.look()

    assert other.modes.current is Mode.FROZEN
    assert other.modes.ordered == replica.modes.ordered


async def test_alone_the_order_is_the_process_own(alone: Replica) -> None:
    """No look undoes it."""
    await alone.modes.order(Mode.BYPASS)
    await alone.modes.look()

    assert alone.modes.current is Mode.BYPASS
