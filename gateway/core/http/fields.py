"""Reads header fields (RFC 9110), and selects those that may be stored and passed on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from gateway.core.http.cache_control import LARGEST_DELTA

Headers = tuple[tuple[bytes, bytes], ...]

# Fields that the gateway writes itself, or that are only true of the upstream's own message.
REPLACED_BY_US = frozenset(
    b"age cache-control cache-status content-encoding content-length date etag expires "
    b"last-modified pragma set-cookie training-updated-at vary x-request-id alt-svc".split()
)
# Fields of one connection.
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authentication-info proxy-authorization "
    b"proxy-connection te trailer transfer-encoding upgrade".split()
)
# Fields that have the same values in many answers (see `shared`).
ALIKE = frozenset(
    b"access-control-allow-origin content-security-policy content-type referrer-policy server "
    b"strict-transport-security x-content-type-options x-frame-options".split()
)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")


def first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the first field with this (lower-case) name, or None."""
    for key, value in headers:  # a generator takes twice the time, and this is called often
        if key == name:
            return value
    return None


def as_text(headers: Headers) -> dict[str, str]:
    """The values by name, as text. The first field of a name counts."""
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in reversed(headers)}


def delta_seconds(value: bytes | None) -> float:
    """The seconds of an `Age`, 0 if it is absent or invalid. In a list the first value counts (RFC
    9111, 5.1)."""
    digits = (value or b"").partition(b",")[0].strip()
    return float(min(int(digits[:20]), LARGEST_DELTA)) if digits.isdigit() else 0.0


def is_sound(value: bytes) -> bool:
    """Whether a value can be passed on: no control characters except tabs (RFC 9110, 5.5)."""
    return _CONTROL.search(value) is None


@lru_cache(1_024)
def is_name(name: bytes) -> bool:
    """Whether this is a valid field name in lower case (RFC 9110, 5.1)."""
    return _NAME.fullmatch(name) is not None


def are_sound(headers: Headers) -> bool:
    """Whether all fields can be passed on unchanged."""
    for name, value in headers:  # a generator takes twice the time
        if not is_name(name) or _CONTROL.search(value) is not None:
            return False
    return True


def without_hops(headers: Headers) -> Headers:
    """All valid fields (also `Set-Cookie`), except hop-by-hop fields and those that `Connection`
    names (RFC 9110, 7.6.1)."""
    listed = b",".join(value for key, value in headers if key == b"connection")
    dropped = HOP_BY_HOP | {name.strip().lower() for name in listed.split(b",")}
    return tuple(
        (name, value)
        for name, value in headers
        if name not in dropped and is_name(name) and is_sound(value)
    )


def end_to_end(headers: Headers) -> Headers:
    """The fields that may be stored and passed on, also the validators."""
    dropped = REPLACED_BY_US - {b"etag", b"last-modified"}
    return shared(tuple(pair for pair in without_hops(headers) if pair[0] not in dropped))


def shared(headers: Headers) -> Headers:
    """The same fields, made of objects that thousands of entries share, to save memory."""
    return tuple(
        [
            _shared_field(pair) if pair[0] in ALIKE else (_shared_name(pair[0]), pair[1])
            for pair in headers
        ]
    )


@lru_cache(1_024)
def _shared_name(name: bytes) -> bytes:
    return name


@lru_cache(1_024)
def _shared_field(pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    return pair


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete response of the upstream, or of a proxy in front of it. The names of its fields
    are in lower case. `is_verbatim`: it is passed on with its own caching fields."""

    status: int
    headers: Headers
    body: bytes
    is_verbatim: bool = False

    def header(self, name: bytes) -> bytes | None:
        return first(self.headers, name)

    @property
    def is_html(self) -> bool:
        """Whether the body counts as an HTML page. The API sends no HTML."""
        kind = (self.header(b"content-type") or b"").lower()
        if kind.startswith((b"text/html", b"application/xhtml")):
            return True
        return self.body[:64].lstrip().startswith(b"<")
