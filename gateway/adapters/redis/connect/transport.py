"""Makes the driver's connections to Redis, whatever the scheme of the URL is. Also sets up TLS, and
asks the sentinels for the master."""

from __future__ import annotations

import asyncio
import os
import re
from copy import copy
from typing import Any

import redis.asyncio as driver
from redis.asyncio.connection import RedisSSLContext, UnixDomainSocketConnection
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionFault
from redis.exceptions import RedisError
from redis.retry import Retry

from gateway.core.redis_url import Address, Place, SentinelGroup, read_address
from gateway.ports import Deadline

# The driver raises these errors after replies of servers that are not Redis.
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError)

# The driver's timeouts are off: callers have one Deadline for connecting, writing and reading. A
# cancelled command closes its connection, so a late reply is dropped. With RESP2 and without
# `driver_info`, a connection needs no round trips for HELLO and CLIENT SETINFO.
_FIXED_OPTIONS: dict[str, Any] = {
    "socket_timeout": None,
    "socket_connect_timeout": None,
    "retry": Retry(NoBackoff(), 0),
    "health_check_interval": 0,
    "protocol": 2,
    "driver_info": None,
}


class Sentinels:
    """The sentinels of one master. Each sentinel has `patience` seconds to answer.

    The driver's connections have this object in place of their pool, and ask it for the address of
    the master. They read `is_master` and `check_connection` too.
    """

    is_master = True
    check_connection = False

    def __init__(self, clients: dict[str, Any], name: str, patience: float) -> None:
        """`clients` has the address of each sentinel (as text), and its client."""
        self._driver: Any = Sentinel([])  # type: ignore[no-untyped-call]
        self._driver.sentinels = list(clients.values())
        self._where = list(clients)
        self._name = name
        self._patience = patience
        self.master: tuple[str, int] | None = None

    async def find(self) -> bool:
        """Ask all sentinels for the master. Returns whether the master has changed.

        If no sentinel names a master, the master that was found last stays, because it perhaps
        still runs. If no master was ever found, raises the driver's ConnectionError with the
        answers.
        """
        answers = await asyncio.gather(*map(self._ask, self._driver.sentinels))
        named = [answer for answer in answers if not isinstance(answer, str)]
        if not named:
            if self.master is None:
                said = ", ".join(map(" ".join, zip(self._where, map(str, answers), strict=True)))
                raise ConnectionFault(f"no sentinel names a master {self._name!r}: {said}")
            return False
        # A sentinel that was cut off still names the former master. Each failover raises the number
        # `config-epoch` of the sentinels, so the answer with the highest number counts.
        before, (_, self.master) = self.master, max(named, key=lambda answer: answer[0])
        return before != self.master

    async def get_master_address(self) -> tuple[str, int]:
        """The master that was found last, for the driver's connections."""
        if self.master is None:
            raise ConnectionFault("no sentinel has named a master yet")
        return self.master

    async def close(self) -> None:
        """Close the connections to the sentinels."""
        await self._driver.aclose()

    async def _ask(self, sentinel: Any) -> tuple[int, tuple[str, int]] | str:
        """The number of the last failover (`config-epoch`), and the address of the master. If the
        sentinel names no master: the reason as text."""
        try:
            async with Deadline(self._patience):
                masters = await sentinel.sentinel_masters()
            state = masters.get(self._name)
            if state is None:
                return "knows no such master"
            if not self._driver.check_master_state(state, self._name):
                return "says that the master is down"
            return int(state["config-epoch"]), (str(state["ip"]), int(state["port"]))
        except (TimeoutError, OSError, RedisError, *_NONSENSE) as fault:
            return type(fault).__name__


class Route:
    """The way to the Redis of a URL.

    Only `find` asks sentinels: no request waits for them. A connection goes to the master that was
    found last.
    """

    def __init__(self, url: str, patience: float) -> None:
        """Raises ValueError for a bad URL."""
        address = read_address(url)
        self.seeds = address.seeds
        tls = None if address.tls is None else {"tls": _context(address.tls)}
        self._class = _class_of(address)
        self._options = {**address.options, **_FIXED_OPTIONS, **(tls or {})}
        self._sentinels: Sentinels | None = None
        if address.watched is not None:
            self._sentinels = _sentinels(address.watched, tls, patience)
            self._options["connection_pool"] = self._sentinels

    def to(self, place: Place) -> Route:
        """The way to one node of the cluster."""
        route = copy(self)
        route._options = {**self._options, "host": place[0], "port": place[1]}
        return route

    @property
    def master(self) -> Place | None:
        """The address of the master that the sentinels named last. None without sentinels."""
        return None if self._sentinels is None else self._sentinels.master

    async def find(self) -> bool:
        """As Sentinels.find. Without sentinels, returns False."""
        return self._sentinels is not None and await self._sentinels.find()

    def pool(self, connections: int) -> driver.BlockingConnectionPool:
        """A pool of at most `connections` connections. If all are in use, a request waits for
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
    """A connection whose certificates were read at the start: no request waits for the files."""

    def __init__(self, *, tls: RedisSSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = tls


class _Tls(_Certified, driver.SSLConnection):
    """A connection over TLS."""


class _MasterTls(_Certified, SentinelManagedSSLConnection):
    """A connection over TLS to the master that the sentinels named."""


def _class_of(address: Address) -> Any:
    if address.watched is not None:
        return SentinelManagedConnection if address.tls is None else _MasterTls
    if address.scheme == "unix":
        return UnixDomainSocketConnection
    return driver.Connection if address.tls is None else _Tls


def _context(options: dict[str, Any]) -> RedisSSLContext:
    """The TLS context. Raises ValueError if certificates cannot be used."""
    words = {name.removeprefix("ssl_"): value for name, value in options.items()}
    context = RedisSSLContext(**{"cert_reqs": "required", "check_hostname": True, **words})
    try:
        context.get()
    except OSError as fault:  # also ssl.SSLError
        reason = getattr(fault, "reason", fault.strerror)
        raise ValueError(f"its certificates cannot be used: {reason}") from fault
    return context


def _sentinels(watched: SentinelGroup, tls: dict[str, Any] | None, patience: float) -> Sentinels:
    options = {**watched.options, **_FIXED_OPTIONS, **(tls or {})}
    kind = driver.Connection if tls is None else _Tls
    pools = {
        f"{host}:{port}": driver.ConnectionPool(
            connection_class=kind, host=host, port=port, **options
        )
        for host, port in watched.sentinels
    }
    clients = {name: driver.Redis.from_pool(pool) for name, pool in pools.items()}
    return Sentinels(clients, watched.master, patience)


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
