"""Reads the URL of a Redis into an address. Nothing is connected here.

This module has the schemes, the parameters, and the messages about a wrong URL. A message quotes no
part of the URL, because any part may contain a password. transport.py uses the address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio.connection import parse_url

SENTINEL: Final = "redis+sentinel"
CLUSTER: Final = "redis+cluster"
_SCHEMES: Final = ("redis", "rediss", "unix", SENTINEL, CLUSTER)
_SEVERAL: Final = (SENTINEL, CLUSTER)
_PORTS: Final = {SENTINEL: 26379, CLUSTER: 6379}

_TLS: Final = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
    "ssl_check_hostname",
    "ssl_cert_reqs",
)
# Waiting, retrying and pooling are the gateway's own to decide: redis.timeout holds for all.
_ALWAYS: Final = ("db", "username", "password", "client_name")
_OF_SENTINELS: Final = ("sentinel_username", "sentinel_password")
_OF_SEVERAL: Final = ("ssl", *_OF_SENTINELS)
_BEHIND_HOSTS: Final = re.compile("[/?#]")
_YES_OR_NO: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class SentinelGroup:
    """Sentinels by host and port, the name of their master, and the options of connections to
    them."""

    sentinels: tuple[Place, ...]
    master: str
    options: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a Redis, with the options of the driver.

    `options` are of each connection, `tls` those of its certificates (None: without TLS);
    `watched` where sentinels say which host is the master; `seeds` nodes of a cluster, any of
    which knows the others.
    """

    scheme: str
    options: dict[str, Any] = field(repr=False)
    tls: dict[str, Any] | None = field(repr=False)
    watched: SentinelGroup | None
    seeds: tuple[Place, ...] = ()


def read_address(url: str) -> Address:
    """The address of a URL. Raises ValueError with the reason if the URL is wrong."""
    parts = _split(url)
    if parts.scheme not in _SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
        raise ValueError(f"a Redis is reached by one of {known}")
    query = _query(parts)
    tls = parts.scheme == "rediss" or _yes_or_no(query, "ssl", False)
    _refuse_strangers(query, parts.scheme, tls=tls)
    options = _options(parts, query, tls=tls)
    certificates: dict[str, Any] = {each: options.pop(each) for each in _TLS if each in options}
    if "ssl_check_hostname" in certificates:
        certificates["ssl_check_hostname"] = _yes_or_no(query, "ssl_check_hostname", True)
    if certificates.get("ssl_cert_reqs", "required") not in ("required", "optional", "none"):
        raise ValueError("ssl_cert_reqs has to be required, optional or none")
    watched = _watched(parts, query) if parts.scheme == SENTINEL else None
    seeds = _seeds(parts, options) if parts.scheme == CLUSTER else ()
    return Address(parts.scheme, options, certificates if tls else None, watched, seeds)


def _split(url: str) -> SplitResult:
    scheme, rest = url.partition("://")[::2]
    netloc = _BEHIND_HOSTS.split(rest, maxsplit=1)[0]
    try:
        if "," not in netloc:
            parts = urlsplit(url)
            _ = parts.port
            return parts
        # Several hosts are no URL's host: newer Pythons refuse brackets within them.
        several = urlsplit(f"{scheme}://several{rest[len(netloc) :]}")
        return several._replace(netloc=netloc)
    except ValueError:
        # Not `from`: its message quotes the URL.
        raise ValueError("its host or port cannot be read") from None


def _query(parts: SplitResult) -> dict[str, str]:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = dict(pairs)
    if len(query) < len(pairs):
        raise ValueError("names a parameter twice")
    return query


def _yes_or_no(query: dict[str, str], name: str, default: bool) -> bool:
    if name not in query:
        return default
    meant = _YES_OR_NO.get(query[name].lower())
    if meant is None:
        raise ValueError(f"{name} has to be true or false")
    return meant


def _refuse_strangers(query: dict[str, str], scheme: str, *, tls: bool) -> None:
    """Raises ValueError for unknown parameters, because they would have no effect."""
    known = (*_ALWAYS, *_TLS, *_OF_SEVERAL)
    for place, (name, value) in enumerate(query.items(), start=1):
        if name not in known:
            # By its place: a password that was not percent-encoded may stand there.
            raise ValueError(f"its parameter {place} is none of {', '.join(known)}")
        if not value:
            raise ValueError(f"{name} is empty")
        if name in _OF_SENTINELS and scheme != SENTINEL:
            raise ValueError(f"{name} is for {SENTINEL}:// alone")
        if name == "ssl" and scheme not in _SEVERAL:
            raise ValueError(f"ssl is for {SENTINEL}:// and {CLUSTER}:// alone")
        if name in _TLS and not tls:
            others = f"{SENTINEL}:// or {CLUSTER}:// with ssl=true"
            raise ValueError(f"{name} is for TLS: rediss://, or {others}")


def _options(parts: SplitResult, query: dict[str, str], *, tls: bool) -> dict[str, Any]:
    """The options of the driver. The driver also decodes percent-encoded parts."""
    url = parts
    if parts.scheme in _SEVERAL:
        userinfo = parts.netloc.rpartition("@")[0]
        db = _path(parts)[1] if parts.scheme == SENTINEL else parts.path.removeprefix("/")
        url = parts._replace(scheme="redis", netloc=f"{userinfo}@master", path=f"/{db}")
    try:
        options: dict[str, Any] = dict(parse_url(url.geturl()))
    except ValueError:
        raise ValueError("its number of a database is none") from None
    options.pop("connection_class", None)
    for name in _OF_SEVERAL:
        options.pop(name, None)
    if parts.scheme in _SEVERAL:
        del options["host"]
    return options


def _path(parts: SplitResult) -> tuple[str, str]:
    """The name of the master and the number of the database, which may be missing."""
    name, _, db = parts.path.removeprefix("/").partition("/")
    return unquote(name), db


def _watched(parts: SplitResult, query: dict[str, str]) -> SentinelGroup:
    name, db = _path(parts)
    if not name:
        raise ValueError(f"names no master: {SENTINEL}://host,host/name")
    if db and not db.isdecimal():
        raise ValueError("its number of a database is none")
    options = {
        each.removeprefix("sentinel_"): query[each] for each in _OF_SENTINELS if each in query
    }
    return SentinelGroup(_hosts(parts), name, options)


def _seeds(parts: SplitResult, options: dict[str, Any]) -> tuple[Place, ...]:
    if options.pop("db", 0) != 0:
        raise ValueError("names a database, of which a cluster has one alone")
    return _hosts(parts)


def _hosts(parts: SplitResult) -> tuple[Place, ...]:
    hosts = parts.netloc.rpartition("@")[2].split(",")
    return tuple(_host(each, _PORTS[parts.scheme]) for each in hosts)


def _host(text: str, usual_port: int) -> Place:
    try:
        one = urlsplit(f"//{text}")
        host, port = one.hostname, one.port
    except ValueError:
        host, port = None, None
    if not host:
        raise ValueError("one of its hosts is no host:port") from None
    return host, port or usual_port
