"""The bus while Redis is killed, hung, flushed, and while others publish on its channel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
import redis

from gateway.adapters.redis.keys import ear
from gateway.adapters.redis.messages import (
    Acknowledgement,
    encode_acknowledgement,
    encode_notice,
)
from gateway.core.errors import RedisUnavailable
from gateway.ports import Confirmations
from tests.doubles.hearer import (
    CHANNEL,
    PREFIX,
    PURGE,
    RECORD,
    WORD,
    Hearer,
    beat,
    change,
    hearer,
    hearers,
    until,
)
from tests.doubles.loop_time import pass_time
from tests.support.servers import RedisServer

# Seconds in which whoever hears has answered, also on a busy machine.
PATIENCE = 30.0

# What a test of a Redis that hangs waits out; a stall may pass for a hanging Redis there.
SHORT = 1.0


class Publisher:
    """Somebody on the channel who follows no rule."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def chain(self, number: int) -> bytes:
        """The words of the next notice, as if one had been told."""
        before = self.client.hget(RECORD, "last")
        assert isinstance(before, bytes)
        self.client.hset(RECORD, "last", f"{number:016x}")
        return b"%s %016x " % (before, number)

    def tell(self, number: int) -> None:
        """The change of that number."""
        self.say(self.chain(number) + encode_notice(change(number), "publisher", None))

    def say(self, data: bytes) -> None:
        """Anything."""
        assert self.client.publish(CHANNEL, data) > 0


async def test_a_killed_redis_is_missed_and_its_return_is_a_gap(own_redis: RedisServer) -> None:
    """All shows without a heartbeat, both times, and then confirmations are complete again."""
    async with hearers(own_redis.url, "a", "b") as (a, b):
        assert await a.bus.confirm(change(1), PATIENCE) == Confirmations(2, 2)
        own_redis.kill()
        await asyncio.gather(*(each.connected(False) for each in (a, b)))
        await until(lambda: not a.connection.is_up and not b.connection.is_up)
        assert not a.bus.is_connected

        own_redis.restart()
        await asyncio.gather(*(each.connected() for each in (a, b)))

        assert (a.gaps, b.gaps) == (2, 2)
        told = await a.bus.confirm(change(2), PATIENCE)
        assert (told.known, told.confirmed) == (2, 2)
        assert b.applied == [change(1), change(2)]


async def test_a_hung_redis_shows_and_so_does_its_going_on(own_redis: RedisServer) -> None:
    """A connection that is merely open is no connection."""
    async with hearers(own_redis.url, "a", "b", heartbeat=SHORT, timeout=SHORT) as (a, b):
        own_redis.pause()
        await asyncio.gather(*(each.connected(False) for each in (a, b)))

        own_redis.resume()
        async with asyncio.timeout(PATIENCE):
            while not await confirms(a, 2):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

        assert min(a.gaps, b.gaps) >= 2


async def confirms(asking: Hearer, replicas: int) -> bool:
    """Whether so many replicas confirm a change within a second."""
    with suppress(RedisUnavailable):
        return await asking.bus.confirm(change(2), 1.0) == Confirmations(replicas, replicas)
    return False


async def test_a_lost_subscription_is_made_again(own_redis: RedisServer) -> None:
    """With a gap, for Redis was there all the time and others may have told something."""
    async with hearers(own_redis.url, "a", "b") as (a, b):
        for turn in range(2, 5):
            with own_redis.client() as client:
                client.client_kill_filter(_type="pubsub")
            await until(lambda turn=turn: min(a.gaps, b.gaps) == turn)  # type: ignore[misc]
            assert await a.bus.confirm(change(turn), PATIENCE) == Confirmations(2, 2)

        assert b.applied == [change(turn) for turn in range(2, 5)]


async def test_a_flushed_redis_is_a_gap(own_redis: RedisServer) -> None:
    """No connection breaks, but the last notice is another one; everybody is known again."""
    async with hearers(own_redis.url, "a", "b") as (a, b):
        for number in range(3):
            await a.bus.announce(change(number))
        await until(lambda: len(b.applied) == 3)

        own_redis.flush()

        await beats(a, b)
        await until(lambda: min(a.gaps, b.gaps) == 2)
        told = await a.bus.confirm(change(3), PATIENCE)
        assert (told.known, told.confirmed) == (2, 2)
        assert (a.gaps, b.gaps) == (2, 2)


async def test_a_message_lost_before_another_is_a_gap(own_redis: RedisServer) -> None:
    """At once, when the other comes; and only once."""
    with own_redis.client() as client:
        publisher = Publisher(client)
        async with hearer(own_redis.url) as a:
            publisher.chain(1)
            publisher.tell(2)
            await until(lambda: a.applied == [change(2)])
            assert a.gaps == 2

            publisher.tell(3)
            await until(lambda: len(a.applied) == 2)
            await beats(a)
            assert a.gaps == 2


async def test_a_message_lost_at_the_end_is_a_gap(own_redis: RedisServer) -> None:
    """Within a few heartbeats, though nothing more is told; and only once."""
    with own_redis.client() as client:
        async with hearer(own_redis.url) as a:
            Publisher(client).chain(1)

            await beats(a)
            assert a.gaps == 2
            await beats(a)
            assert a.gaps == 2


async def beats(*replicas: Hearer) -> None:
    """Let a heartbeat of each come, and another: what the first heard of has arrived by then."""
    for _ in range(2):
        spoken = {each: each.spoken for each in replicas}
        await beat()
        await until(lambda spoken=spoken: all(each.spoken > spoken[each] for each in spoken))  # type: ignore[misc]
        for _ in range(10):  # who asked reads the answer some turns of the loop after it came
            await asyncio.sleep(0)


GARBAGE = [
    b"",
    b"\x00\xff" * 50,
    b"1 {}",
    b"7 " + b"[" * 100_000,
    b'9 {"schema":2,"sender":"x"}',
    b"x" * 1_000_000,
]


async def test_garbage_does_no_harm(own_redis: RedisServer) -> None:
    """It is told each time, on both channels, and what makes sense is heard in between."""
    with own_redis.client() as client:
        publisher = Publisher(client)
        async with hearers(own_redis.url, "a", "b") as (a, b):
            for turn, data in enumerate(GARBAGE, start=1):
                publisher.say(data)
                assert client.publish(ear(PREFIX, "a"), data) == 1
                assert await a.bus.confirm(change(turn), PATIENCE) == Confirmations(2, 2)

            assert len(a.observer.of("bus_failed")) == 2 * len(GARBAGE)
            assert len(b.observer.of("bus_failed")) == len(GARBAGE)
            assert (a.gaps, b.gaps) == (1, 1)
            assert a.bus.is_connected
            assert b.bus.is_connected


async def test_what_a_later_release_tells_is_a_gap(own_redis: RedisServer) -> None:
    """Set aside, not confirmed, and what may have become wrong by it is suspected."""
    with own_redis.client() as client:
        publisher = Publisher(client)
        async with hearer(own_redis.url) as a:
            publisher.say(publisher.chain(1) + b'{"schema":3,"all":"new"}')

            await beats(a)
            assert a.gaps == 2
            assert a.observer.of("bus_failed") == [("schema",)]


async def test_forged_answers_do_not_count(own_redis: RedisServer) -> None:
    """Only replicas in the record confirm, each once."""
    with own_redis.client() as client:
        async with hearer(own_redis.url) as a:
            client.hset(RECORD, "m:gone", WORD)
            last = client.hget(RECORD, "last")
            asked = asyncio.create_task(a.bus.confirm(PURGE, PATIENCE))
            await until(lambda: client.hget(RECORD, "last") != last)
            for sender in ("stranger", "a"):
                client.publish(ear(PREFIX, "a"), encode_acknowledgement(Acknowledgement(sender, 0)))
            # What cannot be read comes after them, and is told.
            client.publish(ear(PREFIX, "a"), b"")
            await until(lambda: len(a.observer.of("bus_failed")) == 1)

            await pass_time(PATIENCE)
            told = await asked
            assert (told.known, told.confirmed) == (2, 1)


@pytest.mark.parametrize("word", ["not a word", "9" * 17, "g" * 16, ""])
@pytest.mark.parametrize("field", ["life", "last", None])
async def test_a_foreign_record_is_written_over(
    own_redis: RedisServer, field: str | None, word: str
) -> None:
    """At the next heartbeat: it would keep all from hearing for as long as it stands."""
    with own_redis.client() as client:
        async with hearer(own_redis.url) as a:
            client.hset(RECORD, field, word) if field else client.set(RECORD, word)
            await beat()
            await until(lambda: client.type(RECORD) == b"hash" and client.hlen(RECORD) == 3)

            assert (await a.bus.confirm(change(1), PATIENCE)).confirmed == 1
            assert a.observer.of("redis_failed") == []


async def test_a_bus_without_news_is_silent(own_redis: RedisServer) -> None:
    """Heartbeats are no messages, and no gap comes of silence."""
    with own_redis.client() as client:
        async with hearers(own_redis.url, "a", "b") as replicas:
            eavesdropper = client.pubsub(ignore_subscribe_messages=True)
            eavesdropper.psubscribe("*")
            eavesdropper.get_message(timeout=10.0)
            await beats(*replicas)
            await beats(*replicas)

            assert eavesdropper.get_message(timeout=0.1) is None
            assert [each.gaps for each in replicas] == [1, 1]
            assert all(each.bus.is_connected for each in replicas)
            eavesdropper.close()


Trouble = Callable[[RedisServer], None]


@pytest.mark.parametrize("trouble", [RedisServer.kill, RedisServer.pause])
async def test_the_end_does_not_wait_for_redis(own_redis: RedisServer, trouble: Trouble) -> None:
    """Leaving is tried once, within the timeout."""
    async with hearer(own_redis.url, timeout=SHORT) as a:
        trouble(own_redis)
        began = time.monotonic()

    assert time.monotonic() - began < 10 * SHORT
    assert not a.bus.is_connected


@pytest.mark.parametrize("trouble", [RedisServer.kill, RedisServer.pause])
async def test_the_start_does_not_wait_for_redis(own_redis: RedisServer, trouble: Trouble) -> None:
    """The bus comes up when Redis does."""
    trouble(own_redis)
    late = Hearer(own_redis.url, "late", heartbeat=SHORT, timeout=SHORT)
    tasks = [
        asyncio.create_task(late.connection.run()),
        asyncio.create_task(late.bus.listen(late.apply, late.gap)),
    ]
    await until(lambda: len(late.observer.of("redis_failed")) > 1)
    assert (late.bus.is_connected, late.gaps) == (False, 0)

    own_redis.resume() if own_redis.running else own_redis.start()
    await until(lambda: late.gaps > 0)

    for task in reversed(tasks):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await late.connection.close()
