"""Hosts, URLs, header names, tokens: which texts are sound. Parsers as in `values.py`."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from gateway.settings.values import Secret

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_LOCATION = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")
_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TOKEN = re.compile(r"[!-~]+")
_VISIBLE = _TOKEN

# What belongs to one connection (RFC 9110, 7.6.1), what the gateway itself decides on or sends,
# and what says who the caller is.
NEVER_FORWARDED = frozenset({
    "accept-encoding", "authorization", "cache-control", "connection", "content-encoding",
    "content-length", "content-type", "cookie", "expect", "host", "if-match",
    "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "keep-alive",
    "pragma", "proxy-authenticate", "proxy-authorization", "proxy-connection", "range",
    "set-cookie", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip

# What may follow the hosts of a Redis URL, by scheme; `unix` has a path and no host.
_REDIS_PATHS = {
    "redis": re.compile(r"(/[0-9]*)?"),
    "rediss": re.compile(r"(/[0-9]*)?"),
    "redis+sentinel": re.compile(r"/[A-Za-z0-9._-]+(/[0-9]*)?"),
    "redis+cluster": re.compile(r"(/0?)?"),
}


def parse_host(value: object) -> str:
    """A name or an address to listen on, without scheme, port or brackets."""
    if not isinstance(value, str) or not _is_host(value):
        raise ValueError
    return value


def parse_path(value: object) -> Path:
    """A path; whether a file stands there is judged by `load`."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    return Path(value)


def parse_token(value: object) -> Secret:
    """A credential that fits into a header: visible ASCII without spaces."""
    return _fitting(parse_secret(value), _TOKEN)


def parse_secret(value: object) -> Secret:
    """Any text that is not empty."""
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise ValueError
    if not value:
        raise ValueError("is empty")
    if not _is_unicode(value):
        raise ValueError("is not UTF-8")
    return Secret(value)


def parse_base_url(value: object) -> str:
    """An http or https address with a host and nothing behind its path; no slash at its end."""
    if not isinstance(value, str) or not _VISIBLE.fullmatch(value):
        raise ValueError
    if "@" in value:
        raise ValueError("carries credentials, which belong into upstream.token")
    if "?" in value or "#" in value:
        raise ValueError("has a query or a fragment")
    url = _split(value)
    if url.scheme not in ("http", "https") or not _is_location(url.netloc):
        raise ValueError
    return value.rstrip("/")


def parse_redis_url(value: object) -> Secret:
    """The address of a Redis, kept as a secret because it may hold a password."""
    secret = _fitting(parse_secret(value), _VISIBLE)
    url = _split(secret.reveal())
    if "@" in f"{url.path}{url.query}{url.fragment}":
        # Else the mask of the start log could take a part of the password for the host.
        raise ValueError("has an @ behind its host: write the password percent-encoded")
    locations = url.netloc.rpartition("@")[2]
    if url.scheme == "unix":
        sound = not locations and len(url.path) > 1
    else:
        sound = _is_redis_by_network(url, locations.split(","))
    if not sound or url.fragment:
        raise ValueError
    return secret


def mask_url(url: str) -> str:
    """A URL accepted above without its user, password and query, for logs."""
    parts = urlsplit(url)
    userinfo, _, location = parts.netloc.rpartition("@")
    mask = "***@" if userinfo else ""
    query = "?***" if parts.query else ""
    return f"{parts.scheme}://{mask}{location}{parts.path}{query}"


def parse_prefix(value: object) -> str:
    """The beginning of every Redis key: no braces, since they decide the slot."""
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        raise ValueError
    return value


def parse_header_names(value: object) -> tuple[str, ...]:
    """Names of request headers, in lower case, each once and none that is ours to write."""
    if not isinstance(value, list | tuple):
        raise ValueError
    names = tuple(_header_name(name, place) for place, name in enumerate(value, start=1))
    if len(set(names)) < len(names):
        raise ValueError("names a header twice")
    return names


def _header_name(value: object, place: int) -> str:
    # By its place and not by its text: somebody may have written "Authorization: Bearer …".
    if not isinstance(value, str) or not _HEADER_NAME.fullmatch(value):
        raise ValueError(f"entry {place} is not the name of a header")
    name = value.lower()
    if name in NEVER_FORWARDED:
        raise ValueError(f'"{name}" is never forwarded')
    return name


def _fitting(secret: Secret, grammar: re.Pattern[str]) -> Secret:
    if not grammar.fullmatch(secret.reveal()):
        raise ValueError("has spaces or characters outside ASCII")
    return secret


def _is_unicode(text: str) -> bool:
    # The environment gives bytes that are not UTF-8 as lone surrogates.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        # Not `from`: its message quotes the URL.
        raise ValueError from None


def _is_redis_by_network(url: SplitResult, locations: list[str]) -> bool:
    paths = _REDIS_PATHS.get(url.scheme)
    several = url.scheme in ("redis+sentinel", "redis+cluster")
    if paths is None or not paths.fullmatch(url.path) or (len(locations) > 1 and not several):
        return False
    return all(_is_location(location) for location in locations)


def _is_location(text: str) -> bool:
    match = _LOCATION.fullmatch(text)
    if match is None or int(match["port"] or 0) > 65535:
        return False
    return _is_host(match["host"] or match["v6"])


def _is_host(text: str) -> bool:
    if ":" not in text:
        return _HOST.fullmatch(text) is not None
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
