"""Header fields as values (RFC 9110): reading one, which may be stored, which may be sent on. Also
the message that has them: `Reply`, a complete answer of the upstream, not yet judged.

Pure functions of bytes. What an entry carries is the business of cache/entry_headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from gateway.core.http.cache_control import LARGEST_DELTA

Headers = tuple[tuple[bytes, bytes], ...]

# Said anew by us, untrue after us, or about the upstream's own connection.
REPLACED_BY_US = frozenset(
    b"age cache-control cache-status content-encoding content-length date etag expires "
    b"last-modified pragma set-cookie training-updated-at vary x-request-id alt-svc".split()
)
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authentication-info proxy-authorization "
    b"proxy-connection te trailer transfer-encoding upgrade".split()
)
ALIKE = frozenset(
    b"access-control-allow-origin content-security-policy content-type referrer-policy server "
    b"strict-transport-security x-content-type-options x-frame-options".split()
)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")


def first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the first field of that (lower-case) name."""
    for key, value in headers:  # a generator costs twice as much, and each look-up pays for eight
        if key == name:
            return value
    return None


def as_text(headers: Headers) -> dict[str, str]:
    """By name, the first field of each."""
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in reversed(headers)}


def delta_seconds(value: bytes | None) -> float:
    """The seconds of an Age, 0 where there is none; of a list the first (RFC 9111, 5.1)."""
    digits = (value or b"").partition(b",")[0].strip()
    return float(min(int(digits[:20]), LARGEST_DELTA)) if digits.isdigit() else 0.0


def is_sound(value: bytes) -> bool:
    """Whether a field's value can be sent on: no control character but the tab (RFC 9110, 5.5)."""
    return _CONTROL.search(value) is None


@lru_cache(1_024)
def is_name(name: bytes) -> bool:
    """Whether a field can be called so, in lower case (RFC 9110, 5.1)."""
    return _NAME.fullmatch(name) is not None


def are_sound(headers: Headers) -> bool:
    """Whether each of them can be sent on as it is."""
    for name, value in headers:  # as in `first`
        if not is_name(name) or _CONTROL.search(value) is not None:
            return False
    return True


def without_hops(headers: Headers) -> Headers:
    """The fields that are the message's own: none of one connection's, none that `Connection`
    names (RFC 9110, 7.6.1), no cookie, none that no server would send again."""
    listed = b",".join(value for key, value in headers if key == b"connection")
    dropped = HOP_BY_HOP | {name.strip().lower() for name in listed.split(b",")}
    return tuple(
        (name, value)
        for name, value in headers
        if name not in dropped and is_name(name) and is_sound(value)
    )


def end_to_end(headers: Headers) -> Headers:
    """What may be stored and sent on: what is the message's own, without what we say ourselves.
    Validators are kept."""
    dropped = REPLACED_BY_US - {b"etag", b"last-modified"}
    return shared(tuple(pair for pair in without_hops(headers) if pair[0] not in dropped))


def shared(headers: Headers) -> Headers:
    """The same fields, made of objects that thousands of entries have in common: names, and
    those fields that the upstream sends with each answer alike."""
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
    """A complete answer of whoever answers there: lower-case names, body within the bound.

    `is_verbatim`: it passes with what it says of caching, and nothing is said in its place.
    """

    status: int
    headers: Headers
    body: bytes
    is_verbatim: bool = False

    def header(self, name: bytes) -> bytes | None:
        """The first field of that (lower-case) name."""
        return first(self.headers, name)

    @property
    def is_html(self) -> bool:
        """Whether it is a page, by its label or its looks: then the API did not write it."""
        kind = (self.header(b"content-type") or b"").lower()
        if kind.startswith((b"text/html", b"application/xhtml")):
            return True
        return self.body[:64].lstrip().startswith(b"<")
