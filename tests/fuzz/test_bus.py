"""Garbage on the channels of a real bus: what is good among it arrives all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.redis.keys import ear
from gateway.adapters.redis.messages import encode_notice
from tests.doubles.hearer import CHANNEL, PREFIX, RECORD, WORD, Hearer, beat, change, hearer, until
from tests.fuzz.examples import times
from tests.fuzz.test_records import messages
from tests.fuzz.test_redis import garbage, put
from tests.support.servers import RedisServer


@pytest.fixture
async def heard(redis_url: str) -> AsyncIterator[Hearer]:
    """A replica that hears."""
    async with hearer(redis_url) as one:
        yield one


@pytest.fixture
def client(heard: Hearer, redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Whoever else can publish there."""
    del heard
    with redis_server.client() as client:
        yield client


@times(100)
@given(st.lists(st.tuples(st.booleans(), messages), max_size=12), st.integers(0, 10**9))
async def test_good_notices_arrive_between_bad_ones(
    heard: Hearer, client: redis.Redis, told: list[tuple[bool, bytes]], number: int
) -> None:
    """On the channel of all and on its own; the subscription is never lost."""
    good = change(number)
    heard.applied.clear()
    with client.pipeline(transaction=False) as pipe:
        for to_all, data in told:
            pipe.publish(CHANNEL if to_all else ear(PREFIX, "a"), data)
        envelope = f"{WORD} {number:016x} ".encode()
        pipe.publish(CHANNEL, envelope + encode_notice(good, "publisher", None))
        pipe.execute()

    await until(lambda: good in heard.applied)

    assert heard.bus.is_connected
    assert heard.observer.of("redis_moved") == []


@times(25)
@given(garbage)
async def test_the_bus_comes_back_from_any_garbage(
    heard: Hearer, client: redis.Redis, what: tuple[str | None, bytes]
) -> None:
    """At the next heartbeat the replica is in the record again, and can tell something."""
    put(client, RECORD.encode(), what)
    before = heard.spoken
    await beat()
    await until(lambda: heard.spoken > before)

    await heard.bus.announce(change(1))

    assert client.hexists(RECORD, "m:a")
    assert client.hget(RECORD, "last") != WORD.encode()
