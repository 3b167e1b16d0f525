"""A cluster: which node is asked for what, and what is left where a node is away."""

from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.redis.connect.connection import Connection
from gateway.core.cache.marks import State, state_of
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from tests.doubles.clocks import RealClock
from tests.doubles.hearer import change, hearers, until
from tests.doubles.observer import RecordingObserver
from tests.integration.clusters import PARTITION, keys_at, reader, slot_of_key, until_up
from tests.support.redis_cluster import NODE_TIMEOUT, ClusterNode, ClusterServers
from tests.support.redis_writes import Written, written
from tests.support.servers import HOST, free_port, wait_until

__all__ = ["written"]  # the fixture

LOOKUP = RedisOperation.LOOKUP


def back(servers: ClusterServers, node: ClusterNode) -> None:
    """Start it again, and wait until all see it."""
    node.start()
    wait_until(servers.is_settled, 30, "the cluster whole again")


async def test_look_ups_of_a_turn_are_one_question_a_node(cluster_servers: ClusterServers) -> None:
    """Whatever their number; each finds its own_cluster."""
    cluster_servers.flush()
    keys = [key for node in cluster_servers.masters for key in keys_at(cluster_servers, node, 20)]
    async with reader(cluster_servers.url) as one:
        stored = [await one.put(key, number) for number, key in enumerate(keys)]

        found = await asyncio.gather(*map(one.store.lookup, keys))
        standings = await one.store.confirm(keys)

        assert [each.entry for each in found] == stored
        assert one.questions(LOOKUP) == 1
        # One for the marks, and one script for each slot, which are sent together.
        assert one.questions(RedisOperation.CONFIRM) == 1 + len(keys)
        assert [standings[key].stored is not None for key in keys] == [True] * len(keys)


async def test_scripts_of_a_turn_are_one_round_trip_a_node(
    cluster_servers: ClusterServers, written: Written
) -> None:
    """Of whichever slots."""
    cluster_servers.flush()
    keys = [key for node in cluster_servers.masters for key in keys_at(cluster_servers, node, 4)]
    async with reader(cluster_servers.url) as one:
        for key in keys:
            await one.put(key)
        for key in keys[::4]:
            await one.store.begin(key)  # each node knows the script
        written.clear()

        await asyncio.gather(*map(one.store.begin, keys))

        assert written == dict.fromkeys((node.port for node in cluster_servers.masters), 1)


async def test_one_node_named_is_enough(cluster_servers: ClusterServers) -> None:
    """It tells of the others; an address where nobody is does no harm."""
    cluster_servers.flush()
    node = cluster_servers.masters[2]
    url = f"redis+cluster://{HOST}:{free_port()},{node.place}"
    async with reader(url) as one:
        assert one.connection.is_up
        for each in cluster_servers.masters:
            await one.put(keys_at(cluster_servers, each, 1)[0])


@pytest.mark.parametrize("is_hung", [False, True], ids=["killed", "hung"])
async def test_while_a_node_is_away_the_cluster_is(
    own_cluster: ClusterServers, is_hung: bool
) -> None:
    """No operation waits for it. It is back as soon as all nodes answer."""
    own_cluster.flush()
    gone, there = own_cluster.masters[1], own_cluster.masters[0]
    (lost,), (kept,) = keys_at(own_cluster, gone, 1), keys_at(own_cluster, there, 1)
    async with reader(own_cluster.url, timeout=0.5) as one:
        for key in (lost, kept):
            await one.put(key)
        gone.pause() if is_hung else gone.kill()
        async with asyncio.timeout(30.0):
            while await one.connection.check():
                pass
        one.observer.calls.clear()

        for key in (lost, kept):
            with pytest.raises(RedisUnavailable, match="it is away"):
                await one.store.lookup(key)
            with pytest.raises(RedisUnavailable, match="it is away"):
                await one.store.begin(key)
        assert one.observer.of("redis_failed") == []

        if is_hung:
            gone.resume()
            wait_until(own_cluster.is_settled, 30, "the cluster whole again")
        else:
            back(own_cluster, gone)
        await until_up(one.connection)
        await one.put(lost, 2)
        assert one.observer.of("redis_moved") == [(True,)]


async def test_an_invalidated_partition_is_read_at_every_node(
    own_cluster: ClusterServers,
) -> None:
    """One record rules out what all nodes have."""
    own_cluster.flush()
    keys = [key for node in own_cluster.masters for key in keys_at(own_cluster, node, 3)]
    async with reader(own_cluster.url, timeout=1.0) as one:
        for key in keys:
            await one.put(key)

        await one.store.order(None, PARTITION, None, is_hard=True)

        for found in await asyncio.gather(*map(one.store.lookup, keys)):
            assert found.stored is not None
            assert state_of(found.stored, found.marks) is State.GONE


async def test_a_cluster_that_is_down_is_away(own_cluster: ClusterServers) -> None:
    """Where every slot has to be held (Redis' default), one node fails them all: known at the
    first refusal, and not asked about by every caller."""
    own_cluster.flush()
    there = own_cluster.masters[0]
    (key,) = keys_at(own_cluster, there, 1)
    # Nothing is harmed by a node that is taken for dead too soon: all are to be.
    hasty = ("cluster-require-full-coverage", "yes", "cluster-node-timeout", NODE_TIMEOUT // 4)
    patient = ("cluster-require-full-coverage", "no", "cluster-node-timeout", NODE_TIMEOUT)
    for node in own_cluster.masters:
        node.say("CONFIG", "SET", *hasty)
    async with reader(own_cluster.url, timeout=1.0) as one:
        own_cluster.masters[1].kill()
        wait_until(lambda: there.info()["cluster_state"] == "fail", 30, "the cluster down")

        # One of the three marks is at the node that is gone.
        with pytest.raises(RedisUnavailable, match=r"ClusterDownError|Connection closed|refused"):
            await one.store.begin(key)
        assert not one.store.is_up
        assert not await one.connection.check()
        with pytest.raises(RedisUnavailable, match="away"):
            await one.store.lookup(key)

        for node in own_cluster.masters:
            if node.running:
                node.say("CONFIG", "SET", *patient)
    back(own_cluster, own_cluster.masters[1])


async def test_a_slot_that_moved_is_followed(own_cluster: ClusterServers) -> None:
    """At once by whoever asks, before the watch has heard of it; there and back."""
    own_cluster.flush()
    source, target = own_cluster.masters[:2]
    key, other = keys_at(own_cluster, source, 2)
    async with reader(own_cluster.url) as one:
        entry = await one.put(key)
        await one.put(other)
        for giver, taker in ((source, target), (target, source)):
            own_cluster.begin_move(slot_of_key(key), giver, taker)
            own_cluster.end_move(slot_of_key(key), giver, taker)

            found, left = await asyncio.gather(one.store.lookup(key), one.store.lookup(other))

            assert found.entry == entry
            assert left.entry is not None
            assert await one.connection.check()
            assert (await one.store.lookup(key)).entry == entry
        assert one.observer.of("redis_failed") == []


async def test_a_notice_is_heard_wherever_it_is_told(cluster_url: str) -> None:
    """Endings and answers too, which other nodes pass on; nothing is missed."""
    async with hearers(cluster_url, "a", "b", "c") as (a, b, c):
        for number in range(30):
            await a.bus.announce(change(number))

        await until(lambda: len(b.applied) == len(c.applied) == 30)

        assert b.applied == [change(number) for number in range(30)]
        assert (b.gaps, c.gaps) == (1, 1)


async def test_nobody_there_is_said() -> None:
    """With the place of one that was named."""
    ports = [free_port(), free_port()]
    url = "redis+cluster://" + ",".join(f"{HOST}:{port}" for port in ports)
    connection = Connection(url, RealClock(), RecordingObserver(), timeout=1.0)

    with pytest.raises(RedisUnavailable, match="Error 111 connecting to") as fault:
        await connection.reach()

    assert any(f"{HOST}:{port}" in str(fault.value) for port in ports)
    assert not connection.is_up
    await connection.close()
