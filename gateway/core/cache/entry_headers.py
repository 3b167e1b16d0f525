"""Makes the header fields of an entry's responses, and checks the preconditions of requests.

gateway/web adds the fields that differ between responses, for example `Age`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.core.cache.content_coding import VARY, coded_fields, is_worth_coding, passing_on
from gateway.core.cache.entry import Entry
from gateway.core.http.fields import HOP_BY_HOP, REPLACED_BY_US, Headers, first
from gateway.core.instant import parse_http_date, to_http_date, to_seconds

# The responses of an entry do not get these fields from the entry. The fields concern one
# connection or one message, or the gateway writes them itself. Most of them are left out when an
# answer is stored. But an entry from Redis can have any fields, so all of them are left out here.
_NOT_FROM_ENTRY = REPLACED_BY_US | HOP_BY_HOP
# Commas inside the quotes belong to the tag (RFC 9110, 8.8.3). List elements may be empty (5.6.1).
_ETAG = re.compile(rb'[ \t,]*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|$)')
_LAST_MODIFIED_MARGIN = 60.0


def etag_of(entry: Entry) -> bytes:
    """The upstream's ETag, or a strong one made from the body."""
    return first(entry.headers, b"etag") or b'"%s"' % entry.digest.encode("ascii")


def last_modified_of(entry: Entry) -> bytes | None:
    """The upstream's `Last-Modified`, or else `updated_at`. None if the entry has no version.

    `updated_at` is used only if it is at least a minute earlier than `Date`. Otherwise the result
    is None, because another edit could have the same `Last-Modified`, and a 304 would be wrong.
    """
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
    """The fields of the entry's responses, except the fields that gateway/web adds. `vary`: whether
    the responses have `Vary: Authorization`."""
    fields = [pair for pair in entry.headers if pair[0] not in _NOT_FROM_ENTRY]
    if first(fields, b"content-type") is None:
        fields.append((b"content-type", b"application/json"))
    fields.append((b"content-length", b"%d" % len(entry.body)))
    if not entry.is_negative:
        fields.append((b"etag", etag_of(entry)))
    if (last_modified := last_modified_of(entry)) is not None:
        fields.append((b"last-modified", last_modified))
    fields.append((b"date", entry.date.encode("ascii")))
    control = b"private, max-age=%d" % int(entry.freshness_lifetime)
    fields.append((b"cache-control", passing_on(control, entry)))
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
    """The fields in `stored` that a 304 has too (RFC 9110, 15.4.5)."""
    return tuple([pair for pair in stored if pair[0] in _OF_304])


@dataclass(frozen=True, slots=True)
class Conditions:
    """The preconditions of a request. None: the field is absent."""

    if_none_match: bytes | None = None
    if_modified_since: bytes | None = None


def is_not_modified(conditions: Conditions, entry: Entry) -> bool:
    """Whether the response is a 304 (RFC 9110, 13.2.2). Tags are compared weakly."""
    if conditions.if_none_match is not None:
        return matches(conditions.if_none_match, etag_of(entry))
    if conditions.if_modified_since is None:
        return False
    modified = _date(last_modified_of(entry))
    since = _date(conditions.if_modified_since)
    return modified is not None and since is not None and modified <= since


def matches(wanted: bytes, etag: bytes) -> bool:
    """Whether the value `wanted` of `If-None-Match` has this tag. Tags are compared weakly."""
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


def head_of(entry: Entry, *, vary: bool) -> tuple[bytes, int]:
    """The header lines of the entry's responses, and an offset. The lines that a 304 has too begin
    at this offset. The first of them is the `ETag`, if there is one."""
    return head_of_fields(stored_fields(entry, vary=vary), entry)


def head_of_fields(fields: Headers, entry: Entry) -> tuple[bytes, int]:
    """Like `head_of`, for given fields."""
    return _arranged((*fields, VARY) if is_worth_coding(entry) else fields)


def coded_head(head: bytes, entry: Entry, length: int) -> tuple[bytes, int]:
    """Like `head_of`, for a compressed body of `length` bytes. `head`: the header lines for the
    uncompressed body."""
    return _arranged(coded_fields(from_lines(head), entry, length))


def _arranged(fields: Headers) -> tuple[bytes, int]:
    for_304 = not_modified_fields(fields)
    tag = [pair for pair in for_304 if pair[0] == b"etag"]
    others = [pair for pair in for_304 if pair[0] != b"etag"]
    lines = to_lines([pair for pair in fields if pair not in for_304])
    return lines + to_lines(tag + others), len(lines)


def has_etag(head: bytes, brief_at: int, etag: bytes) -> bool:
    """Whether the head has exactly this tag at the offset that `head_of` returned."""
    return head.startswith(b"etag: " + etag + b"\r\n", brief_at)


def to_lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write each field as a line with CRLF. Values must not have control characters."""
    return b"".join([b"%b: %b\r\n" % pair for pair in fields])


def from_lines(lines: bytes) -> Headers:
    """Read the fields that `to_lines` wrote."""
    pairs = [line.partition(b": ") for line in lines.split(b"\r\n")[:-1]]
    return tuple([(name, value) for name, _, value in pairs])
