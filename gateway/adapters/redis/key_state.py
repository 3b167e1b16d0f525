"""Reads the records of a key, and encodes two parts of the floor's record: page and answer.

No I/O. The records are the body (the stored entry), the floor, the event (the last orders about the
training), and the share of the partition (see partition_invalidation.py).

The first FLOOR_LENGTH bytes of a floor's record have its epoch, generation, version, digest and
times. Two parts can follow:

page    the times of the newest page of the list that confirmed the body. This part is missing until
        a page confirms the body. The next stored answer removes the part
answer  status, header fields and times of the last stored answer, which brought or confirmed the
        body

A floor without a digest has neither part. If a soft order or the list named a later version than
the stored one, the stored version stands in place of both parts (`_RAISED` in records.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import astuple, replace
from functools import partial

import msgspec

from gateway.adapters.redis.records import (
    FLOOR_LENGTH,
    SUM,
    EnvelopeRefused,
    checksum,
    decode,
    floor_after,
    micros,
    of_share,
    read_struck,
)
from gateway.core.cache.entry import Confirmation, Entry, Floor, Key, leaves_nothing
from gateway.core.http.fields import Headers, are_sound
from gateway.core.instant import are_seconds, from_seconds, parse_http_date, to_http_date
from gateway.core.sweep.list_item import Listed
from gateway.ports import Found, Standing

# The first byte of the answer. It goes up when the format changes, but skips 2 and 3, which are
# `_PAGE` and `_RAISED`. An answer with another schema is not read.
SCHEMA = 1

# An answer with more bytes is left out, because a floor is kept long and read often. Such an answer
# cannot renew an entry in L1.
_LARGEST = 4_096
_DATE = re.compile(r"[\x20-\x7e]*")

# A page: its schema, the generation of the floor (15 digits), the checksum, the date, and (in
# microseconds) the time of the confirmation, the initial age and the freshness lifetime.
_PAGE = b"\x02"
_TIMES = re.compile(rb"([\x20-\x7e]{29})(\d{16})(\d{16})(\d{16})")
_TIMES_LENGTH = 29 + 3 * 16
_TIMES_AT = 1 + 15
_PAGE_LENGTH = _TIMES_AT + SUM + _TIMES_LENGTH


class _Last(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """The fields of the answer, stored in this sequence: those of Confirmation."""

    status: int
    headers: Headers
    date: str
    confirmed_at: float
    initial_age: float
    freshness_lifetime: float
    generation: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Last)


def encode_last(entry: Entry) -> bytes:
    """The part `answer`: schema (1 byte), checksum (16), fields. Empty if the fields have
    more than `_LARGEST` bytes."""
    rest = _encoder.encode(astuple(Confirmation.of(entry)))
    if len(rest) > _LARGEST:
        return b""
    return bytes((SCHEMA,)) + checksum(rest) + rest


def encode_renewed(item: Listed) -> bytes:
    """The end of the part `page`: checksum (16 bytes), fields. sweep.lua puts the schema and the
    generation before it."""
    times, date = (item.confirmed_at, 0.0, item.freshness_lifetime), item.date
    if len(date) > 29:  # the obsolete form of a date, with the full name of the weekday
        date = to_http_date(from_seconds(parse_http_date(date) or item.confirmed_at))
    fields = date.ljust(29).encode("ascii") + "".join(map(micros, times)).encode()
    return checksum(fields) + fields


def standing_after(record: bytes | None, event: bytes | None, share: str | None) -> Standing | None:
    """The state of a key after `event`. None if the floor, the event or the share is lost."""
    floor = floor_after(record, event)
    if floor is None or record is None or share is None:
        return None
    # If the event has just removed the digest, the page and answer in the record are ignored.
    told = record[FLOOR_LENGTH:] if floor.digest else b""
    return Standing(of_share(floor, share), partial(_last, told))


def read_found(
    key: Key,
    records: tuple[bytes | None, bytes | None, bytes | None],
    share: str | None,
    refused: Callable[[str], None],
) -> Found:
    """The entry and the floor. Both are None if the floor, the event or the share is missing.

    `records` has the bytes of the floor, the event and the body. If the body is no entry of this
    key, `refused` is called with the reason.
    """
    record, event, body = records
    known = None if share is None else floor_after(record, event)
    # The lost floor, event or share has perhaps ruled out the body.
    if record is None or known is None or share is None:
        return Found(None, None, read_struck(event))
    known = of_share(known, share)
    if body is None:
        return Found(None, known)
    try:
        entry = decode(key, body)
    except EnvelopeRefused as fault:
        refused(fault.why)
        return Found(None, known)
    return Found(None if _is_beyond_rescue(entry, known) else _renewed(entry, known, record), known)


def _is_beyond_rescue(entry: Entry, known: Floor) -> bool:
    """Whether the entry must not even be used for rescue.

    - The epochs differ: a lost record was made anew, or the partition was invalidated.
    - A hard order without a version came after the entry's fetch began.
    - The floor has a later version than the entry, and no digest. The reason is a hard order with a
    version, or a later version in an answer that was not stored.
    - The entry has no version. The floor has one, but no digest, and rules the entry out.
    """
    if entry.epoch != known.epoch:
        return True
    is_passed = entry.generation < known.generation
    if is_passed and leaves_nothing(entry.generation, known.generation):
        return True
    if known.updated_at is None or known.digest:
        return False
    if entry.updated_at is None:
        return entry.is_below(known)
    return entry.updated_at < known.updated_at


def _renewed(entry: Entry, known: Floor, record: bytes) -> Entry:
    """The entry with the times and header fields of its last confirmation, if the floor confirms
    the entry. Otherwise the unchanged entry."""
    if entry.confirmed_at >= known.started or entry.is_below(known):
        return entry
    return entry.confirmed_by(known, _last(record[FLOOR_LENGTH:])) or entry


def _last(data: bytes) -> Confirmation | None:
    """The later one of two confirmations, by a page and by an answer. None if neither can be read.

    A page has no header fields, so those of the answer are added. But if the generations differ,
    the page is returned without header fields: the generation rose after the answer, whose header
    fields are perhaps outdated.
    """
    if data[:1] != _PAGE:
        return _read_answer(data)
    answer, page = _read_answer(data[_PAGE_LENGTH:]), _read_page(data[:_PAGE_LENGTH])
    if answer is None or page is None or page.generation != answer.generation:
        return page or answer
    return (
        answer if answer.confirmed_at > page.confirmed_at else replace(page, headers=answer.headers)
    )


def _read_page(data: bytes) -> Confirmation | None:
    fields = data[_TIMES_AT + SUM :]
    match = _TIMES.fullmatch(fields)
    if match is None or checksum(fields) != data[_TIMES_AT : _TIMES_AT + SUM]:
        return None
    generation = data[1:_TIMES_AT]
    if not generation.isdigit():
        return None
    confirmed_at, age, lifetime = (int(part) / 1_000_000 for part in match.groups()[1:])
    date = match[1].decode().rstrip()
    return Confirmation(200, None, date, confirmed_at, age, lifetime, int(generation))


def _read_answer(data: bytes) -> Confirmation | None:
    if data[:1] != bytes((SCHEMA,)) or checksum(data[1 + SUM :]) != data[1 : 1 + SUM]:
        return None
    try:
        last = _decoder.decode(data[1 + SUM :])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not _can_be_served(last):
        return None
    return Confirmation(*msgspec.structs.astuple(last))


def _can_be_served(last: _Last) -> bool:
    """Whether the values are sound. Another program has perhaps written them."""
    return (
        last.status in (200, 404, 410)
        and are_seconds(last.confirmed_at, last.initial_age, last.freshness_lifetime)
        and are_sound(last.headers)
        and _DATE.fullmatch(last.date) is not None
    )
