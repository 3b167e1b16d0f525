"""Reads the URL of a Redis into an address.

A message about a wrong URL quotes no part of it, because any part can contain a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote

SENTINEL: Final = "redis+sentinel"
CLUSTER: Final = "redis+cluster"
UNIX: Final = "unix"
_WITH_SEVERAL_HOSTS: Final = (SENTINEL, CLUSTER)
# The schemes that use a network, each with its default port.
_PORTS: Final = {"redis": 6379, "rediss": 6379, SENTINEL: 26379, CLUSTER: 6379}

# The parameters that name files.
FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS: Final = (
    *FILES,
    "ssl_ca_path",
    "ssl_password",
    "ssl_check_hostname",
    "ssl_cert_reqs",
)
_USER: Final = ("username", "password")
# The options of the driver that are texts. Timeouts, retries and pools are no parameters, because
# the gateway decides these.
_TEXTS: Final = (*_USER, "client_name")
_FOR_ALL_SCHEMES: Final = ("db", *_TEXTS)
_OF_SENTINELS: Final = ("sentinel_username", "sentinel_password")
_FOR_SEVERAL_HOSTS: Final = ("ssl", *_OF_SENTINELS)
_YES_OR_NO: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

# The pattern is from RFC 3986, appendix B. `urlsplit` is not used, because it refuses brackets if
# there are several hosts.
_URL: Final = re.compile(r"([A-Za-z+]+)://([^/?#]*)([^?#]*)\??([^#]*)#?(.*)")
_HOST: Final = re.compile(
    r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_MASTER: Final = re.compile(r"[A-Za-z0-9._-]+")
_NUMBER: Final = re.compile(r"[0-9]{0,9}")

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class SentinelGroup:
    """The Sentinels of one master. `options` are for connections to the Sentinels."""

    sentinels: tuple[Place, ...]
    master: str
    options: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a Redis, with the options of the driver.

    tls      the options for certificates (None: without TLS)
    watched  the Sentinels that know which host is the master (None: no Sentinels)
    seeds    nodes of a cluster, each of which knows all other nodes
    """

    scheme: str
    options: dict[str, str | int] = field(repr=False)
    tls: dict[str, str | bool] | None = field(repr=False)
    watched: SentinelGroup | None
    seeds: tuple[Place, ...] = ()


def read_address(url: str) -> Address:
    """The address of a URL. Raises ValueError with the reason as its text. The text is empty if the
    URL is no URL of a Redis."""
    parts = _split(url)
    query = _query(parts)
    tls = parts.scheme == "rediss" or _yes_or_no(query, "ssl", False)
    _check_parameters(query, parts.scheme, tls=tls)
    master, db = _master_and_database(parts, query)
    options = _options(parts, query, db)
    watched, seeds = None, tuple[Place, ...]()
    if parts.scheme == UNIX:
        options["path"] = _socket(parts)
    elif parts.scheme == SENTINEL:
        watched = SentinelGroup(_hosts(parts), master, _for_sentinels(query))
    elif parts.scheme == CLUSTER:
        seeds = _hosts(parts)
    else:
        options["host"], options["port"] = _host(_location(parts), _PORTS[parts.scheme])
    return Address(parts.scheme, options, _certificates(query) if tls else None, watched, seeds)


def masked(url: str) -> str:
    """A valid URL as logs show it: `***` stands for user and password, and for the parameters."""
    parts = _split(url)
    user, query = "***@" if "@" in parts.netloc else "", "?***" if parts.query else ""
    return f"{parts.scheme}://{user}{_location(parts)}{parts.path}{query}"


def _split(url: str) -> SplitResult:
    match = _URL.fullmatch(url)
    if match is None or match[1].lower() not in (*_PORTS, UNIX):
        raise ValueError
    parts = SplitResult(match[1].lower(), *match.groups()[1:])
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        # If the password has a `/`, `?` or `#`, the URL is split inside the password. The start log
        # would then show a part of the password as the host.
        raise ValueError("has an @ in its path, query or fragment: percent-encode the password")
    if parts.fragment:
        raise ValueError("has a fragment")
    return parts


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


def _check_parameters(query: dict[str, str], scheme: str, *, tls: bool) -> None:
    known = (*_FOR_ALL_SCHEMES, *_TLS, *_FOR_SEVERAL_HOSTS)
    for place, (name, value) in enumerate(query.items(), start=1):
        if name not in known:
            # The message has the position and not the name. The name is perhaps a part of a
            # password that was not percent-encoded.
            raise ValueError(f"its parameter {place} is none of {', '.join(known)}")
        if not value:
            raise ValueError(f"{name} is empty")
        if name in _OF_SENTINELS and scheme != SENTINEL:
            raise ValueError(f"{name} works only with {SENTINEL}://")
        if name == "ssl" and scheme not in _WITH_SEVERAL_HOSTS:
            raise ValueError(f"ssl works only with {SENTINEL}:// or {CLUSTER}://")
        if name in _TLS and not tls:
            several = f"{SENTINEL}:// or {CLUSTER}:// with ssl=true"
            raise ValueError(f"{name} works only with TLS (rediss://, or {several})")


def _master_and_database(parts: SplitResult, query: dict[str, str]) -> tuple[str, int | None]:
    """The name of the master ("" without sentinels), and the number of the database (None: not
    stated, or a cluster)."""
    master, path = "", parts.path.removeprefix("/")
    if parts.scheme == SENTINEL:
        master, _, path = path.partition("/")
        if not _MASTER.fullmatch(master):
            raise ValueError(f"names no master: the form is {SENTINEL}://host,host/name")
    elif parts.scheme == UNIX:
        path = ""
    db = query.get("db", path)
    if not (_NUMBER.fullmatch(path) and _NUMBER.fullmatch(db)):
        raise ValueError("its database is not a number of at most 9 digits")
    if parts.scheme == CLUSTER and int(db or 0):
        raise ValueError("names a database other than 0, but a cluster has only database 0")
    return master, int(db) if db and parts.scheme != CLUSTER else None


def _options(parts: SplitResult, query: dict[str, str], db: int | None) -> dict[str, str | int]:
    """A user and password before the host take precedence over parameters."""
    given = parts.netloc.rpartition("@")[0].partition(":")[::2]
    options: dict[str, str | int] = {name: query[name] for name in _TEXTS if name in query}
    options |= {name: unquote(text) for name, text in zip(_USER, given, strict=True) if text}
    return options if db is None else options | {"db": db}


def _certificates(query: dict[str, str]) -> dict[str, str | bool]:
    certificates: dict[str, str | bool] = {each: query[each] for each in _TLS if each in query}
    if "ssl_check_hostname" in certificates:
        certificates["ssl_check_hostname"] = _yes_or_no(query, "ssl_check_hostname", True)
    if certificates.get("ssl_cert_reqs", "required") not in ("required", "optional", "none"):
        raise ValueError("ssl_cert_reqs has to be required, optional or none")
    return certificates


def _for_sentinels(query: dict[str, str]) -> dict[str, str]:
    return {each.removeprefix("sentinel_"): query[each] for each in _OF_SENTINELS if each in query}


def _socket(parts: SplitResult) -> str:
    if _location(parts) or len(parts.path) < 2:
        raise ValueError("names no socket: the form is unix:///path")
    return unquote(parts.path)


def _location(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _hosts(parts: SplitResult) -> tuple[Place, ...]:
    return tuple(_host(each, _PORTS[parts.scheme]) for each in _location(parts).split(","))


def _host(text: str, usual_port: int) -> Place:
    match = _HOST.fullmatch(text)
    if match is None or int(match["port"] or 0) > 65535 or not _is_ipv6(match["ipv6"]):
        raise ValueError("a host or port in it cannot be read")
    return match["ipv6"] or match["name"].lower(), int(match["port"] or 0) or usual_port


def _is_ipv6(text: str | None) -> bool:
    """Whether the text is an IPv6 address, or None."""
    try:
        return text is None or bool(IPv6Address(text))
    except ValueError:
        return False
