"""One node: what is an outage and what is not, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio as driver

from gateway.adapters.redis.connection import Connection
from gateway.core.errors import RedisUnavailable
from gateway.core.status import RedisOperation
from tests.acl import without
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.servers import RedisServer, free_port

LOOKUP = RedisOperation.LOOKUP


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
