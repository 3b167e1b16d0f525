"""Invalidations of partitions as they stand in Redis; nothing there can surprise the reader."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.partition_invalidation import (
    PartitionInvalidations,
    read_invalidated_at,
    without_invalidated,
)
from gateway.adapters.redis.records import micros
from gateway.core.cache.entry import Key
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Found
from tests.doubles.clock import FakeClock
from tests.doubles.stored import entry_of

KEY = Key("p1", "trn_1")
OLD, NEW = "b0000000000000001", "b0000000000000002"
KEEP = 600_000


class Redis:
    """Has the share of one partition, and counts how often it is run a script or read."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.monotonic = self.clock.monotonic
        self.share: str | None = OLD
        self.scripts = 0

    async def read(self, _operation: RedisOperation, names: Sequence[str]) -> list[bytes | None]:
        """The share, under each name."""
        return [None if self.share is None else self.share.encode() for _ in names]

    async def run_script(
        self,
        _operation: RedisOperation,
        _script: object,
        _keys: object,
        _arguments: object,
        read: Callable[[list[Any]], str | None],
    ) -> str | None:
        """What `share` in partition_invalidation.lua answers."""
        self.scripts += 1
        self.share = self.share or NEW
        return read([self.share.encode()])


@pytest.fixture
def redis() -> Redis:
    """With a share that nobody has read."""
    return Redis()


def invalidations(redis: Redis) -> PartitionInvalidations:
    """Those of one replica."""
    return PartitionInvalidations(cast("Connection", redis), "gateway", KEEP, are_possible=True)


async def look_up(one: PartitionInvalidations) -> None:
    """Read what stands beside the key."""
    await one.read(RedisOperation.LOOKUP, ["body"], [KEY])


async def share_of(one: PartitionInvalidations) -> str:
    """By what a fetch from now on is known."""
    return await one.share(KEY, RedisOperation.LEASE, 1_000)


async def test_a_fetch_goes_by_the_share_that_its_look_up_has_read(redis: Redis) -> None:
    """Redis is not asked for it once more; a second later it is."""
    one = invalidations(redis)
    await look_up(one)

    assert await share_of(one) == OLD
    assert redis.scripts == 0
    redis.clock.advance(1.1)
    assert await share_of(one) == OLD
    assert redis.scripts == 1


async def test_a_share_that_was_lost_is_made_anew(redis: Redis) -> None:
    """Whoever read it before: there has to be a record from before the fetch on."""
    one = invalidations(redis)
    await look_up(one)
    redis.share = None
    await look_up(one)

    assert await share_of(one) == NEW
    assert redis.scripts == 1


async def test_a_record_is_made_to_outlive_bodies_now_and_then(redis: Redis) -> None:
    """Not with each body, but whenever it is another one."""
    one = invalidations(redis)
    for _ in range(3):
        await one.keep(KEY, OLD, RedisOperation.STORE)
    assert redis.scripts == 1

    redis.clock.advance(10.1)
    await one.keep(KEY, OLD, RedisOperation.STORE)
    assert redis.scripts == 2

    redis.share = NEW
    await one.keep(KEY, NEW, RedisOperation.STORE)
    await one.keep(KEY, NEW, RedisOperation.STORE)
    assert redis.scripts == 3


@pytest.mark.parametrize("record", [None, b"", b"17", b"x" * 16, b"-" + b"1" * 15, b"1" * 17])
def test_what_is_no_strike_rules_nothing_out(record: bytes | None) -> None:
    """A genuine record is a time in microseconds."""
    assert read_invalidated_at(record) == -math.inf
    assert read_invalidated_at(micros(1_700_000_000.25).encode()) == 1_700_000_000.25


def test_what_was_fetched_before_a_strike_is_gone() -> None:
    """Also what was fetched at its very moment; what came later is whole."""
    entry = entry_of()

    assert without_invalidated(Found(entry, None), entry.confirmed_at).entry is None
    assert without_invalidated(Found(entry, None), entry.confirmed_at - 1e-6).entry is entry
    assert without_invalidated(Found(None, None), 7.0) == Found(None, None, 7.0)
