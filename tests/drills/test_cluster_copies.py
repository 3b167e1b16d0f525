"""A cluster of masters with copies: what was stored is found where a copy has taken over."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.integration.clusters import keys_at, reader, until_up
from tests.support.redis_cluster import cluster
from tests.support.servers import wait_until


async def test_a_copy_takes_over(tmp_path: Path) -> None:
    """With all that it got before its master died."""
    with cluster(tmp_path, copies=True) as servers:
        async with reader(servers.url) as one:
            keys = [key for node in servers.masters for key in keys_at(servers, node, 2)]
            stored = [await one.put(key) for key in keys]
            wait_until(servers.are_copies_in_step, 30, "the copies in step")

            servers.masters[0].kill()
            wait_until(lambda: servers.names(servers.copies[0]), 30, "the copy a master")
            await until_up(one.connection)
            found = await asyncio.gather(*map(one.store.lookup, keys))

            assert [each.entry for each in found] == stored
            await one.store.order(None, None, None, is_hard=True)
