"""One node: what is an outage and what is not, and what is told of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import redis.asyncio as driver

from gateway.adapters.redis.connect.connection import Connection
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.support.redis_acl import without
from tests.support.servers import RedisServer, free_port

LOOKUP = RedisOperation.LOOKUP
# A deadline that a test waits out; and what a busy machine adds to none.
SHORT = 0.3
LONG = 30.0


@asynccontextmanager
async def found(
    server: RedisServer, timeout: float
) -> AsyncIterator[tuple[Connection, RecordingObserver]]:
    """A connection that has found its Redis. A watch would look only where it is asked to."""
    observer = RecordingObserver()
    connection = Connection(
        without(server.url), RealClock(), observer, timeout=timeout, look_every=20 * LONG
    )
    try:
        assert await connection.check()
        yield connection, observer
    finally:
        await connection.close()


async def turns_away(connection: Connection) -> None:
    """Return once it counts as away."""
    async with asyncio.timeout(LONG):
        while connection.is_up:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.01)


async def ask(connection: Connection, *command: str) -> Any:
    """What Redis answers."""

    async def send(client: Any) -> Any:
        return await client.execute_command(*command)

    return await connection.execute(LOOKUP, send)


async def test_nobody_there_is_told_once() -> None:
    """Every look fails, the news is one."""
    observer = RecordingObserver()
    url = f"redis://127.0.0.1:{free_port()}"
    connection = Connection(url, RealClock(), observer, timeout=1.0)

    assert not await connection.check()
    assert not await connection.check()

    assert observer.of("redis_moved") == [(False,)]
    told = [str(why) for _, why in observer.of("redis_failed")]
    assert len(told) == 2
    assert all(why.startswith("ConnectionError: ") for why in told)
    await connection.close()


async def test_a_refused_command_is_no_outage(redis_url: str) -> None:
    """It fails, and Redis stays up."""
    observer = RecordingObserver()
    connection = Connection(without(redis_url), RealClock(), observer, timeout=30.0)
    await connection.check()

    with pytest.raises(RedisUnavailable):
        await ask(connection, "NO-SUCH-COMMAND")

    assert connection.is_up
    assert observer.of("redis_failed") == [("lookup", "ResponseError")]
    await connection.close()


async def test_a_reply_that_cannot_be_read_is_a_failure_of_redis(redis_url: str) -> None:
    """Whoever answers there may be no Redis of ours."""
    connection = Connection(without(redis_url), RealClock(), RecordingObserver(), timeout=30.0)
    await connection.check()

    async def read_badly(client: driver.Redis) -> int:
        return int(await client.echo("no number"))

    with pytest.raises(RedisUnavailable):
        await connection.execute(LOOKUP, read_badly)
    await connection.close()


async def test_a_wrong_password_is_an_outage_without_the_password(own_redis: RedisServer) -> None:
    """It is told in Redis' words, which do not repeat what it was sent."""
    with own_redis.client() as client:
        client.config_set("requirepass", "right")
    observer = RecordingObserver()
    url = without(own_redis.url).replace("//", "//:hunter2@")
    connection = Connection(url, RealClock(), observer, timeout=30.0)

    assert not await connection.check()

    ((_, why),) = observer.of("redis_failed")
    assert str(why).startswith("AuthenticationError: invalid username-password pair")
    assert "hunter2" not in str(why)
    await connection.close()


async def test_a_stall_of_ours_is_no_fault_of_redis(own_redis: RedisServer) -> None:
    """Its answer lies in the socket, ten deadlines later."""
    async with found(own_redis, 0.05) as (connection, observer):
        asked = asyncio.ensure_future(ask(connection, "ECHO", "a"))
        for _ in range(5):
            await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251 - the stall

        assert await asked == b"a"
        assert observer.of("redis_failed") == []


async def test_a_late_answer_is_one_failed_operation(own_redis: RedisServer) -> None:
    """Redis is asked again as soon as it has answered a look, and never called away."""
    async with found(own_redis, SHORT) as (connection, observer):
        own_redis.pause()
        with pytest.raises(RedisUnavailable):
            await ask(connection, "ECHO", "a")
        own_redis.resume()

        answer = await answer_at_last(connection)

        assert answer == b"b"
        assert observer.of("redis_moved") == []
        assert next(operation for operation, _ in observer.of("redis_failed")) == "lookup"


async def answer_at_last(connection: Connection) -> Any:
    """What Redis answers, asking until it does."""
    async with asyncio.timeout(LONG):
        while True:
            with suppress(RedisUnavailable):
                return await ask(connection, "ECHO", "b")
            await asyncio.sleep(0.01)


async def test_a_hung_redis_is_away_after_one_look(own_redis: RedisServer) -> None:
    """The first operation that got no answer in time asks for it. Later callers wait for
    nothing."""
    async with found(own_redis, SHORT) as (connection, observer):
        watching = asyncio.create_task(connection.run())
        while len(observer.of("redis_timed")) < 2:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.01)
        own_redis.pause()
        asked = [ask(connection, "ECHO", "a") for _ in range(50)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        await turns_away(connection)
        with pytest.raises(RedisUnavailable, match="it is away"):
            await ask(connection, "ECHO", "a")
        watching.cancel()

        assert {type(answer) for answer in answers} == {RedisUnavailable}
        failed = [operation for operation, _ in observer.of("redis_failed")]
        assert (failed.count("lookup"), failed.count("ping")) == (50, 1)
        assert observer.of("redis_moved") == [(False,)]
        own_redis.resume()


async def test_a_look_may_be_slower_than_an_operation(own_redis: RedisServer) -> None:
    """A moment in which Redis answers nobody is no outage."""
    async with found(own_redis, 2.0) as (connection, observer):
        own_redis.pause()
        look = asyncio.create_task(connection.check())
        await asyncio.sleep(3.0)
        own_redis.resume()

        assert await look
        assert observer.of("redis_failed") == []


async def test_a_look_does_not_wait_behind_operations(own_redis: RedisServer) -> None:
    """That all connections are in use says nothing about Redis."""
    async with found(own_redis, 1.0) as (connection, observer):

        async def wait_long(client: Any) -> Any:
            return await client.execute_command("BLPOP", "none", 30)

        busy = [asyncio.ensure_future(connection.execute(LOOKUP, wait_long)) for _ in range(20)]
        await asyncio.sleep(0.1)

        assert await connection.check()
        assert observer.of("redis_failed") == []
        for each in busy:
            each.cancel()
        await asyncio.gather(*busy, return_exceptions=True)


async def test_a_redis_that_cannot_be_written_is_away(own_redis: RedisServer) -> None:
    """At its `maxmemory` it reads and pings; it is back once a look could write."""
    async with found(own_redis, LONG) as (connection, observer):
        with own_redis.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
        with pytest.raises(RedisUnavailable, match="OutOfMemoryError: Redis refuses writes"):
            await ask(connection, "SET", "gateway:a", "b")
        assert not connection.is_up
        assert not await connection.check()

        with own_redis.client() as client:
            client.config_set("maxmemory", 0)
        assert await connection.check()

        assert observer.of("redis_moved") == [(False,), (True,)]


async def test_a_look_finds_that_redis_cannot_be_written(own_redis: RedisServer) -> None:
    """Before anybody has to write; so for want of a replica, too."""
    async with found(own_redis, LONG) as (connection, observer):
        with own_redis.client() as client:
            client.config_set("min-replicas-to-write", 1)

        assert not await connection.check()

        assert observer.of("redis_moved") == [(False,)]


async def test_the_first_look_has_a_time_of_its_own(own_redis: RedisServer) -> None:
    """Redis perhaps starts just now. A refusal ends the wait."""
    observer = RecordingObserver()
    hung = Connection(own_redis.url, RealClock(), observer, timeout=0.05)
    own_redis.pause()
    look = asyncio.create_task(hung.check(LONG))
    await asyncio.sleep(0.5)
    assert not look.done()
    own_redis.resume()

    assert await look
    assert observer.of("redis_moved") == []
    await hung.close()
