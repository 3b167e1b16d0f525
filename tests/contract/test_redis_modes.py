"""The mode in Redis: kept as ordered, and whatever else stands there is set aside."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.mode_store import RedisMode
from gateway.core.vocabulary import Mode
from gateway.ports import ModeOrder
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.support.redis_cluster import client_of

NAME = "gateway:{mode}:m"


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[Connection]:
    """A patient connection to an empty Redis."""
    connection = Connection(redis_url, RealClock(), RecordingObserver(), timeout=30.0)
    assert await connection.check()
    yield connection
    await connection.close()


async def test_what_is_ordered_is_read(connection: Connection) -> None:
    """By every replica; nothing before the first order."""
    one, other = RedisMode(connection, "gateway"), RedisMode(connection, "gateway")
    assert await one.read() is None

    for mode in Mode:
        await one.write(ModeOrder(mode, 1_700_000_000.25, "on-call"))
        assert await other.read() == ModeOrder(mode, 1_700_000_000.25, "on-call")


async def test_a_mode_alone_is_an_order_of_nobody_known(
    connection: Connection, redis_url: str
) -> None:
    """As the release before or somebody by hand sets it: what is known of another mode's order,
    or is garbage, is not taken for this one's."""
    shared = RedisMode(connection, "gateway")
    await shared.write(ModeOrder(Mode.NORMAL, 1.5, "on-call"))
    with client_of(redis_url) as client:
        client.set(NAME, b"frozen")
        assert await shared.read() == ModeOrder(Mode.FROZEN)

        for garbage in (b"", b"frozen", b"frozen 1.000", b"frozen 1.000 a b", b"frozen x y"):
            client.set(f"{NAME[:-1]}o", garbage)
            assert await shared.read() == ModeOrder(Mode.FROZEN)

        await shared.write(ModeOrder(Mode.NORMAL))
        assert client.get(NAME) == b"normal"
        assert await shared.read() == ModeOrder(Mode.NORMAL)


async def test_what_is_no_mode_is_set_aside(connection: Connection, redis_url: str) -> None:
    """As if nothing was ordered; the next order takes its place."""
    shared = RedisMode(connection, "gateway")
    with client_of(redis_url) as client:
        client.set(NAME, b"bypass")  # a mode of an earlier release
        assert await shared.read() is None
        client.set(NAME, b"thawed\xff")
        assert await shared.read() is None
        client.delete(NAME)
        client.rpush(NAME, b"frozen")
        assert await shared.read() is None

    await shared.write(ModeOrder(Mode.FROZEN))

    assert await shared.read() == ModeOrder(Mode.FROZEN)


async def test_it_expires_once_nobody_looks(connection: Connection, redis_url: str) -> None:
    """Each look keeps it for a month more."""
    shared = RedisMode(connection, "gateway")
    await shared.write(ModeOrder(Mode.FROZEN))
    with client_of(redis_url) as client:
        client.expire(NAME, 10)
        await shared.read()
        assert client.ttl(NAME) > 86_400
