"""The driver's clients of Redis: for one server, for a master behind sentinels, and for a cluster.

Also sets up TLS. `connection` decides when Redis counts as away.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import redis.asyncio as driver
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import RedisSSLContext, parse_url
from redis.asyncio.sentinel import (
    MasterNotFoundError,
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
# A key for each master of a cluster is searched among this number of keys.
_MOST_TRIED: Final = 10_000


class Single:
    """One Redis, or the master that sentinels name. Has all keys."""

    def __init__(self, address: Address, patience: float, prefix: str) -> None:
        """Raises ValueError if certificates cannot be used. `patience`: seconds for one look at a
        server. `prefix`: see Connection."""
        kind, options = _options(address)
        self._written = f"{prefix}:{_SHARED}:written"
        self._pool: Any
        self._sentinels: Any = None
        self.patience = patience
        if address.master:
            self._sentinels = _sentinels(address, options, patience)
            # The driver asks the sentinels one after another.
            self.patience = patience * (1 + len(address.hosts))
            without = {name: options[name] for name in options if name not in ("host", "port")}
            self._pool = _MasterPool(address.master, self._sentinels, kind, without)
        else:
            self._pool = driver.ConnectionPool(connection_class=kind, **options)
        self.client: Any = driver.Redis.from_pool(self._pool)

    @property
    def nodes(self) -> list[Any]:
        """The servers that have keys."""
        return [self.client]

    @property
    def master(self) -> Place | None:
        """The master that the sentinels named last. None without sentinels."""
        return getattr(self._pool, "master_address", None)

    def connection(self) -> Any:
        """A new connection, not yet connected."""
        return self._pool.make_connection()

    async def drop_idle(self) -> None:
        """Close the connections that are not in use. They were made before Redis went away."""
        await self._pool.disconnect(inuse_connections=False)

    async def look(self, *, is_up: bool) -> Any:
        """Ask the sentinels for the master. Try to write, because a Redis at its `maxmemory` still
        answers reads, and a replica is no master. Returns Redis' time."""
        if self._sentinels is not None:
            await self._pool.find()
        await _try_to_write(self.client, self._written)
        return await self.client.execute_command("TIME")

    async def read(self, names: Sequence[str]) -> Any:
        """The values of these keys."""
        return await self.client.mget(names)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.disconnect()
        for sentinel in () if self._sentinels is None else self._sentinels.sentinels:
            await sentinel.aclose()


class Cluster:
    """A Redis Cluster. The driver follows keys that have moved to another node."""

    def __init__(self, address: Address, patience: float, prefix: str) -> None:
        """As Single."""
        kind, options = _options(address)
        self._prefix = prefix
        self.patience = patience
        of_nodes = {name: options[name] for name in options if name not in ("host", "port", "tls")}
        self.client: Any = driver.RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
            # The nodes of the URL stay known, since all addresses can change in a restart.
            dynamic_startup_nodes=False,
            # Otherwise the driver closes all connections after some moves.
            reinitialize_steps=0,
            **of_nodes,
        )
        # The driver's own class would read the certificates for each connection.
        ours = {name: options[name] for name in ("tls",) if name in options}
        self.client.connection_kwargs.update(connection_class=kind, **ours)
        for node in self.client.startup_nodes:
            node.connection_class = kind
            node.connection_kwargs.update(ours)

    @property
    def nodes(self) -> list[Any]:
        """The masters."""
        return list(self.client.get_primaries())

    @property
    def master(self) -> Place | None:
        """The master with the records about all replicas. None: not known."""
        try:
            node = self.client.get_node_from_key(_SHARED)
        except RedisClusterException:
            return None
        return node.host, int(node.port)

    def connection(self) -> Any:
        """A new connection to `master`, not yet connected."""
        try:
            node = self.client.get_node_from_key(_SHARED)
        except RedisClusterException as fault:
            why_not = "it is not known which node has the notices"
            raise RedisUnavailable(RedisOperation.BUS, why_not) from fault
        return node.connection_class(**node.connection_kwargs, retry=_FIXED["retry"])

    async def drop_idle(self) -> None:
        """As Single.drop_idle."""
        await all_of(node.disconnect_free_connections() for node in self.client.get_nodes())

    async def look(self, *, is_up: bool) -> Any:
        """As Single.look, for each master. Reads the map of the cluster if Redis was away."""
        try:
            await self.client.initialize()
            if not is_up:
                await self.client.nodes_manager.initialize()
        except RedisClusterException as fault:  # its text names hosts, and no data
            raise ConnectionFault(str(fault)) from fault
        shared = self.client.get_node_from_key(_SHARED)
        if (await shared.execute_command("CLUSTER INFO"))["cluster_state"] != "ok":
            raise ClusterDownError("the cluster is down")
        await all_of(_try_to_write(self.client, name) for name in self._a_key_of_each_master())
        return await shared.execute_command("TIME")

    def _a_key_of_each_master(self) -> list[str]:
        found: dict[str, str] = {}
        masters = len(self.client.get_primaries())
        for number in itertools.islice(itertools.count(), _MOST_TRIED):
            name = f"{self._prefix}:{{{number}}}:written"
            found.setdefault(self.client.get_node_from_key(name).name, name)
            if len(found) == masters:
                break
        return list(found.values())

    async def read(self, names: Sequence[str]) -> Any:
        """As Single.read. The keys of one slot are read with one command."""
        slots: defaultdict[int, list[str]] = defaultdict(list)
        for name in names:
            slots[self.client.keyslot(name)].append(name)
        pipe = self.client.pipeline()
        for some in slots.values():
            pipe.execute_command("MGET", *some)
        found: dict[str, Any] = {}
        for some, values in zip(
            slots.values(), await pipe.execute(raise_on_error=False), strict=True
        ):
            if isinstance(values, Exception):
                raise values
            found.update(zip(some, values, strict=True))
        return [found[name] for name in names]

    async def close(self) -> None:
        """As Single.close."""
        await self.client.aclose()
        # After a failure the driver counts itself as closed, and leaves connections open.
        for nodes in ("nodes_cache", "startup_nodes"):
            await self.client.nodes_manager.aclose(nodes)


async def _try_to_write(client: Any, name: str) -> None:
    """With `xx` nothing is stored and replicated, because the key never exists."""
    await client.set(name, b"", px=_WRITTEN_KEEP, xx=True)


class _MasterPool(SentinelConnectionPool):
    """Connects to the master that was found last, so that no request waits for a sentinel."""

    def __init__(self, master: str, sentinels: Any, kind: Any, options: dict[str, Any]) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            master, sentinels, connection_class=kind, **options
        )

    async def get_master_address(self) -> Place:
        """For the driver's connections."""
        if self.master_address is None:
            raise ConnectionFault("no sentinel has named a master yet")
        found: Place = self.master_address
        return found

    async def find(self) -> None:
        """Ask the sentinels for the master. If none of them names it, the known master stays,
        because it perhaps still runs."""
        try:
            found = await self.sentinel_manager.discover_master(self.service_name)
        except MasterNotFoundError as fault:
            if self.master_address is None:
                raise ConnectionFault(_without_clients(str(fault))) from fault
            return
        if found != self.master_address:
            self.master_address = found
            await self.disconnect(inuse_connections=False)
            await self.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]


# The driver's text shows the client of each sentinel, with all its options.
_CLIENT = re.compile(r"<.*?host=([^,]+),port=(\d+).*?>\)>\)>\)> - ")


def _without_clients(text: str) -> str:
    return _CLIENT.sub(r"\1:\2 ", text)


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


def _sentinels(address: Address, options: dict[str, Any], patience: float) -> Any:
    """The driver's Sentinel. Each sentinel has `patience` seconds to answer."""
    sentinels: Any = Sentinel([])  # type: ignore[no-untyped-call]
    fixed = {**_FIXED, **address.sentinels}
    fixed |= {"socket_timeout": patience, "socket_connect_timeout": patience}
    fixed |= {"tls": options["tls"]} if "tls" in options else {}
    kind: Any = _Tls if "tls" in options else driver.Connection
    pools = (
        driver.ConnectionPool(kind, host=host, port=port, **fixed) for host, port in address.hosts
    )
    sentinels.sentinels = [driver.Redis.from_pool(pool) for pool in pools]
    return sentinels


async def all_of(work: Any) -> None:
    """Wait until all of the work has ended. Raises the first error."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


# Texts of the driver, for example:
# "Error 111 connecting to 127.0.0.1:6379. Connect call failed ('127.0.0.1', 6379)."
# "Error Multiple exceptions: [Errno 111] … connecting to localhost:6379."
_CONNECTING = re.compile(r"(?:Error |\[Errno )(\d+)\b.*? ?connecting to (\S+?)\.?(?:\s|$)", re.S)


def why(fault: Exception) -> str:
    """The reason as text for an operator. After a failed connection it has the address and the
    message of the operating system.

    Only the texts of an OSError and of the driver's ConnectionError are used. (The driver's error
    for refused credentials is a ConnectionError, so its text is used too.) The texts of other
    errors can quote the command that was sent, with its data.
    """
    name = type(fault).__name__
    told = str(fault) if isinstance(fault, ConnectionFault | OSError) else ""
    # Errors of OpenSSL have numbers that `os.strerror` does not know.
    if "[SSL" not in told and (match := _CONNECTING.search(told)):
        told = f"{match[2]}: {os.strerror(int(match[1]))}"
    return f"{name}: {told}" if told else name
