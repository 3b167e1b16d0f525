"""The driver's client of Redis: of one server, of a master behind sentinels, or of a cluster.

Also sets up TLS. `connection` decides when Redis counts as away.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final

import redis.asyncio as driver
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import RedisSSLContext, parse_url
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, RedisClusterException, RedisError
from redis.exceptions import ConnectionError as ConnectionFault
from redis.retry import Retry

from gateway.core.errors import RedisUnavailable
from gateway.core.redis_url import Address, Place
from gateway.core.vocabulary import RedisOperation

# Errors while a reply is read. They count as failures of Redis.
NONSENSE: Final = (ValueError, TypeError, LookupError, AttributeError)
# All errors that count as failures of Redis.
FAULTS: Final = (TimeoutError, OSError, RedisError, RedisClusterException, *NONSENSE)

# The driver's timeouts are off: callers have one Deadline for connecting, writing and reading. A
# cancelled command closes its connection, so a late reply is dropped. With RESP2 and without
# `driver_info`, a connection needs no round trips for HELLO and CLIENT SETINFO.
_FIXED: Final[dict[str, Any]] = {
    "socket_timeout": None,
    "socket_connect_timeout": None,
    "retry": Retry(NoBackoff(), 0),
    "health_check_interval": 0,
    "protocol": 2,
    "driver_info": None,
}

# The records about all replicas have this hash tag. In a cluster, the clock of the node that has
# them is the shared clock, and this node carries the notices.
_SHARED: Final = "{bus}"
# The expiry (ms) of the key that a look tries to write.
_WRITTEN_KEEP: Final = 1_000
# In a cluster, the names that a look writes are chosen among this number of names. So each master
# has one of them, unless it has very few of the slots.
_NAMES_TRIED: Final = 256


class Servers:
    """One Redis, the master that sentinels name, or a cluster. `client` is the driver's client."""

    def __init__(self, address: Address, timeout: float, prefix: str) -> None:
        """Raises ValueError if certificates cannot be used. `timeout`: seconds in which a sentinel
        has to answer. `prefix`: see Connection."""
        kind, options = _options(address)
        self.is_cluster = address.is_cluster
        self._prefix = prefix
        self._named: Place | None = None
        self._sentinels: Any = None
        self.client: Any
        if address.is_cluster:
            self.client = _cluster(address, kind, options)
            return
        pool: Any
        if address.master:
            self._sentinels = _sentinels(address, options, timeout)
            without = {name: options[name] for name in options if name not in ("host", "port")}
            pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
                address.master, self._sentinels, connection_class=kind, **without
            )
        else:
            pool = driver.ConnectionPool(connection_class=kind, **options)
        self.client = driver.Redis.from_pool(pool)

    @property
    def nodes(self) -> list[Any]:
        """The servers that have keys."""
        return list(self.client.get_primaries()) if self.is_cluster else [self.client]

    @property
    def master(self) -> Place | None:
        """The master with the records about all replicas. None: not known, or there is only one
        server."""
        if not self.is_cluster:
            return self._named
        try:
            node = self.client.get_node_from_key(_SHARED)
        except RedisClusterException:
            return None
        return node.host, int(node.port)

    def connection(self) -> Any:
        """A new connection to `master`, not yet connected."""
        if not self.is_cluster:
            return self.client.connection_pool.make_connection()
        try:
            node = self.client.get_node_from_key(_SHARED)
        except RedisClusterException as fault:
            why_not = "it is not known which node has the notices"
            raise RedisUnavailable(RedisOperation.BUS, why_not) from fault
        return node.connection_class(**node.connection_kwargs, retry=_FIXED["retry"])

    async def look(self) -> Any:
        """Ask the sentinels for the master, or read the map of the cluster if it is not known. Try
        to write at each master, because a Redis at its `maxmemory` still answers reads, and a
        replica is no master. Returns Redis' time."""
        if self.is_cluster:
            return await self._look_at_cluster()
        if self._sentinels is not None:
            await self._follow_sentinels()
        await self._try_to_write(f"{self._prefix}:{_SHARED}:written")
        return await self.client.execute_command("TIME")

    async def _follow_sentinels(self) -> None:
        pool = self.client.connection_pool
        found = await pool.get_master_address()
        if found != self._named:
            self._named = found
            await pool.disconnect(inuse_connections=False)
            await pool.update_active_connections_for_reconnect()

    async def _look_at_cluster(self) -> Any:
        try:
            await self.client.initialize()
        except RedisClusterException as fault:  # its text names hosts, and no data
            raise ConnectionFault(str(fault)) from fault
        shared = self.client.get_node_from_key(_SHARED)
        if (await shared.execute_command("CLUSTER INFO"))["cluster_state"] != "ok":
            raise ClusterDownError("the cluster is down")
        names = (f"{self._prefix}:{{{number}}}:written" for number in range(_NAMES_TRIED))
        by_master = {self.client.get_node_from_key(name).name: name for name in names}
        await _all_of(map(self._try_to_write, by_master.values()))
        return await shared.execute_command("TIME")

    async def _try_to_write(self, name: str) -> None:
        """With `xx` nothing is stored and replicated, because the key never exists."""
        await self.client.set(name, b"", px=_WRITTEN_KEEP, xx=True)

    async def read(self, names: Sequence[str]) -> Any:
        """The values of these keys. In a cluster, the keys of one slot are read with one
        command."""
        return await (self.client.mget_nonatomic if self.is_cluster else self.client.mget)(names)

    async def disconnect(self) -> None:
        """Close all connections. The next look makes new ones, and reads the map of the cluster
        anew."""
        await self.client.aclose()
        if self._sentinels is not None:
            await self._sentinels.aclose()
        # After a failure the driver counts itself as closed, and leaves connections open.
        for nodes in ("nodes_cache", "startup_nodes") if self.is_cluster else ():
            await self.client.nodes_manager.aclose(nodes)


def _cluster(address: Address, kind: Any, options: dict[str, Any]) -> Any:
    """The driver's client of the cluster. It follows keys that have moved to another node."""
    of_nodes = {name: options[name] for name in options if name not in ("host", "port", "tls")}
    client: Any = driver.RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        # The nodes of the URL stay known, since all addresses can change in a restart.
        dynamic_startup_nodes=False,
        # Otherwise the driver closes all connections after some moves.
        reinitialize_steps=0,
        **of_nodes,
    )
    # The driver's own class would read the certificates for each connection.
    ours = {name: options[name] for name in ("tls",) if name in options}
    client.connection_kwargs.update(connection_class=kind, **ours)
    for node in client.startup_nodes:
        node.connection_class = kind
        node.connection_kwargs.update(ours)
    return client


async def _all_of(work: Any) -> None:
    """Wait until all of the work has ended. Raises the first error."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


class _Certified:
    """A connection whose certificates were read at the start: no request waits for the files."""

    def __init__(self, *, tls: RedisSSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = tls


class _Tls(_Certified, driver.SSLConnection):
    """A connection over TLS."""


class _MasterTls(_Certified, SentinelManagedSSLConnection):
    """A connection over TLS to the master that the sentinels named."""


def _options(address: Address) -> tuple[Any, dict[str, Any]]:
    """The class of the connections, and the driver's options for them."""
    given: dict[str, Any] = dict(parse_url(address.url))
    kind = given.pop("connection_class", driver.Connection)
    ssl = {name: given.pop(name) for name in tuple(given) if name.startswith("ssl_")}
    options = {**given, **_FIXED}
    if kind is driver.SSLConnection:
        kind, options["tls"] = _Tls, _context(ssl)
    if address.master:
        kind = _MasterTls if "tls" in options else SentinelManagedConnection
    return kind, options


def _context(options: dict[str, Any]) -> RedisSSLContext:
    """The TLS context. Raises ValueError if certificates cannot be used."""
    words = {name.removeprefix("ssl_"): value for name, value in options.items()}
    try:
        context = RedisSSLContext(**{"cert_reqs": "required", "check_hostname": True, **words})
        context.get()
    except OSError as fault:  # also ssl.SSLError
        reason = getattr(fault, "reason", fault.strerror)
        raise ValueError(f"its certificates cannot be used: {reason}") from fault
    return context


def _sentinels(address: Address, options: dict[str, Any], timeout: float) -> Any:
    """The driver's Sentinel. Each sentinel has `timeout` seconds to answer."""
    sentinels: Any = Sentinel([])  # type: ignore[no-untyped-call]
    fixed = {**_FIXED, **address.sentinels}
    fixed |= {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    fixed |= {"tls": options["tls"]} if "tls" in options else {}
    kind: Any = _Tls if "tls" in options else driver.Connection
    pools = (
        driver.ConnectionPool(kind, host=host, port=port, **fixed) for host, port in address.hosts
    )
    sentinels.sentinels = [driver.Redis.from_pool(pool) for pool in pools]
    return sentinels


# The driver's text about sentinels shows the client of each, with all its options.
_CLIENT = re.compile(r"<redis.*?\bhost=([^,]+),port=(\d+).*?\)>\)>\)> - ")
_PLACE = r"\1:\2 "


def why(fault: Exception) -> str:
    """The reason as text for an operator, for example `ConnectionError: Error 111 connecting to
    127.0.0.1:6379. Connection refused.`

    Only the texts of an OSError and of the driver's ConnectionError are used. (The driver's error
    for refused credentials is a ConnectionError, so its text is used too.) The texts of other
    errors can quote the command that was sent, with its data.
    """
    name = type(fault).__name__
    told = str(fault) if isinstance(fault, ConnectionFault | OSError) else ""
    return f"{name}: {_CLIENT.sub(_PLACE, told)}" if told else name
