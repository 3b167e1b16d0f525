"""Reads the URL of a Redis as far as the driver does not: schemes for several hosts, and which
parameters are allowed. The driver reads the rest (`Address.url`).

A message about a wrong URL quotes no part of it, because any part can contain a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlencode

SENTINEL: Final = "redis+sentinel"
CLUSTER: Final = "redis+cluster"
# The schemes that use a network, each with its default port.
_PORTS: Final = {"redis": 6379, "rediss": 6379, SENTINEL: 26379, CLUSTER: 6379}

# The parameters that name files.
FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS: Final = (*FILES, "ssl_ca_path", "ssl_password", "ssl_check_hostname", "ssl_cert_reqs")
_OF_SENTINELS: Final = ("sentinel_username", "sentinel_password")
# Timeouts, retries and pools are no parameters, because the gateway decides these.
_KNOWN: Final = ("db", "username", "password", "client_name", *_TLS, "ssl", *_OF_SENTINELS)
_YES_OR_NO: Final = ("true", "yes", "1", "false", "no", "0")

# The pattern is from RFC 3986, appendix B. `urlsplit` is not used, because it refuses brackets if
# there are several hosts.
_URL: Final = re.compile(r"([A-Za-z+]+)://([^/?#]*)([^?#]*)\??([^#]*)#?(.*)")
_HOST: Final = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
# The name of a master (only with sentinels), and the number of a database.
_PATH: Final = re.compile(r"/?(?:[0-9]{1,9})?")
_WATCHED_PATH: Final = re.compile(r"/([A-Za-z0-9._-]+)(/(?:[0-9]{1,9})?)?")

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a Redis.

    url        the URL for the driver. If there are several hosts, it has the first one
    hosts      the hosts in the URL: of Redis, of sentinels, or of nodes of a cluster
    master     the name of the master that the sentinels watch ("": no sentinels)
    sentinels  the options for connections to the sentinels
    files      the files for TLS, by the name of the parameter
    """

    url: str = field(repr=False)
    hosts: tuple[Place, ...]
    master: str
    is_cluster: bool
    sentinels: dict[str, str] = field(repr=False)
    files: dict[str, str] = field(repr=False)


def read_address(url: str) -> Address:
    """The address of a URL. Raises ValueError with the reason as its text. The text is empty if the
    URL is no URL of a Redis."""
    parts = _split(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    is_tls = parts.scheme == "rediss" or query.get("ssl", "no").lower() in _YES_OR_NO[:3]
    _check_parameters(query, parts.scheme, is_tls=is_tls)
    hosts = _hosts(parts)
    master, path = _master_and_path(parts, query)
    user, at, location = parts.netloc.rpartition("@")
    scheme = "unix" if parts.scheme == "unix" else "rediss" if is_tls else "redis"
    own = {name: text for name, text in query.items() if name not in ("ssl", *_OF_SENTINELS)}
    return Address(
        f"{scheme}://{user}{at}{location.partition(',')[0]}{path}?{urlencode(own)}",
        hosts,
        master,
        parts.scheme == CLUSTER,
        {name.removeprefix("sentinel_"): query[name] for name in _OF_SENTINELS if name in query},
        {name: query[name] for name in FILES if name in query},
    )


def masked(url: str) -> str:
    """A valid URL as logs show it: `***` stands for user and password, and for the parameters."""
    parts = _split(url)
    user, query = "***@" if "@" in parts.netloc else "", "?***" if parts.query else ""
    return f"{parts.scheme}://{user}{parts.netloc.rpartition('@')[2]}{parts.path}{query}"


def _split(url: str) -> SplitResult:
    match = _URL.fullmatch(url)
    if match is None or match[1].lower() not in (*_PORTS, "unix"):
        raise ValueError
    parts = SplitResult(match[1].lower(), *match.groups()[1:])
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        # If the password has a `/`, `?` or `#`, the URL is split inside the password. The start log
        # would then show a part of the password as the host.
        raise ValueError("has an @ in its path, query or fragment: percent-encode the password")
    if parts.fragment:
        raise ValueError("has a fragment")
    return parts


def _check_parameters(query: dict[str, str], scheme: str, *, is_tls: bool) -> None:
    for place, (name, value) in enumerate(query.items(), start=1):
        if name not in _KNOWN:
            # The message has the position and not the name. The name is perhaps a part of a
            # password that was not percent-encoded.
            raise ValueError(f"its parameter {place} is none of {', '.join(_KNOWN)}")
        if not value:
            raise ValueError(f"{name} is empty")
        if name in _OF_SENTINELS and scheme != SENTINEL:
            raise ValueError(f"{name} works only with {SENTINEL}://")
        if name == "ssl" and scheme not in (SENTINEL, CLUSTER):
            raise ValueError(f"ssl works only with {SENTINEL}:// or {CLUSTER}://")
        if name in ("ssl", "ssl_check_hostname") and value.lower() not in _YES_OR_NO:
            raise ValueError(f"{name} has to be true or false")
        if name == "ssl_cert_reqs" and value not in ("required", "optional", "none"):
            raise ValueError("ssl_cert_reqs has to be required, optional or none")
        if name in _TLS and not is_tls:
            several = f"{SENTINEL}:// or {CLUSTER}:// with ssl=true"
            raise ValueError(f"{name} works only with TLS (rediss://, or {several})")


def _master_and_path(parts: SplitResult, query: dict[str, str]) -> tuple[str, str]:
    """The name of the master ("" without sentinels), and the path of the URL for the driver: the
    database, or a socket."""
    db = f"/{query['db']}" if "db" in query else ""
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or len(parts.path) < 2:
            raise ValueError("names no socket: the form is unix:///path")
        master, path, db = "", parts.path, db or "/"
    elif parts.scheme == SENTINEL:
        match = _WATCHED_PATH.match(parts.path)
        if match is None:
            raise ValueError(f"names no master: the form is {SENTINEL}://host,host/name")
        master, path = match[1], parts.path[len(match[1]) + 1 :]
        db = db or path
    else:
        master, path = "", parts.path
        db = db or path
    if not _PATH.fullmatch(db) or (parts.scheme != "unix" and not _PATH.fullmatch(path)):
        raise ValueError("its database is not a number of at most 9 digits")
    if parts.scheme == CLUSTER and db.strip("/0"):
        raise ValueError("names a database other than 0, but a cluster has only database 0")
    return master, "" if parts.scheme == CLUSTER else path


def _hosts(parts: SplitResult) -> tuple[Place, ...]:
    if parts.scheme == "unix":
        return ()
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if len(hosts) > 1 and parts.scheme not in (SENTINEL, CLUSTER):
        raise ValueError("a host or port in it cannot be read")
    return tuple(_host(each, _PORTS[parts.scheme]) for each in hosts)


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
