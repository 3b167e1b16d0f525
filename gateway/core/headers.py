"""Header fields as values: what an entry carries, conditions, directives, Cache-Status.

Pure functions of bytes and entries. Which answer is given is policy's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from gateway.core.directives import LARGEST_DELTA
from gateway.core.entry import Entry, Headers
from gateway.core.instant import parse_http_date, to_http_date, to_seconds
from gateway.core.status import Detail, Forward, NotStoredReason

# Said anew by us, untrue after us, or about the upstream's own connection.
_REPLACED = frozenset(
    b"age cache-control cache-status content-encoding content-length date etag expires "
    b"last-modified pragma set-cookie training-updated-at vary x-request-id alt-svc".split()
)
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authentication-info proxy-authorization "
    b"proxy-connection te trailer transfer-encoding upgrade".split()
)
# An entry may come from Redis: what frames a message is never taken from there.
_NEVER_THEIRS = _REPLACED | HOP_BY_HOP
ALIKE = frozenset(
    b"access-control-allow-origin content-security-policy content-type referrer-policy server "
    b"strict-transport-security x-content-type-options x-frame-options".split()
)
# RFC 9110, 8.8.3 and 5.6.1: commas inside the quotes belong to the tag, elements may be empty.
_ETAG = re.compile(rb'[ \t,]*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|$)')
_LAST_MODIFIED_MARGIN = 60.0
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
    dropped = _REPLACED - {b"etag", b"last-modified"}
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


def etag_of(entry: Entry) -> bytes:
    """The upstream's ETag, or a strong one of ours made from the body."""
    return first(entry.headers, b"etag") or b'"%s"' % entry.digest.encode("ascii")


def last_modified_of(entry: Entry) -> bytes | None:
    """The upstream's Last-Modified, or `updated_at` once it is a minute older than Date:
    before that, two edits within one second would make a false 304."""
    if entry.updated_at is None:
        return None
    theirs = first(entry.headers, b"last-modified")
    date = parse_http_date(entry.date)
    if theirs is not None or date is None:
        return theirs
    if to_seconds(entry.updated_at) > date - _LAST_MODIFIED_MARGIN:
        return None
    return to_http_date(entry.updated_at).encode("ascii")


def stored_fields(entry: Entry, *, vary: bool) -> Headers:
    """The fields of a 200, 404 or 410 that stay true as long as the entry does: all but
    Age, Cache-Status and X-Request-ID. `vary`: whether the answer depends on the caller."""
    fields = [pair for pair in entry.headers if pair[0] not in _NEVER_THEIRS]
    if first(fields, b"content-type") is None:
        fields.append((b"content-type", b"application/json"))
    fields.append((b"content-length", b"%d" % len(entry.body)))
    if not entry.is_negative:
        fields.append((b"etag", etag_of(entry)))
    if (last_modified := last_modified_of(entry)) is not None:
        fields.append((b"last-modified", last_modified))
    fields.append((b"date", entry.date.encode("ascii")))
    fields.append((b"cache-control", b"private, max-age=%d" % int(entry.freshness_lifetime)))
    if vary:
        fields.append((b"vary", b"Authorization"))
    if entry.updated_at_text:
        fields.append((b"training-updated-at", entry.updated_at_text.encode("ascii")))
    return tuple(fields)


_OF_304 = frozenset(
    b"cache-control cdn-cache-control content-location date etag expires last-modified "
    b"training-updated-at vary".split()
)


def not_modified_fields(stored: Headers) -> Headers:
    """Those of `stored_fields` that a 304 carries (RFC 9110, 15.4.5)."""
    return tuple([pair for pair in stored if pair[0] in _OF_304])


@dataclass(frozen=True, slots=True)
class Conditions:
    """The preconditions of a request; None where the field is absent."""

    if_none_match: bytes | None = None
    if_modified_since: bytes | None = None


def is_not_modified(conditions: Conditions, entry: Entry) -> bool:
    """Whether a 304 answers the request (RFC 9110, 13.2.2): weak comparison, lists, `*`;
    If-None-Match has precedence over If-Modified-Since."""
    if conditions.if_none_match is not None:
        return _matches(conditions.if_none_match, etag_of(entry))
    if conditions.if_modified_since is None:
        return False
    modified = _date(last_modified_of(entry))
    since = _date(conditions.if_modified_since)
    return modified is not None and since is not None and modified <= since


def _matches(wanted: bytes, etag: bytes) -> bool:
    if wanted.strip() == b"*":
        return True
    opaque = etag.removeprefix(b"W/")
    position = 0
    while match := _ETAG.match(wanted, position):
        if match[1] == opaque:
            return True
        position = match.end()
    return False


def _date(value: bytes | None) -> float | None:
    return None if value is None else parse_http_date(value.decode("latin-1"))


@dataclass(frozen=True, slots=True)
class Handling:
    """How the cache dealt with a request, as Cache-Status tells it (RFC 9211).

    `forward` None is a hit. `forward_status` is the upstream's, None where it sent none.
    `outdated`: the answer was ruled out since it was stored and only rescues, so that it is
    stale whatever its lifetime says.
    """

    detail: Detail | None = None
    forward: Forward | None = None
    forward_status: int | None = None
    stored: bool = False
    not_stored: NotStoredReason | None = None
    collapsed: bool = False
    outdated: bool = False


# Of answers for which nobody was asked: made once, since each hit has one.
HITS = {detail: Handling(detail) for detail in Detail}


def cache_status(handling: Handling, ttl: float | None) -> bytes:
    """The field's value; `ttl` in seconds, negative for a stale answer, None to leave it."""
    parts = ["gateway"]
    if handling.forward is None:
        parts.append("hit")
    else:
        parts.append(f"fwd={handling.forward}")
        if handling.forward_status is not None:
            parts.append(f"fwd-status={handling.forward_status}")
        if handling.stored:
            parts.append("stored")
        if handling.collapsed:
            parts.append("collapsed")
    if ttl is not None:
        parts.append(f"ttl={int(ttl // 1)}")
    if handling.not_stored is not None:
        parts.append(f"detail=not-stored-{handling.not_stored}")
    elif handling.detail is not None:
        parts.append(f"detail={handling.detail}")
    return "; ".join(parts).encode("ascii")
