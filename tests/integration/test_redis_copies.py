"""Whether Redis' own replicas have what was promised, and what is said where they have not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.keys import Names
from gateway.adapters.redis.store import secured
from gateway.ports import Copies
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.support.redis_acl import without
from tests.support.redis_setups import copied
from tests.support.servers import RedisServer


async def counted(url: str, timeout: float = 5.0, patience: float = 5.0) -> Copies | None:
    """What is said on that Redis."""
    connection = Connection(url, RealClock(), RecordingObserver(), timeout=timeout)
    assert await connection.check()
    try:
        return await secured(connection, Names("gateway"), patience)
    finally:
        assert connection.is_up
        await connection.close()


async def test_a_redis_by_itself_has_none(redis_server: RedisServer) -> None:
    """There is nothing to wait for, and nothing to say."""
    assert await counted(redis_server.url) is None


async def test_a_copy_in_step_has_it_all(own_redis: RedisServer, tmp_path: Path) -> None:
    """It acknowledges the mark, and so all that was written before it."""
    with copied(own_redis, tmp_path):
        assert await counted(own_redis.url) == Copies(known=1, acknowledged=1)


async def test_a_copy_that_hangs_has_not(own_redis: RedisServer, tmp_path: Path) -> None:
    """It is waited for as long as was said, and Redis does not count as away for that."""
    with copied(own_redis, tmp_path) as copy:
        copy.pause()

        seen = await counted(own_redis.url, timeout=1.0, patience=1.5)

        assert seen == Copies(known=1, acknowledged=0)


@pytest.mark.parametrize("command", ["role", "wait"])
async def test_copies_that_cannot_be_counted_are_said_so(
    own_redis: RedisServer, tmp_path: Path, command: str
) -> None:
    """An order that was carried out does not fail for it, but it is not told as known by all."""
    with copied(own_redis, tmp_path), own_redis.client() as client:
        client.acl_setuser(
            "me", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", f"-{command}"]
        )

        assert await counted(without(own_redis.url).replace("//", "//me:pw@")) == Copies(
            0, 0, is_counted=False
        )


async def test_copies_of_a_redis_without_the_command_are_said_so(tmp_path: Path) -> None:
    """As where the gateway's user may not use it: not each Redis that is on offer has WAIT."""
    with (
        RedisServer(tmp_path, "--rename-command", "WAIT", "") as server,
        copied(server, tmp_path),
    ):
        assert await counted(server.url) == Copies(0, 0, is_counted=False)
