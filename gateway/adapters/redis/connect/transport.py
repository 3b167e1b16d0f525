"""Makes the driver's connections to Redis, for every scheme of the URL.

This module also has TLS, and the words for a connection that fails. sentinels.py finds the master.
node.py decides when Redis counts as away.
"""

from __future__ import annotations

import os
import re
import ssl
from copy import copy
from pathlib import Path
from typing import Any

import redis.asyncio as driver
from redis.asyncio.connection import RedisSSLContext, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionFault
from redis.retry import Retry

from gateway.adapters.redis.connect.sentinels import Sentinels
from gateway.adapters.redis.connect.url import Address, Place, SentinelGroup, read_address

_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

# No limit for connecting, nor for a single read or write: callers have one Deadline for all of it,
# and a connection whose command is cancelled is closed, its late reply with it. RESP2 and no
# introduction: a new connection costs no round trip beyond AUTH.
_OURS: dict[str, Any] = {
    "socket_timeout": None,
    "socket_connect_timeout": None,
    "retry": Retry(NoBackoff(), 0),
    "health_check_interval": 0,
    "protocol": 2,
    "driver_info": None,
}


class Route:
    """The way to the Redis of a URL.

    If there are sentinels, only `find` asks them. A connection goes to the master that was found
    last, and does not wait for a sentinel. In a cluster each node has a route of its own (`to`).
    """

    def __init__(self, url: str, patience: float) -> None:
        """`patience` in seconds is for each sentinel. Raises ValueError for a bad URL."""
        address = read_address(url)
        self.seeds = address.seeds
        tls = None if address.tls is None else {"tls": _context(address.tls)}
        self._class = _class_of(address)
        self._options = {**address.options, **_OURS, **(tls or {})}
        self._sentinels: Sentinels | None = None
        if address.watched is not None:
            self._sentinels = _sentinels(address.watched, tls, patience)
            self._options["connection_pool"] = self._sentinels

    def to(self, place: Place) -> Route:
        """The way to one node of the cluster whose seeds the URL names."""
        route = copy(self)
        route._options = {**self._options, "host": place[0], "port": place[1]}
        return route

    @property
    def master(self) -> Place | None:
        """The address of the master that the sentinels named last. None without sentinels."""
        return None if self._sentinels is None else self._sentinels.master

    async def find(self) -> bool:
        """Ask the sentinels for the master, if there are any. Returns whether it is another one
        than before.

        Raises the driver's ConnectionError if no master is known.
        """
        return self._sentinels is not None and await self._sentinels.find()

    def pool(self, connections: int) -> driver.BlockingConnectionPool:
        """A pool of at most `connections` connections to the master. A request waits for a free
        one."""
        return driver.BlockingConnectionPool(
            connection_class=self._class,
            max_connections=connections,
            timeout=None,
            **self._options,
        )

    def connection(self) -> Any:
        """A new connection, not yet connected."""
        return self._class(**self._options)

    async def close(self) -> None:
        """Close the connections to the sentinels."""
        if self._sentinels is not None:
            await self._sentinels.close()


class _Certified:
    """A connection with certificates that were read at the start, so that no request waits for
    that."""

    def __init__(self, *, tls: RedisSSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = tls


class _Tls(_Certified, driver.SSLConnection):
    """Over TLS."""


class _MasterTls(_Certified, SentinelManagedSSLConnection):
    """Over TLS, to the master."""


def _class_of(address: Address) -> Any:
    if address.watched is not None:
        return SentinelManagedConnection if address.tls is None else _MasterTls
    if address.scheme == "unix":
        return UnixDomainSocketConnection
    return driver.Connection if address.tls is None else _Tls


def _context(options: dict[str, Any]) -> RedisSSLContext:
    """The TLS context. Raises ValueError with the name of the parameter whose file cannot be
    read."""
    for name in _FILES:
        try:
            if name in options:
                Path(options[name]).read_bytes()
        except OSError as fault:
            raise ValueError(f"{name} cannot be read: {fault.strerror}") from fault
    words = {name.removeprefix("ssl_"): value for name, value in options.items()}
    context = RedisSSLContext(**{"cert_reqs": "required", "check_hostname": True, **words})
    try:
        context.get()
    except ssl.SSLError as fault:
        raise ValueError(f"its certificates cannot be used: {fault.reason}") from fault
    return context


def _sentinels(watched: SentinelGroup, tls: dict[str, Any] | None, patience: float) -> Sentinels:
    options = {**watched.options, **_OURS, **(tls or {})}
    kind = driver.Connection if tls is None else _Tls
    pools = {
        f"{host}:{port}": driver.ConnectionPool(
            connection_class=kind, host=host, port=port, **options
        )
        for host, port in watched.sentinels
    }
    clients = {name: driver.Redis.from_pool(pool) for name, pool in pools.items()}
    return Sentinels(clients, watched.master, patience)


# "Error 111 connecting to 127.0.0.1:6379. Connect call failed ('127.0.0.1', 6379)."
# "Error Multiple exceptions: [Errno 111] … connecting to localhost:6379."
_CONNECTING = re.compile(r"(?:Error |\[Errno )(\d+)\b.*? ?connecting to (\S+?)\.?(?:\s|$)", re.S)


def why(fault: Exception) -> str:
    """The reason in words for an operator. If a connection failed: the address, and the words of
    the operating system.

    An error text of Redis may quote what was sent to it. It is used only if it is about connecting
    or credentials, because such texts do not.
    """
    name = type(fault).__name__
    told = str(fault) if isinstance(fault, ConnectionFault | OSError) else ""
    # OpenSSL has its own numbers, and its words say more.
    if "[SSL" not in told and (match := _CONNECTING.search(told)):
        told = f"{match[2]}: {os.strerror(int(match[1]))}"
    return f"{name}: {told}" if told else name
