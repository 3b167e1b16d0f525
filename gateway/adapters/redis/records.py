"""The formats in Redis: marks, the facts of entries, refusals, and the envelope (the rest of an
entry as bytes).

No I/O. Fields have fixed widths, because Lua compares versions as text. Lua's numbers are doubles,
which cannot tell apart versions that differ by a nanosecond.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple, Self

import msgspec

from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.marks import Facts, Mark, Refusal, Slot, Ticket, Version, Words
from gateway.core.http.fields import are_sound, shared
from gateway.core.instant import (
    WIRE_LENGTH,
    are_seconds,
    from_wire,
    to_wire,
)

# Goes up when the envelope changes.
SCHEMA = 4

_NO_VERSION: Final = "0" * WIRE_LENGTH  # sorts before all versions

# The lengths of these records are in lua/mark.lua too.
_MARK_LENGTH: Final = 94
FACTS_LENGTH: Final = 208
_REFUSAL_LENGTH: Final = 38
_WORDS = rb"([0-9a-f]{16}) ([0-9a-f]{16}) ([0-9a-f]{16})"
_MARK = re.compile(_WORDS + rb" (\d{21}) (\d{21})")
_FACTS = re.compile(rb"(\d{21}) (\d{16}) (\d{16})" + 3 * (b" " + _WORDS))
_REFUSAL = re.compile(rb"(\d{21}) (\d{16})")

SUM = 16  # bytes of a checksum
_HEAD_AT = 1 + SUM + 4
_TEXT = re.compile(r"[\x20-\x7e]*")
_DIGEST = re.compile(r"[0-9a-f]{32}")


class Raw(NamedTuple):
    """The records of a slot (empty: absent)."""

    mark: bytes = b""
    facts: bytes = b""
    refusal: bytes = b""

    @classmethod
    def of(cls, mark: bytes | None, entry: bytes | None, refusal: bytes | None) -> Self:
        """The records in the values of the three keys, as the scripts read them."""
        values = (mark, _MARK_LENGTH), (entry, FACTS_LENGTH), (refusal, _REFUSAL_LENGTH)
        return cls(*(value[:n] if value and len(value) >= n else b"" for value, n in values))


class EnvelopeRefused(Exception):
    """The bytes are no entry of the wanted key. `why` is the reason in one word."""

    def __init__(self, why: str) -> None:
        super().__init__(f"not an entry: {why}")
        self.why = why


class _Head(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """The fields before the body, stored in this sequence."""

    partition: str
    training_id: str
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    updated_at: str | None
    updated_at_text: str
    digest: str
    date: str
    initial_age: float
    freshness_lifetime: float
    length: int
    selecting: tuple[tuple[bytes, bytes], ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Head)


def encode(key: Key, entry: Entry) -> bytes:
    """The envelope: schema (1 byte), checksum (16), length of the head (4), head, body."""
    head = _encoder.encode(
        _Head(
            *key,
            entry.status,
            entry.headers,
            None if entry.updated_at is None else to_wire(entry.updated_at),
            entry.updated_at_text,
            entry.digest,
            entry.date,
            entry.initial_age,
            entry.freshness_lifetime,
            len(entry.body),
            entry.selecting,
        )
    )
    rest = len(head).to_bytes(4, "big") + head + entry.body
    return bytes((SCHEMA,)) + checksum(rest) + rest


def decode(key: Key, facts: Facts, data: bytes) -> Entry:
    """The entry of `key` in an envelope, with its facts. Raises only EnvelopeRefused.

    The body is a copy, so that the whole envelope does not stay in memory.
    """
    if data[:1] != bytes((SCHEMA,)):
        raise EnvelopeRefused("schema")
    if len(data) < _HEAD_AT or checksum(memoryview(data)[1 + SUM :]) != data[1 : 1 + SUM]:
        raise EnvelopeRefused("checksum")
    body_at = _HEAD_AT + int.from_bytes(data[_HEAD_AT - 4 : _HEAD_AT], "big")
    try:
        head = _decoder.decode(memoryview(data)[_HEAD_AT:body_at])
        updated_at = None if head.updated_at is None else from_wire(head.updated_at)
    except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
        raise EnvelopeRefused("head") from fault
    if (head.partition, head.training_id) != key:
        raise EnvelopeRefused("key")
    body = data[body_at:]
    if len(body) != head.length or updated_at != facts.version or not _is_sound(head):
        raise EnvelopeRefused("values")
    return _entry(head, facts, body)


def checksum(rest: bytes | memoryview) -> bytes:
    """The checksum of these bytes (`SUM` bytes)."""
    return blake2b(rest, digest_size=SUM).digest()


def _is_sound(head: _Head) -> bool:
    """Whether the values are sound. Another program has perhaps written the entry."""
    return (
        head.status in (range(200, 600) if head.updated_at is None else (200,))
        and are_seconds(head.initial_age, head.freshness_lifetime)
        and are_sound(head.headers)
        and are_sound(head.selecting)
        and all(map(_TEXT.fullmatch, (head.date, head.updated_at_text)))
        and _DIGEST.fullmatch(head.digest) is not None
    )


def _entry(head: _Head, facts: Facts, body: bytes) -> Entry:
    entry = Entry(
        status=head.status,
        headers=shared(head.headers),
        body=body,
        updated_at=facts.version,
        updated_at_text=head.updated_at_text,
        digest=head.digest,
        date=head.date,
        confirmed_at=facts.started,
        initial_age=head.initial_age,
        freshness_lifetime=head.freshness_lifetime,
        started=facts.started,
        ticket=facts.ticket,
        selecting=head.selecting,
    )
    return entry.renewed_by(facts)


def micros(seconds: float) -> str:
    """A time or a duration in microseconds, as 16 digits."""
    return f"{min(max(round(seconds * 1_000_000), 0), 10**16 - 1):016d}"


def version_record(version: Version) -> str:
    """A version as 21 digits (None: zeros)."""
    return _NO_VERSION if version is None else to_wire(version)


def encode_mark(mark: Mark) -> str:
    """The record of a mark: three words and two bounds, in fixed widths."""
    return " ".join((*mark.words, version_record(mark.bound), version_record(mark.hard_bound)))


def decode_mark(record: bytes | None) -> Mark | None:
    """The mark in a record. None if there is none, or if the bytes are no mark."""
    match = None if record is None else _MARK.fullmatch(record[:_MARK_LENGTH])
    if match is None:
        return None
    *words, bound, hard_bound = map(bytes.decode, match.groups())
    return Mark(Words(*words), _version(bound), _version(hard_bound))


def encode_slot(slot: Slot) -> Raw:
    """The records of a slot."""
    mark, facts, refusal = slot
    return Raw(
        b"" if mark is None else encode_mark(mark).encode(),
        b"" if facts is None else _encode_facts(facts).encode(),
        b""
        if refusal is None
        else f"{version_record(refusal.version)} {micros(refusal.first)}".encode(),
    )


def decode_slot(raw: Raw) -> Slot:
    """The slot in its records. What cannot be read counts as absent."""
    match = _REFUSAL.fullmatch(raw.refusal)
    version = None if match is None else _version(match[1].decode())
    refusal = None
    if match is not None and version is not None:
        refusal = Refusal(version, int(match[2]) / 1_000_000)
    return Slot(decode_mark(raw.mark), _decode_facts(raw.facts), refusal)


def _encode_facts(facts: Facts) -> str:
    """The beginning of an entry's record. All three marks must have been read."""
    words = [word for each in facts.ticket if each for word in each]
    times = micros(facts.started), micros(facts.confirmed)
    return " ".join((version_record(facts.version), *times, *words))


def _decode_facts(record: bytes) -> Facts | None:
    match = _FACTS.fullmatch(record)
    if match is None:
        return None
    version, started, confirmed, *words = map(bytes.decode, match.groups())
    ticket = Ticket(_shared(*words[:3]), _shared(*words[3:6]), Words(*words[6:]))
    return Facts(_version(version), ticket, int(started) / 1_000_000, int(confirmed) / 1_000_000)


@lru_cache(256)
def _shared(hard: str, soft: str, named: str) -> Words:
    """The words of a mark that many entries have in common, once in memory."""
    return Words(hard, soft, named)


def _version(text: str) -> Version:
    """The version. None if the digits mean no version, or cannot be read."""
    with suppress(ValueError):
        return None if text == _NO_VERSION else from_wire(text)
    return None
