"""RedisLease on a real Redis: what stands there, for how long, and who is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from gateway.adapters.redis.keys import ear
from gateway.core.cache.entry import Key
from gateway.core.vocabulary import EndingKind, RedisOperation
from gateway.ports import Ending
from tests.doubles.hearer import PREFIX, Hearer, hearers, until
from tests.support.servers import RedisServer

KEY = Key("p1", "trn_1")
LEASE = "gateway:g2:{trn_1}:l:p1"
FOLLOWERS = "gateway:g2:{trn_1}:q:p1"
DONE = Ending(EndingKind.DONE)
GONE = Ending(EndingKind.GONE)


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[tuple[Hearer, Hearer]]:
    """Two replicas."""
    async with hearers(redis_url, "a", "b") as (a, b):
        yield a, b


@pytest.fixture
def client(redis_server: RedisServer) -> redis.Redis:
    """A look past the gateway; a single one is made and closed by its connection pool."""
    return redis_server.client()


@contextmanager
def _eavesdropper(client: redis.Redis, channels: str) -> Iterator[Any]:
    """Hears all that is said on the channels."""
    found: Any = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    with found:
        found.psubscribe(channels)
        found.get_message(timeout=1.0)
        yield found


async def test_all_keys_share_a_slot_and_go_by_themselves(
    pair: tuple[Hearer, Hearer], client: redis.Redis
) -> None:
    """Whatever a script touches has the training's hash tag, and whatever stands an expiry."""
    a, b = pair
    await a.lease.take(KEY)
    await b.lease.take(KEY)

    with client:
        keys = set(map(_text, client.keys("*trn_1*")))
        assert keys == {LEASE, FOLLOWERS, "gateway:g2:{trn_1}:m"}
        assert all(client.pttl(key) > 0 for key in keys)
        assert 2_000 < client.pttl(LEASE) <= 3_000


async def test_renewing_sets_the_whole_lifetime_again(
    pair: tuple[Hearer, Hearer], client: redis.Redis
) -> None:
    """Counted from the renewal."""
    a, _ = pair
    token = (await a.lease.take(KEY)).token
    with client:
        client.pexpire(LEASE, 500)

        assert await a.lease.renew(KEY, token)

        assert client.pttl(LEASE) > 2_000


async def test_where_nobody_follows_nothing_is_said_and_nothing_stays(
    pair: tuple[Hearer, Hearer], client: redis.Redis
) -> None:
    """Steady traffic leaves no trace."""
    a, _ = pair
    with client, _eavesdropper(client, f"{PREFIX}:bus:*") as eavesdropper:
        for _ in range(5):
            token = (await a.lease.take(KEY)).token
            await a.lease.release(KEY, token, DONE)

        assert eavesdropper.get_message(timeout=0.2) is None
        assert client.exists(LEASE, FOLLOWERS) == 0


async def test_only_followers_are_told(redis_server: RedisServer) -> None:
    """Each once, on the channel that it listens to anyway; the list is done with after that."""
    redis_server.flush()
    async with hearers(redis_server.url, "a", "b", "c") as (a, b, _):
        with (
            redis_server.client() as client,
            _eavesdropper(client, f"{PREFIX}:bus*") as eavesdropper,
        ):
            token = (await a.lease.take(KEY)).token
            for _ in range(3):
                await b.lease.take(KEY)

            await a.lease.release(KEY, token, DONE)

            heard = eavesdropper.get_message(timeout=5.0)
            assert heard is not None
            assert heard["channel"].decode() == ear(PREFIX, "b")
            assert eavesdropper.get_message(timeout=0.2) is None
            assert client.exists(FOLLOWERS) == 0
            assert 0 < client.pttl(LEASE) <= 3_000


async def test_who_looks_is_told_again(pair: tuple[Hearer, Hearer], client: redis.Redis) -> None:
    """The list of followers lasts as long as they look."""
    a, b = pair
    token = (await a.lease.take(KEY)).token
    await b.lease.take(KEY)
    with client:
        client.delete(FOLLOWERS)

        assert await b.lease.watch(KEY, token, 0.0) is None

        assert client.smembers(FOLLOWERS) == {b"b"}


@pytest.mark.parametrize("record", ["", "held", "held xyz", "ended", "ended 0000000000000000 "])
async def test_a_record_that_is_none_is_no_lease(
    pair: tuple[Hearer, Hearer], client: redis.Redis, record: str
) -> None:
    """Whoever asks leads."""
    with client:
        client.set(LEASE, record)

    assert (await pair[0].lease.take(KEY)).leads


async def test_what_another_release_left_is_an_ending_all_the_same(
    pair: tuple[Hearer, Hearer], client: redis.Redis
) -> None:
    """Its words are not understood: a follower elects again, and the bus goes on."""
    a, b = pair
    token = (await a.lease.take(KEY)).token
    await b.lease.take(KEY)
    with client:
        message = f'ended {token} [2,{{"kind":"new"}}]'
        client.set(LEASE, message)
        client.publish(ear(PREFIX, "b"), message)
    await until(lambda: bool(b.observer.of("bus_failed")))

    assert await b.lease.watch(KEY, token, 0.0) == GONE
    assert b.bus.is_connected


async def test_a_foreign_key_is_written_over(
    pair: tuple[Hearer, Hearer], client: redis.Redis
) -> None:
    """Nobody holds the lease that stands there."""
    with client:
        client.lpush(LEASE, "not ours")

        assert (await pair[0].lease.take(KEY)).leads
        assert client.type(LEASE) == b"string"


async def test_a_lease_and_the_marks_are_asked_for_together(pair: tuple[Hearer, Hearer]) -> None:
    """Redis is asked about the lease, and about the marks of everything and of the partition."""
    a, _ = pair
    before = _asked(a)
    await a.lease.take(KEY)

    assert _asked(a) - before == Counter({RedisOperation.LEASE: 3})


def _asked(one: Hearer) -> Counter[object]:
    """How often Redis answered what a fetch asks before it begins."""
    asked = (operation for operation, _ in one.observer.of("redis_timed"))
    return Counter(each for each in asked if each in (RedisOperation.LEASE, RedisOperation.BEGIN))


def _text(name: bytes | str) -> str:
    return name if isinstance(name, str) else name.decode()


@pytest.mark.parametrize("keep", [None, 600_000])
async def test_a_lease_that_does_not_end_soon_is_nobodys(
    pair: tuple[Hearer, Hearer], client: redis.Redis, keep: int | None
) -> None:
    """A foreign hand wrote it, or an expiry was lost: all would wait for it until they are late."""
    a, _ = pair
    await a.lease.take(KEY)
    with client:
        record = client.get(LEASE)
        assert isinstance(record, bytes)
        client.set(LEASE, record, px=keep)

        held = await a.lease.take(KEY)

        assert held.leads
        assert 0 < int(client.pttl(LEASE)) <= 30_000
