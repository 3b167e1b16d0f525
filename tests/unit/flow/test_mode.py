"""Modes: an operator's word holds for all replicas, and outlives a Redis that lost it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import Mode
from gateway.ports import ModeOrder
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


async def test_the_latest_order_outlives_an_earlier_one(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """A replica that was without Redis puts back the order that it knows, if Redis lost all."""
    await replica.modes.order(Mode.FROZEN)
    await other.modes.look()
    earlier = redis.mode.ordered
    await replica.modes.order(Mode.NORMAL)
    redis.mode.ordered = None

    await other.modes.look()
    assert redis.mode.ordered == earlier
    await replica.modes.look()
    await other.modes.look()

    assert redis.mode.ordered == replica.modes.ordered == other.modes.ordered
    assert replica.modes.current is other.modes.current is Mode.NORMAL
    assert replica.observer.of("mode_moved")[-1][0] is Mode.NORMAL


async def test_an_order_is_later_than_the_one_before(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """Also if the clock of its replica is behind, or was set back."""
    await replica.modes.order(Mode.FROZEN)
    first = redis.mode.ordered
    assert first is not None
    assert first.at is not None
    redis.mode.ordered = replace(first, at=first.at + 5.0)
    await replica.modes.look()

    await other.modes.order(Mode.NORMAL)
    await replica.modes.look()

    assert replica.modes.current is Mode.NORMAL


async def test_an_order_is_later_than_all_that_its_replica_knows(
    replica: Replica, redis: Redis
) -> None:
    """Also if Redis has an earlier one, which an earlier release put back."""
    await replica.modes.order(Mode.FROZEN)
    first = redis.mode.ordered
    assert first is not None
    assert first.at is not None
    replica.modes.ordered = replace(first, at=first.at + 5.0)

    await replica.modes.order(Mode.NORMAL)
    await replica.modes.look()

    assert replica.modes.current is Mode.NORMAL
    assert redis.mode.ordered == replica.modes.ordered
    assert replica.modes.ordered is not None
    assert replica.modes.ordered.at == pytest.approx(first.at + 5.001)


async def test_an_order_without_a_time_is_followed(replica: Replica, redis: Redis) -> None:
    """A mode that was written by hand, or by an earlier release."""
    redis.mode.ordered = ModeOrder(Mode.FROZEN)

    await replica.modes.look()

    assert replica.modes.current is Mode.FROZEN


async def test_alone_the_order_is_the_process_own(alone: Replica) -> None:
    """No look undoes it."""
    await alone.modes.order(Mode.FROZEN)
    await alone.modes.look()

    assert alone.modes.current is Mode.FROZEN
