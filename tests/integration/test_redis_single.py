"""Whom a connection believes to be the master: the sentinels, and Redis' own word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.redis.connect.connection import Connection
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from tests.doubles.clocks import RealClock
from tests.doubles.hearer import until
from tests.doubles.observer import RecordingObserver
from tests.support.redis_setups import MASTER, SentinelServer
from tests.support.servers import HOST, RedisServer, free_port

PASSWORD = "hunter2"


@pytest.fixture
def sentinel(tmp_path: Path, own_redis: RedisServer) -> Iterator[SentinelServer]:
    """One that names `own_redis`, to those who know its password."""
    with SentinelServer(tmp_path, own_redis.port, PASSWORD) as sentinel:
        yield sentinel


def url_of(sentinel: SentinelServer, password: str = PASSWORD, master: str = MASTER) -> str:
    """What goes into `redis.url`; a second sentinel is not there."""
    hosts = f"{HOST}:{free_port()},{HOST}:{sentinel.port}"
    return f"redis+sentinel://{hosts}/{master}?sentinel_password={password}"


@asynccontextmanager
async def connected(url: str, timeout: float = 5.0) -> AsyncIterator[Connection]:
    """A patient connection, unless said otherwise."""
    connection = Connection(url, RealClock(), RecordingObserver(), timeout=timeout)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(connection: Connection, *command: object) -> Any:
    """What Redis answers."""

    async def send(client: Any) -> Any:
        return await client.execute_command(*command)

    return await connection.execute(RedisOperation.LOOKUP, send)


async def port_of(connection: Connection) -> int:
    """Which Redis answers."""
    said = await connection.execute(RedisOperation.LOOKUP, lambda client: client.config_get("port"))
    return int(said["port"] or 0)


async def test_the_sentinels_master_is_asked(
    sentinel: SentinelServer, own_redis: RedisServer
) -> None:
    """Also where one of them is not there."""
    async with connected(url_of(sentinel)) as connection:
        assert await connection.check()

        assert await port_of(connection) == own_redis.port


async def test_all_that_is_connected_moves_to_the_new_master(
    sentinel: SentinelServer, own_redis: RedisServer, redis_server: RedisServer
) -> None:
    """What is idle at once, what is in use with its next command; the former one still answers."""
    async with connected(url_of(sentinel)) as connection:
        await connection.check()
        await asyncio.gather(*(ask(connection, "PING") for _ in range(4)))
        in_use = [asyncio.create_task(ask(connection, "BLPOP", "none", 1)) for _ in range(3)]
        with own_redis.client() as client:
            await until(lambda: client.info("clients")["blocked_clients"] == 3)

        sentinel.watch_instead(redis_server.port)
        assert await connection.check()
        assert await asyncio.gather(*in_use) == [None] * 3

        ports = await asyncio.gather(*(port_of(connection) for _ in range(16)))
        assert set(ports) == {redis_server.port}


async def test_while_no_sentinel_answers_redis_counts_as_away(sentinel: SentinelServer) -> None:
    """Nobody could tell of a failover. It is back with the first sentinel that answers."""
    async with connected(url_of(sentinel), timeout=0.5) as connection:
        assert await connection.check()
        sentinel.pause()
        assert not await connection.check()
        with pytest.raises(RedisUnavailable, match="it is away"):
            await port_of(connection)
        sentinel.resume()

        assert await connection.check()


@pytest.mark.parametrize(
    ("password", "master", "says"),
    [
        ("wrong", MASTER, "AuthenticationError"),
        (PASSWORD, "other", "No master found for 'other'"),
    ],
)
async def test_why_no_master_is_found_is_said(
    sentinel: SentinelServer, password: str, master: str, says: str
) -> None:
    """By each sentinel, and without a password."""
    async with connected(url_of(sentinel, password, master)) as connection:
        assert not await connection.check()
        with pytest.raises(RedisUnavailable, match="No master found") as away:
            await connection.reach()

    assert says in str(away.value)
    assert "asyncio" not in str(away.value)
    assert PASSWORD not in str(away.value)


async def test_a_replica_of_redis_counts_as_away(
    own_redis: RedisServer, redis_server: RedisServer
) -> None:
    """Whoever answers there, but takes no write; it is up again once it is a master."""
    async with connected(own_redis.url) as connection:
        assert await connection.check()
        with own_redis.client() as client:
            client.replicaof(HOST, redis_server.port)

            assert not await connection.check()
            with pytest.raises(RedisUnavailable, match="ReadOnlyError"):
                await connection.reach()

            client.replicaof("NO", "ONE")
            assert await connection.check()
