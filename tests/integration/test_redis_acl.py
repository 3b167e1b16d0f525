"""The user that SECURITY.md tells operators to make: enough, and no more."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.essentials import exercise
from tests.support.redis_acl import CREDENTIALS, PASSWORD, rule, without
from tests.support.redis_cluster import ClusterServers
from tests.support.redis_setups import MASTER, SentinelServer, copied
from tests.support.servers import HOST, RedisServer

# The tests' own, and what Redis' replicas and sentinels say to each other.
OTHERS = {
    *("acl|setuser", "acl|log", "acl|deluser", "info", "config|set", "config|get"),
    *("config|resetstat", "cluster|myid", "replconf", "psync", "select", "client|kill"),
    *("flushall", "script|flush", "hello", "auth", "client|setinfo"),
}


def commands() -> set[str]:
    """Those that it lets through."""
    return {word.removeprefix("+") for word in rule() if word.startswith("+")}


def admit(servers: Iterable[RedisServer]) -> None:
    """Make the user on each, with its counts at zero and its log of refusals empty."""
    for server in servers:
        with server.client() as client:
            client.config_resetstat()
            client.execute_command("ACL", "LOG", "RESET")
            client.execute_command(
                "ACL", "SETUSER", "gateway", "reset", "on", f">{PASSWORD}", *rule()
            )


def refusals(servers: Iterable[RedisServer]) -> list[tuple[str, str]]:
    """What it was refused since then."""
    return [refused for server in servers for refused in server.refusals()]


def used(servers: Iterable[RedisServer]) -> set[str]:
    """The commands that were carried out since then, tests' own left out."""
    found: set[str] = set()
    for server in servers:
        with server.client() as client:
            found |= {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    return found - OTHERS


async def test_behind_a_sentinel(
    upstream: RunningSimulator, control: SimulatorClient, own_redis: RedisServer, tmp_path: Path
) -> None:
    """With a copy, and a user of the sentinel's as is said there; of a Redis by itself nothing else
    is asked."""
    with (
        copied(own_redis, tmp_path) as copy,
        SentinelServer(tmp_path, own_redis.port) as sentinel,
    ):
        admit([own_redis, copy])
        with sentinel.client() as client:
            who = ("watcher", "reset", "on", f">{PASSWORD}", "-@all", "+sentinel|masters")
            client.execute_command("ACL", "SETUSER", *who)
        where = f"{HOST}:{sentinel.port}/{MASTER}"
        theirs = f"sentinel_username=watcher&sentinel_password={PASSWORD}"

        await exercise(
            upstream.base_url, control, f"redis+sentinel://{CREDENTIALS}{where}?{theirs}"
        )

        assert refusals([own_redis, copy]) == []
        assert used([own_redis]) <= commands()


async def test_a_cluster_uses_all_of_it(
    upstream: RunningSimulator, control: SimulatorClient, own_cluster: ClusterServers
) -> None:
    """Every word of it is needed: what is missing here was used behind sentinels, or by a slot
    that moves."""
    own_cluster.flush()
    admit(own_cluster.masters)

    await exercise(
        upstream.base_url, control, without(own_cluster.url).replace("//", f"//{CREDENTIALS}")
    )

    assert refusals(own_cluster.masters) == []
    seen = used(own_cluster.masters)
    assert seen <= commands() | {"cluster|slots", "cluster|info"}
    assert commands() - seen == {"asking", "info"}  # `info` is a command of tests too


@pytest.mark.parametrize("words", ["KEYS *", "FLUSHALL", "CONFIG GET *", "GET a", "PUBLISH a b"])
def test_it_lets_nothing_else_through(own_redis: RedisServer, words: str) -> None:
    """Neither other commands nor other keys and channels."""
    admit([own_redis])
    with own_redis.client() as client:
        answer = client.execute_command("ACL", "DRYRUN", "gateway", *words.split())

    assert b"has no permissions" in answer
