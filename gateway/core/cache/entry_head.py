"""Header fields as they are written, a line each, and back: an entry's head is made once.

Which fields an entry has is the business of entry_headers; what is true only for a moment (`Age`,
`Cache-Status`, `X-Request-ID`) is added by the web.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.cache.content_coding import VARY, coded_fields, is_worth_coding
from gateway.core.cache.entry import Entry
from gateway.core.cache.entry_headers import not_modified_fields, stored_fields
from gateway.core.http.fields import Headers


def head_of(entry: Entry, *, vary: bool) -> tuple[bytes, int]:
    """The lines of all answers that the entry will give, and where those begin that a 304 says
    as well, `ETag` first; `vary` as in `stored_fields`."""
    return head_of_fields(stored_fields(entry, vary=vary), entry)


def head_of_fields(fields: Headers, entry: Entry) -> tuple[bytes, int]:
    """The same of fields that were chosen already."""
    return _arranged((*fields, VARY) if is_worth_coding(entry) else fields)


def coded_head(head: bytes, entry: Entry, length: int) -> tuple[bytes, int]:
    """The same of the entry's compressed form, made of its own head; `length` in bytes."""
    return _arranged(coded_fields(from_lines(head), entry, length))


def _arranged(fields: Headers) -> tuple[bytes, int]:
    told = not_modified_fields(fields)
    tag = [pair for pair in told if pair[0] == b"etag"]
    brief = tag + [pair for pair in told if pair[0] != b"etag"]
    lines = to_lines([pair for pair in fields if pair not in told])
    return lines + to_lines(brief), len(lines)


def has_etag(head: bytes, brief_at: int, etag: bytes) -> bool:
    """Whether just this is the entry's tag, without another look at the entry."""
    return head.startswith(b"etag: " + etag + b"\r\n", brief_at)


def to_lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Each field as a line with its end; values without control characters."""
    return b"".join([b"%b: %b\r\n" % pair for pair in fields])


def from_lines(lines: bytes) -> Headers:
    """The fields that were written so."""
    pairs = [line.partition(b": ") for line in lines.split(b"\r\n")[:-1]]
    return tuple([(name, value) for name, _, value in pairs])
