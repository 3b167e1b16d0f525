"""A slot of a cluster that is being handed over."""

from __future__ import annotations

import pytest

from gateway.core.errors import RedisUnavailable
from tests.integration.clusters import NAMES, keys_at, moving, reader
from tests.support.redis_cluster import ClusterServers


async def test_a_key_that_is_being_handed_over_fails_alone(own_cluster: ClusterServers) -> None:
    """Redis refuses what touches several keys, unless it has them all. The cluster stays up, and
    other keys are found. The key is found again once its slot has moved."""
    own_cluster.flush()
    key, other = keys_at(own_cluster, own_cluster.masters[1], 2)
    async with reader(own_cluster.url) as one:
        for each in (key, other):
            await one.put(each)
        with moving(own_cluster, key) as (source, target):
            own_cluster.move_keys(source, target, NAMES.slot(key)[1])

            with pytest.raises(RedisUnavailable):
                await one.store.lookup(key)
            with pytest.raises(RedisUnavailable):
                await one.store.confirm([key])

            assert one.store.is_up
            assert (await one.store.lookup(other)).entry is not None
        assert (await one.store.lookup(key)).entry is not None
