"""The compressed form of an entry, and the requests that get it (RFC 9110, 8.4 and 12.5.3)."""

from __future__ import annotations

import gzip
import re
from typing import Final

from gateway.core.cache.entry import Entry
from gateway.core.http.cache_control import directives_of
from gateway.core.http.fields import Headers, first
from gateway.core.http.memoized import memoized

# A body of less than _LEAST bytes is not compressed, because its response fits into one packet
# anyway. While a body is compressed, all other requests wait. So a body of at least _LARGE bytes is
# compressed with the level _FAST, which takes 8 ms for a mebibyte.
_LEAST: Final = 1_400
_LARGE: Final = 65_536
_WELL, _FAST = 6, 1
_GAIN: Final = 0.9
_TEXTS: Final = (b"text/", b"application/json", b"application/problem+json")

_NAME: Final = rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)"
_CODING = re.compile(_NAME + rb"[ \t]*(?:;[ \t]*[Qq]=([01](?:\.[0-9]{0,3})?))?")
VARY: Final = (b"vary", b"Accept-Encoding")
# The compressed form does not have these fields: they have a digest of the uncompressed form (RFC
# 9530; RFC 3230; RFC 1864).
_DIGESTS: Final = frozenset((b"content-digest", b"content-md5", b"digest", b"repr-digest"))
# Under `freshness.source = "policy"`, entries keep only this part of `Cache-Control`.
NO_TRANSFORM: Final = (b"cache-control", b"no-transform")


@memoized(1_024)
def takes_gzip(accept_encoding: bytes | None) -> bool:
    """Whether the client accepts gzip and does not prefer `identity` (RFC 9110, 12.5.3)."""
    if accept_encoding is None:
        return False
    weights: dict[bytes, float] = {}
    for each in accept_encoding.split(b","):
        match = _CODING.fullmatch(each.strip(b" \t"))
        if match is not None:
            weights[match[1].lower()] = 1.0 if match[2] is None else float(match[2])
    others = weights.get(b"*", 0.0)
    wanted = weights.get(b"gzip", weights.get(b"x-gzip", others))
    return wanted > 0.0 and wanted >= weights.get(b"identity", 0.0)


def is_worth_coding(entry: Entry) -> bool:
    """Whether the entry may have a compressed form."""
    if len(entry.body) < _LEAST or entry.status != 200:
        return False
    if first(entry.headers, b"content-encoding") is not None:
        return False
    kind = first(entry.headers, b"content-type") or b"application/json"
    return kind.lower().startswith(_TEXTS) and not forbids_transforming(entry.headers)


def forbids_transforming(headers: Headers) -> bool:
    """Whether no cache may send the body in another form (RFC 9111, 5.2.2.6)."""
    for name, value in headers:  # a generator takes twice the time
        if name == b"cache-control" and b"no-transform" in directives_of(value):
            return True
    return False


def passing_on(control: bytes, entry: Entry) -> bytes:
    """The `Cache-Control` value `control`. If the entry has `no-transform`, this directive is
    added, because the gateway must pass it on to the caches between itself and the caller (RFC
    9111, 5.2)."""
    return control + b", no-transform" if forbids_transforming(entry.headers) else control


def coded_body(body: bytes) -> bytes | None:
    """The compressed body. None if the compression saves 10 % or less. Equal bodies have equal
    compressed bodies."""
    level = _WELL if len(body) < _LARGE else _FAST
    coded = gzip.compress(body, level, mtime=0)
    return coded if len(coded) < len(body) * _GAIN else None


def coded_entry(entry: Entry, coded: bytes) -> Entry:
    """The compressed form as an entry. Its header fields only serve to check preconditions. A
    response gets its header fields from `coded_fields`."""
    tag = (b"etag", tag_of(entry))
    headers = (*(pair for pair in entry.headers if pair[0] != b"etag"), tag)
    return entry.but(body=coded, headers=headers)


def coded_fields(fields: Headers, entry: Entry, length: int) -> Headers:
    """The fields of the compressed form, made from those of the uncompressed form."""
    changed = {
        b"content-length": b"%d" % length,
        b"etag": tag_of(entry),
    }
    kept = tuple((name, changed.get(name, value)) for name, value in fields if name not in _DIGESTS)
    return (*kept, (b"content-encoding", b"gzip"))


def tag_of(entry: Entry) -> bytes:
    """The strong entity tag of the compressed form (RFC 9110, 8.8.3.3)."""
    return b'"%b-gzip"' % entry.digest.encode("ascii")
