"""A cluster over TLS: each node has to be who its certificate says, also those that others name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trustme

from gateway.adapters.redis.connect.connection import Connection
from gateway.core.errors import RedisUnavailable
from tests.doubles.clocks import RealClock
from tests.doubles.hearer import PURGE, hearers
from tests.doubles.observer import RecordingObserver
from tests.integration.clusters import keys_at, reader
from tests.support.redis_cluster import ClusterServers, cluster
from tests.support.redis_tls_cluster import TlsClusterNode
from tests.support.servers import HOST


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the nodes' certificate is, its authority's and a stranger's."""
    folder = tmp_path_factory.mktemp("tls-cluster")
    authority = trustme.CA()
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(folder / "node.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "stranger.pem")
    return folder


@pytest.fixture(scope="module")
def servers(folder: Path) -> Iterator[ClusterServers]:
    """Three masters."""
    make = partial(TlsClusterNode, certificate=folder / "node.pem", authority=folder / "ca.pem")
    with cluster(folder, make) as found:
        yield found


async def test_all_nodes_are_reached(servers: ClusterServers, folder: Path) -> None:
    """By the name of one; entries of each are found, and notices heard."""
    url = f"redis+cluster://{servers.masters[0].place}?ssl=true&ssl_ca_certs={folder}/ca.pem"
    async with reader(url) as one:
        for node in servers.masters:
            (key,) = keys_at(servers, node, 1)
            assert (await one.put(key)) == (await one.store.lookup(key)).entry
        assert one.observer.of("redis_failed") == []
    async with hearers(url, "a", "b", timeout=5.0, heartbeat=1.0) as (a, b):
        told = await a.bus.confirm(PURGE, 10.0)
        assert (told.known, told.confirmed) == (2, 2)
        assert b.applied == [PURGE]


@pytest.mark.parametrize(
    "query", ["ssl=true&ssl_ca_certs={folder}/stranger.pem", "ssl=true", ""], ids=str
)
async def test_who_is_not_trusted_is_not_spoken_to(
    servers: ClusterServers, folder: Path, query: str
) -> None:
    """Nor does a client without TLS get through."""
    url = f"redis+cluster://{servers.masters[0].place}?{query.format(folder=folder)}"
    connection = Connection(url, RealClock(), RecordingObserver(), timeout=5.0)

    with pytest.raises(RedisUnavailable):
        await connection.reach()

    await connection.close()
