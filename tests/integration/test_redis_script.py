"""Scripts: sent once, again where a Redis has forgotten them, and together with others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.support import redis_acl
from tests.support.redis_writes import Written, written
from tests.support.servers import RedisServer

__all__ = ["written"]  # the fixture

LOOKUP = RedisOperation.LOOKUP
# Answers what it was handed, and counts its runs under its key.
ECHO = "local t = redis.call('TIME'); redis.call('INCR', KEYS[1]); return {t[1], t[2], ARGV[1]}"
REFUSED = "return redis.error_reply('WRONG nothing to be done')"
UNWRITABLE = "return redis.error_reply('MISCONF no disk')"
SHORT = "local t = redis.call('TIME'); return {t[1], t[2]}"


def script_of(text: str) -> Script:
    """Known to Redis by another name than its own, so that no other test has loaded it."""
    return Script(text, "0" * 40)


@asynccontextmanager
async def found(server: RedisServer) -> AsyncIterator[tuple[Connection, RecordingObserver]]:
    """A connection that has asked its Redis something, whose scripts are forgotten. Its keys and
    scripts are the test's own, so it has the rights of Redis' own user."""
    server.flush()
    observer = RecordingObserver()
    connection = Connection(redis_acl.without(server.url), RealClock(), observer, timeout=30.0)
    await connection.check()
    await run(connection, script_of(SHORT), read=len)
    observer.calls.clear()
    try:
        yield connection, observer
    finally:
        await connection.close()


async def run(
    connection: Connection,
    script: Script,
    argument: str | bytes = "a",
    *,
    operation: RedisOperation = LOOKUP,
    read: Any = lambda reply: reply[0],
) -> Any:
    """What it answers."""
    return await connection.run_script(operation, script, ("k",), (argument,), read)


async def together(*runs: Awaitable[Any]) -> list[Any]:
    """What each of one turn comes to, an error among them."""
    return await asyncio.gather(*runs, return_exceptions=True)


def known(server: RedisServer, text: str) -> Script:
    """The script, and Redis remembers it."""
    with server.client() as client:
        return Script(text, str(client.script_load(text)))


async def test_a_script_is_loaded_where_it_is_unknown(redis_server: RedisServer) -> None:
    """Also after Redis has forgotten it."""
    async with found(redis_server) as (connection, _):
        script = script_of(ECHO)

        for _ in range(2):
            assert await run(connection, script) == b"a"


async def test_scripts_of_one_turn_are_one_round_trip(
    redis_server: RedisServer, written: Written
) -> None:
    """Whatever they are and are for: each caller gets its own answer, and each is timed."""
    async with found(redis_server) as (connection, observer):
        echo, short = known(redis_server, ECHO), known(redis_server, SHORT)
        written.clear()

        answers = await asyncio.gather(
            *(run(connection, echo, str(n)) for n in range(20)),
            run(connection, short, operation=RedisOperation.STORE, read=len),
        )

        assert answers == [*(b"%d" % n for n in range(20)), 0]
        assert written == {redis_server.port: 1}
        timed = [operation for operation, _ in observer.of("redis_timed")]
        assert timed == [LOOKUP] * 20 + [RedisOperation.STORE]


async def test_many_scripts_are_several_round_trips(
    redis_server: RedisServer, written: Written
) -> None:
    """So that each reply comes in time."""
    async with found(redis_server) as (connection, _):
        echo = known(redis_server, ECHO)
        written.clear()

        await asyncio.gather(*(run(connection, echo) for _ in range(120)))

        assert written == {redis_server.port: 3}


async def test_a_large_argument_holds_nobody_up(
    redis_server: RedisServer, written: Written
) -> None:
    """It has a round trip of its own."""
    async with found(redis_server) as (connection, _):
        echo = known(redis_server, ECHO)
        written.clear()

        large, *small = await asyncio.gather(
            run(connection, echo, b"x" * 20_000), *(run(connection, echo) for _ in range(3))
        )

        assert (len(large), small) == (20_000, [b"a"] * 3)
        assert written == {redis_server.port: 2}


async def test_forgotten_scripts_of_one_turn_are_sent_once_more(
    redis_server: RedisServer, written: Written
) -> None:
    """All in one round trip, and the others are not run again."""
    async with found(redis_server) as (connection, observer):
        echo, forgotten = known(redis_server, ECHO), Script(ECHO + " ", "1" * 40)
        written.clear()

        answers = await together(
            run(connection, echo, "a"),
            run(connection, forgotten, "b"),
            run(connection, echo, "c"),
            run(connection, forgotten, "d"),
        )

        assert answers == [b"a", b"b", b"c", b"d"]
        assert written == {redis_server.port: 2}
        assert observer.of("redis_failed") == []
        with redis_server.client() as client:
            assert client.get("k") == b"4"


@pytest.mark.parametrize(
    ("bad", "is_there"), [(REFUSED, True), ("return 1", False), (SHORT, False)]
)
async def test_who_fails_does_not_hurt_the_others(
    redis_server: RedisServer, bad: str, is_there: bool
) -> None:
    """Refused, no answer of ours, or one that cannot be read, as by a server that is no Redis: one
    failure of that operation, and what it says of the node it says as if it were asked alone."""
    async with found(redis_server) as (connection, observer):
        echo, failing = known(redis_server, ECHO), known(redis_server, bad)

        before, fault, after = await together(
            run(connection, echo, "a"),
            run(connection, failing, operation=RedisOperation.STORE),
            run(connection, echo, "b"),
        )

        assert (before, after) == (b"a", b"b")
        assert isinstance(fault, RedisUnavailable)
        assert str(fault).startswith("the Redis operation store failed: ")
        assert [operation for operation, _ in observer.of("redis_failed")] == ["store"]
        assert connection.is_up is is_there


async def test_an_unwritable_redis_is_away_whoever_notices(own_redis: RedisServer) -> None:
    """The others of that turn have their answers; the next ones fail at once."""
    async with found(own_redis) as (connection, _):
        echo, refused = known(own_redis, ECHO), known(own_redis, UNWRITABLE)

        answer, fault = await together(run(connection, echo), run(connection, refused))

        assert answer == b"a"
        assert isinstance(fault, RedisUnavailable)
        assert "Redis refuses writes" in fault.why
        with pytest.raises(RedisUnavailable, match="away"):
            await run(connection, echo)


async def test_what_nobody_waits_for_is_not_run(redis_server: RedisServer) -> None:
    """The caller left in the same turn; those beside it are answered."""
    async with found(redis_server) as (connection, _):
        echo = known(redis_server, ECHO)
        tasks = [asyncio.ensure_future(run(connection, echo, str(n))) for n in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()

        answers = await together(*tasks)

        assert (answers[0], answers[2]) == (b"0", b"2")
        assert isinstance(answers[1], asyncio.CancelledError)
        with redis_server.client() as client:
            assert client.get("k") == b"2"


async def test_who_leaves_while_scripts_run_does_not_hurt_the_others(
    redis_server: RedisServer, written: Written
) -> None:
    """The round trip is shared."""
    async with found(redis_server) as (connection, _):
        echo = known(redis_server, ECHO)
        written.clear()
        tasks = [asyncio.ensure_future(run(connection, echo, str(n))) for n in range(3)]
        while not written:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0)
        tasks[0].cancel()

        answers = await together(*tasks)

        assert answers[1:] == [b"1", b"2"]


async def test_all_of_a_turn_are_late_together(own_redis: RedisServer) -> None:
    """Each under its own name, with one deadline for the round trip."""
    observer = RecordingObserver()
    connection = Connection(redis_acl.without(own_redis.url), RealClock(), observer, timeout=0.3)
    async with asyncio.timeout(30):
        while not await connection.check():
            pass
    echo = known(own_redis, ECHO)
    observer.calls.clear()
    own_redis.pause()

    faults = await together(
        run(connection, echo),
        run(connection, echo, operation=RedisOperation.STORE),
    )

    own_redis.resume()
    assert [str(fault).partition(":")[0] for fault in faults] == [
        "the Redis operation lookup failed",
        "the Redis operation store failed",
    ]
    failed = [operation for operation, _ in observer.of("redis_failed")]
    assert [each for each in failed if each != "ping"] == ["lookup", "store"]
    await connection.close()
