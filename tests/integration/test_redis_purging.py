"""Purging: the one step that searches, over all nodes of a cluster."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.cache.entry import Key
from gateway.core.errors import RedisUnavailable
from tests.integration.clusters import NAMES, PARTITION, keys_at, moving, reader
from tests.support.redis_cluster import ClusterServers


async def test_orders_reach_every_node(cluster_servers: ClusterServers) -> None:
    """A purge goes over all keys, whose floors all know of it; of a partition alone as well."""
    cluster_servers.flush()
    keys = [key for node in cluster_servers.masters for key in keys_at(cluster_servers, node, 40)]
    foreign = Key("f" * 32, "trn_0")
    async with reader(cluster_servers.url) as one:
        for key in (*keys, foreign):
            await one.put(key)

        assert await one.store.purge(PARTITION, soft=True) == 120
        found = await asyncio.gather(*map(one.store.lookup, (*keys, foreign)))
        passed = [each.floor.generation > 0 for each in found if each.floor]
        assert passed == [True] * 120 + [False]
        assert all(each.entry for each in found)

        assert await one.store.purge(None, soft=False) == 121
        found = await asyncio.gather(*map(one.store.lookup, (*keys, foreign)))
        assert [each.entry for each in found] == [None] * 121


async def test_a_purge_fails_while_a_slot_is_handed_over(own_cluster: ClusterServers) -> None:
    """It does not overlook the key silently. Repeated after the move, it reaches all keys."""
    own_cluster.flush()
    moved, *others = keys_at(own_cluster, own_cluster.masters[0], 30)
    others += keys_at(own_cluster, own_cluster.masters[2], 10)
    async with reader(own_cluster.url) as one:
        for key in (moved, *others):
            await one.put(key)
        with moving(own_cluster, moved) as (source, target):
            own_cluster.move_keys(source, target, NAMES.floor(moved), NAMES.body(moved))

            with pytest.raises(RedisUnavailable, match="ClusterError"):
                await one.store.purge(PARTITION, soft=False)

        assert (await one.store.lookup(moved)).entry is not None
        assert await one.store.purge(PARTITION, soft=False) == 40
        found = await asyncio.gather(*map(one.store.lookup, (moved, *others)))
        assert [each.entry for each in found] == [None] * 40
