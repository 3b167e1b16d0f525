"""Redis killed, hung, restarted, flushed: what callers wait for, and that nothing is mixed up."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.store import RedisStore
from gateway.core.cache.entry import Key
from gateway.core.cache.marks import Marks
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import Found
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.stored import entry_of
from tests.support.servers import RedisServer

KEY = Key("p1", "trn_1")
# What a test of a Redis that hangs waits out; a stall may pass for a hanging Redis there.
SHORT = 0.5
LONG = 30.0


class Replica:
    """A connection under watch, and what stands on it."""

    def __init__(self, url: str, timeout: float) -> None:
        self.observer = RecordingObserver()
        clock = RealClock()
        self.connection = Connection(url, clock, self.observer, timeout=timeout)
        epochs = (f"{number:016x}" for number in itertools.count(time.time_ns() % 2**32))
        self.store = RedisStore(
            self.connection,
            "gateway",
            self.observer,
            longest_keep=600.0,
            longest_fetch=20.0,
            new_word=partial(next, epochs),
        )

    async def fill(self, key: Key = KEY) -> StoreVerdict:
        """Store a training."""
        entry = entry_of(await self.store.begin(key), body=key.training_id.encode())
        return (await self.store.store(key, entry.facts, entry, 60.0)).verdict

    async def find(self, key: Key = KEY) -> Found:
        """What is found, asking again for as long as Redis counts as away."""
        async with asyncio.timeout(LONG):
            while True:
                with suppress(RedisUnavailable):
                    return await self.store.lookup(key)
                await asyncio.sleep(0.01)

    async def wait_for(self, *, up: bool, seconds: float = LONG) -> None:
        """Return once Redis counts as up, or as away; at most so many seconds."""
        async with asyncio.timeout(seconds):
            while self.connection.is_up is not up:  # noqa: ASYNC110 - nobody sets an event
                await asyncio.sleep(0.01)


@asynccontextmanager
async def replica(server: RedisServer, timeout: float = LONG) -> AsyncIterator[Replica]:
    """One that has found its Redis."""
    replica = Replica(server.url, timeout)
    watch = asyncio.create_task(replica.connection.run())
    try:
        await replica.wait_for(up=True)
        yield replica
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        await replica.connection.close()


async def seconds_until_refused(replica: Replica) -> float:
    """How long a caller waits to learn that Redis is away."""
    began = time.monotonic()
    with pytest.raises(RedisUnavailable):
        await replica.store.lookup(KEY)
    return time.monotonic() - began


async def test_a_killed_redis_is_noticed_without_traffic(own_redis: RedisServer) -> None:
    """And its return as well, both told once."""
    async with replica(own_redis) as one:
        own_redis.kill()
        await one.wait_for(up=False)

        own_redis.restart()
        await one.wait_for(up=True)

        assert one.observer.of("redis_moved") == [(False,), (True,)]


async def test_a_killed_redis_fails_calls_at_once(own_redis: RedisServer) -> None:
    """Every kind of call, without an attempt at it."""
    async with replica(own_redis) as one:
        own_redis.kill()
        await one.wait_for(up=False)
        told = len(one.observer.of("redis_failed"))

        began = time.monotonic()
        calls = [
            *(one.store.lookup(KEY) for _ in range(100)),
            *(one.store.begin(KEY) for _ in range(100)),
            one.store.confirm([KEY]),
            one.store.order(None, None, None, is_hard=True),
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)

        assert {type(result) for result in results} == {RedisUnavailable}
        assert time.monotonic() - began < LONG
        assert len(one.observer.of("redis_failed")) <= told + 1


async def test_a_hung_redis_costs_one_timeout_in_all(own_redis: RedisServer) -> None:
    """The first callers wait it out, side by side; later ones wait for nothing."""
    async with replica(own_redis, SHORT) as one:
        own_redis.pause()

        waits = await asyncio.gather(*(seconds_until_refused(one) for _ in range(100)))
        assert max(waits) < 10 * SHORT

        later = [await seconds_until_refused(one) for _ in range(200)]
        assert sum(later) < 10 * SHORT


async def test_late_replies_are_given_to_nobody(own_redis: RedisServer) -> None:
    """Calls that timed out while it hung leave nothing behind on their connections."""
    keys = [Key("p1", f"trn_{number}") for number in range(30)]
    async with replica(own_redis, SHORT) as one, replica(own_redis) as patient:
        for key in keys:
            await patient.fill(key)
        for _ in range(3):
            own_redis.pause()
            calls = (*map(one.store.lookup, keys), *map(one.store.begin, keys))
            await asyncio.gather(*calls, return_exceptions=True)
            own_redis.resume()
            await one.wait_for(up=True)

            for key in reversed(keys):
                assert training_of(await one.find(key)) == key.training_id


async def test_callers_that_leave_mix_up_nothing(own_redis: RedisServer) -> None:
    """A call cancelled half-way takes its connection with it, not the next caller's answer."""
    keys = [Key("p1", f"trn_{number}") for number in range(30)]
    async with replica(own_redis) as one:
        for key in keys:
            await one.fill(key)

        for turn in range(100):
            leaving = asyncio.create_task(one.store.begin(keys[turn % 30]))
            for _ in range(turn % 9):
                await asyncio.sleep(0)
            leaving.cancel()
            key = keys[(turn * 7) % 30]
            assert training_of(await one.store.lookup(key)) == key.training_id


def training_of(found: Found) -> str:
    """Which training was found, by its body."""
    assert found.entry is not None
    return found.entry.body.decode()


async def test_a_restarted_redis_knows_nothing_and_is_filled_again(own_redis: RedisServer) -> None:
    """No data, no scripts: neither is missed."""
    async with replica(own_redis) as one:
        await one.fill()
        own_redis.restart()
        with suppress(RedisUnavailable):  # the watch may not have noticed
            await one.store.lookup(KEY)
        await one.wait_for(up=True)

        assert await one.store.lookup(KEY) == Found(Marks(), None)
        assert await one.fill() is StoreVerdict.FIRST
        assert (await one.store.lookup(KEY)).entry is not None


async def test_a_fetch_that_outlives_its_redis_is_refused(own_redis: RedisServer) -> None:
    """Also where another fetch has made the marks again."""
    async with replica(own_redis) as one:
        entry = entry_of(await one.store.begin(KEY))
        own_redis.restart()
        with suppress(RedisUnavailable):
            await one.store.lookup(KEY)
        await one.wait_for(up=True)
        await one.fill()

        stored = await one.store.store(KEY, entry.facts, entry, 60.0)

        assert stored.verdict is StoreVerdict.INVALIDATED
