"""Connection: what is refused at once, what reaches whoever watches, and Redis' clock."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway.adapters.redis.connect.connection import Connection
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.support.redis_acl import without

LOOKUP = RedisOperation.LOOKUP


async def ask(connection: Connection, *command: str) -> Any:
    """What Redis answers."""

    async def send(client: Any) -> Any:
        return await client.execute_command(*command)

    return await connection.execute(LOOKUP, send)


async def test_before_the_first_look_every_call_fails_at_once(redis_url: str) -> None:
    """Connecting is not the business of a request."""
    connection = Connection(redis_url, RealClock(), RecordingObserver(), timeout=30.0)

    with pytest.raises(RedisUnavailable):
        await ask(connection, "PING")

    await connection.close()


async def test_a_look_finds_redis(redis_url: str) -> None:
    """With the time that the look took; that it is there from the start is no news."""
    observer = RecordingObserver()
    connection = Connection(without(redis_url), RealClock(), observer, timeout=30.0)

    assert await connection.check()
    assert await connection.check()

    assert await ask(connection, "ECHO", "a") == b"a"
    assert observer.of("redis_moved") == []
    assert [operation for operation, _ in observer.of("redis_timed")] == ["ping", "ping", "lookup"]
    await connection.close()


async def test_redis_clock_is_told(redis_url: str) -> None:
    """With each look, and what the asking took."""
    heard: list[tuple[float, float]] = []
    connection = Connection(
        redis_url,
        RealClock(),
        RecordingObserver(),
        timeout=30.0,
        on_time=lambda *times: heard.append(times),
    )

    await connection.check()

    ((seconds, round_trip),) = heard
    assert abs(seconds - time.time()) < 20.0
    assert 0.0 < round_trip < 20.0
    await connection.close()


async def test_more_callers_than_connections_wait_their_turn(redis_url: str) -> None:
    """Redis sees no more connections than were allowed."""
    connection = Connection(
        without(redis_url), RealClock(), RecordingObserver(), timeout=30.0, connections=3
    )
    await connection.check()

    answers = await asyncio.gather(*(ask(connection, "ECHO", str(n)) for n in range(50)))

    assert answers == [b"%d" % n for n in range(50)]
    clients = await ask(connection, "CLIENT", "LIST")
    assert clients.count(b"cmd=") <= 4
    await connection.close()
