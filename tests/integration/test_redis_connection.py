"""Connection: what is refused at once, what reaches whoever watches, and Redis' clock."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import redis.asyncio as driver

from gateway.adapters.redis.connection import Connection, Script
from gateway.core.errors import RedisUnavailable
from gateway.core.status import RedisOperation
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.servers import RedisServer, free_port

LOOKUP = RedisOperation.LOOKUP


async def ask(connection: Connection, *command: str) -> Any:
    """What Redis answers."""

    async def send(client: Any) -> Any:
        return await client.execute_command(*command)

    return await connection.execute(LOOKUP, send)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+cluster://a", "reached by one of"),
        ("http://secret@a", "redis://"),
        ("", "redis://"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, says: str) -> None:
    """With what would be one, and without repeating it."""
    with pytest.raises(ValueError, match=says) as refused:
        Connection(url, RealClock(), RecordingObserver())

    assert "secret" not in str(refused.value)


async def test_before_the_first_look_every_call_fails_at_once(redis_url: str) -> None:
    """Connecting is not the business of a request."""
    connection = Connection(redis_url, RealClock(), RecordingObserver(), timeout=30.0)

    with pytest.raises(RedisUnavailable):
        await ask(connection, "PING")

    await connection.close()


async def test_a_look_finds_redis(redis_url: str) -> None:
    """With the time that the look took; that it is there from the start is no news."""
    observer = RecordingObserver()
    connection = Connection(redis_url, RealClock(), observer, timeout=30.0)

    assert await connection.check()
    assert await connection.check()

    assert await ask(connection, "ECHO", "a") == b"a"
    assert observer.of("redis_moved") == []
    assert [operation for operation, _ in observer.of("redis_timed")] == ["ping", "ping", "lookup"]
    await connection.close()


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
    connection = Connection(redis_url, RealClock(), observer, timeout=30.0)
    await connection.check()

    with pytest.raises(RedisUnavailable):
        await ask(connection, "NO-SUCH-COMMAND")

    assert connection.is_up
    assert observer.of("redis_failed") == [("lookup", "ResponseError")]
    await connection.close()


async def test_a_reply_that_cannot_be_read_is_a_failure_of_redis(redis_url: str) -> None:
    """Whoever answers there may be no Redis of ours."""
    connection = Connection(redis_url, RealClock(), RecordingObserver(), timeout=30.0)
    await connection.check()

    async def read_badly(client: driver.Redis) -> int:
        return int(await client.echo("no number"))

    with pytest.raises(RedisUnavailable):
        await connection.execute(LOOKUP, read_badly)
    await connection.close()


async def test_a_script_is_loaded_where_it_is_unknown(redis_server: RedisServer) -> None:
    """Also after Redis has forgotten it."""
    redis_server.flush()
    connection = Connection(redis_server.url, RealClock(), RecordingObserver(), timeout=30.0)
    await connection.check()
    script = Script("local t = redis.call('TIME'); return {t[1], t[2], ARGV[1]}", "0" * 40)

    for _ in range(2):
        reply = await connection.run_script(LOOKUP, script, (), ("a",), lambda reply: reply[0])
        assert reply == b"a"
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
        redis_url, RealClock(), RecordingObserver(), timeout=30.0, connections=3
    )
    await connection.check()

    answers = await asyncio.gather(*(ask(connection, "ECHO", str(n)) for n in range(50)))

    assert answers == [b"%d" % n for n in range(50)]
    clients = await ask(connection, "CLIENT", "LIST")
    assert clients.count(b"cmd=") <= 4
    await connection.close()


async def test_a_wrong_password_is_an_outage_without_the_password(own_redis: RedisServer) -> None:
    """It is told in Redis' words, which do not repeat what it was sent."""
    with own_redis.client() as client:
        client.config_set("requirepass", "right")
    observer = RecordingObserver()
    url = own_redis.url.replace("//", "//:hunter2@")
    connection = Connection(url, RealClock(), observer, timeout=30.0)

    assert not await connection.check()

    ((_, why),) = observer.of("redis_failed")
    assert str(why).startswith("AuthenticationError: invalid username-password pair")
    assert "hunter2" not in str(why)
    await connection.close()
