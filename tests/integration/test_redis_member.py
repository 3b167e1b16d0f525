"""A node of a cluster: keys that are being handed over, and a clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.adapters.redis.connect.cluster import Member
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation, StoreVerdict
from tests.doubles.stored import entry_of
from tests.integration.clusters import NAMES, PARTITION, keys_at, moving, reader, slot_of_key
from tests.support.redis_cluster import ClusterServers
from tests.support.redis_writes import Written, written

__all__ = ["written"]  # the fixture


async def test_what_was_handed_over_is_asked_for_there(own_cluster: ClusterServers) -> None:
    """By what touches one key, such as an order; the other node then has it, whoever asks, and
    nothing counts as a failure."""
    own_cluster.flush()
    key, other = keys_at(own_cluster, own_cluster.masters[0], 2)
    async with reader(own_cluster.url) as one:
        for each in (key, other):
            await one.put(each)
        with moving(own_cluster, key) as (source, target):
            own_cluster.move_keys(source, target, NAMES.event(key.training_id))
            await one.store.invalidate(key.training_id, None)

            assert target.say("CLUSTER", "COUNTKEYSINSLOT", slot_of_key(key)) == 1
            assert one.observer.of("redis_failed") == []
        found, beside = await asyncio.gather(one.store.lookup(key), one.store.lookup(other))
        assert found.floor is not None
        assert found.floor.generation == 1
        assert beside.floor is not None
        assert beside.floor.generation == 0


async def test_a_script_of_a_key_that_was_handed_over_follows_it(
    own_cluster: ClusterServers, written: Written
) -> None:
    """Asked in the same turn as another one: that is answered where it is, both are run once, and
    nothing counts as a failure."""
    own_cluster.flush()
    key, other, third = keys_at(own_cluster, own_cluster.masters[0], 3)
    async with reader(own_cluster.url) as one:
        for each in (key, other):
            await one.put(each)
        await one.store.invalidate(third.training_id, None)  # the node knows the script
        with moving(own_cluster, key) as (source, target):
            own_cluster.move_keys(source, target, NAMES.event(key.training_id))
            written.clear()

            await asyncio.gather(
                one.store.invalidate(key.training_id, None),
                one.store.invalidate(other.training_id, None),
            )

            assert written[source.port] == 1
            assert one.observer.of("redis_failed") == []
        found, beside = await asyncio.gather(one.store.lookup(key), one.store.lookup(other))
        assert found.floor is not None
        assert beside.floor is not None
        assert (found.floor.generation, beside.floor.generation) == (1, 1)


async def test_what_is_handed_over_at_this_moment_is_away(own_cluster: ClusterServers) -> None:
    """Redis refuses what touches several keys, unless it has them all: tried again for a moment;
    after that this key is away, and neither another one nor the node."""
    own_cluster.flush()
    key, other = keys_at(own_cluster, own_cluster.masters[1], 2)
    async with reader(own_cluster.url) as one:
        for each in (key, other):
            await one.put(each)
        with moving(own_cluster, key) as (source, target):
            own_cluster.move_keys(source, target, NAMES.body(key))

            found, beside = await asyncio.gather(
                one.store.lookup(key), one.store.lookup(other), return_exceptions=True
            )
            assert isinstance(found, RedisUnavailable)
            assert not isinstance(beside, BaseException)
            assert beside.entry is not None
            with pytest.raises(RedisUnavailable, match="being moved"):
                await one.store.begin(key)
            assert one.store.is_up
        assert (await one.store.lookup(key)).entry is not None


AHEAD = """
local real, redis = redis, setmetatable({}, {__index = redis})
redis.call = function(word, ...)
  local reply = real.call(word, ...)
  if word == 'TIME' then reply[1] = tostring(reply[1] + %d) end
  return reply
end
"""


@pytest.fixture(params=[300, -300])
def ahead(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    cluster_servers: ClusterServers,
) -> int:
    """So many seconds the clock of the second node is ahead: its scripts read it so, and it
    tells so whoever looks."""
    seconds: int = request.param
    port = cluster_servers.masters[1].port
    run, heard = Script.run, Member.heard

    async def run_by_that_clock(
        script: Script, client: Any, keys: Sequence[str], arguments: Sequence[str | bytes | int]
    ) -> Any:
        if client.connection_pool.connection_kwargs["port"] == port:
            script = Script(AHEAD % seconds + script.text, "0" * 40)
        return await run(script, client, keys, arguments)

    def hear_that_clock(member: Member, reply: Sequence[Any], sent: float) -> None:
        shift = seconds if member.place[1] == port else 0
        heard(member, (int(reply[0]) + shift, reply[1]), sent)

    async def run_one_by_one(
        connection: Connection,
        operation: RedisOperation,
        script: Script,
        calls: Sequence[Any],
        read: Callable[[list[Any]], Any],
    ) -> list[Any]:
        return [
            await connection.run_script(operation, script, keys, arguments, read)
            for keys, arguments in calls
        ]

    monkeypatch.setattr(Script, "run", run_by_that_clock)
    monkeypatch.setattr(Connection, "run_many", run_one_by_one)
    monkeypatch.setattr(Member, "heard", hear_that_clock)
    return seconds


async def test_a_nodes_clock_is_its_own(ahead: int, cluster_servers: ClusterServers) -> None:
    """Minutes ahead or behind: an entry of that node is as old for every replica as it is, and
    the order of fetches is the node's."""
    assert ahead
    cluster_servers.flush()
    (key,) = keys_at(cluster_servers, cluster_servers.masters[1], 1)
    async with reader(cluster_servers.url) as one, reader(cluster_servers.url) as other:
        early = await one.store.begin(key)
        assert abs(one.clock.now() - early.started) < 5.0
        late = await other.put(key)

        found = await other.store.lookup(key)
        standings = await one.store.confirm([key])
        refused = await one.store.store(key, entry_of(early, body=b"{}"), 600.0)

        assert found.entry is not None
        assert abs(one.clock.now() - found.entry.confirmed_at) < 5.0
        assert found.entry == late
        standing = standings[key]
        assert standing is not None
        assert standing.floor.started == late.confirmed_at
        assert refused.verdict is StoreVerdict.OLDER
        taken = await other.store.begin(key)
        assert taken.started > late.confirmed_at


async def test_a_strike_by_a_nodes_own_clock(ahead: int, cluster_servers: ClusterServers) -> None:
    """It rules out what was fetched before it, and nothing that comes after."""
    assert ahead
    cluster_servers.flush()
    keys = [keys_at(cluster_servers, node, 1)[0] for node in cluster_servers.masters]
    async with reader(cluster_servers.url) as one:
        for key in keys:
            await one.put(key)

        await one.store.invalidate_partition(PARTITION)

        assert [(await one.store.lookup(key)).entry for key in keys] == [None] * 3
        for key in keys:
            await one.put(key, 1)
        assert all([(await one.store.lookup(key)).entry for key in keys])
