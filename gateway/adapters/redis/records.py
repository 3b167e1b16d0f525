"""The formats in Redis: the envelope (an entry as bytes), and the records of floors and of events.

No I/O. An event here is the record of the last orders about a training. Fields have fixed widths,
because Lua compares them as text. Lua's numbers are doubles, which cannot tell apart versions that
differ by a nanosecond.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from gateway.core.cache.entry import SOFT, Entry, Floor, Key
from gateway.core.http.fields import are_sound, shared
from gateway.core.instant import WIRE_LENGTH, Instant, are_seconds, from_wire, to_wire

# Goes up when the envelope changes. The name of a body's key contains this number, so a release
# reads only bodies of its own schema.
SCHEMA = 3

NO_VERSION = "0" * WIRE_LENGTH  # sorts before all versions
NO_DIGEST = "-" * 32
NEVER = "0" * 16
EPOCH_LENGTH = 16
FLOOR_LENGTH = 128  # bytes of the fixed part of a floor; key_state.py explains what follows

SUM = 16  # bytes of a checksum
_HEAD_AT = 1 + SUM + 4
_TEXT = re.compile(r"[\x20-\x7e]*")
_DIGEST = re.compile(r"[0-9a-f]{32}")

_FLOOR = re.compile(
    rb"([0-9a-f]{16}) (0{5}\d{15}) (\d{21}) ([vn-]) ([0-9a-f]{32}|-{32}) (\d{16}) (\d{16})"
)
# If the floor was raised above the stored version, the stored version follows the fixed part.
_RAISED = re.compile(rb"\x03(\d{21})")
# The first digit of the serial (the first field) is 8 at most. Lua sometimes adds 1 to the serial.
# The new serial must have 16 digits too, and be exact as a double.
_EVENT = re.compile(rb"([0-8]\d{15}) (\d{16}) (\d{21}) (\d{16})(?: (\d{16}) (\d{21}) (\d{16}))?")


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
    confirmed_at: float
    initial_age: float
    freshness_lifetime: float
    generation: int
    epoch: str
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
            entry.confirmed_at,
            entry.initial_age,
            entry.freshness_lifetime,
            entry.generation,
            entry.epoch,
            len(entry.body),
            entry.selecting,
        )
    )
    rest = len(head).to_bytes(4, "big") + head + entry.body
    return bytes((SCHEMA,)) + checksum(rest) + rest


def decode(key: Key, data: bytes) -> Entry:
    """The entry of `key` in an envelope. Raises only EnvelopeRefused.

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
    if len(body) != head.length or not _is_sound(head):
        raise EnvelopeRefused("values")
    return _entry(head, updated_at, body)


def checksum(rest: bytes | memoryview) -> bytes:
    """The checksum of these bytes (`SUM` bytes)."""
    return blake2b(rest, digest_size=SUM).digest()


def _is_sound(head: _Head) -> bool:
    """Whether the values are sound. Another program has perhaps written the entry."""
    return (
        head.status in (range(200, 600) if head.updated_at is None else (200,))
        and are_seconds(head.confirmed_at, head.initial_age, head.freshness_lifetime)
        and 0 <= head.generation < 10**15
        and are_sound(head.headers)
        and are_sound(head.selecting)
        and all(map(_TEXT.fullmatch, (head.date, head.updated_at_text)))
        and _DIGEST.fullmatch(head.digest) is not None
    )


def _entry(head: _Head, updated_at: Instant | None, body: bytes) -> Entry:
    return Entry(
        status=head.status,
        headers=shared(head.headers),
        body=body,
        updated_at=updated_at,
        updated_at_text=head.updated_at_text,
        digest=head.digest,
        date=head.date,
        confirmed_at=head.confirmed_at,
        initial_age=head.initial_age,
        freshness_lifetime=head.freshness_lifetime,
        generation=head.generation,
        epoch=head.epoch,
        selecting=head.selecting,
    )


def micros(seconds: float) -> str:
    """A time or a duration in microseconds, as 16 digits."""
    return f"{min(max(round(seconds * 1_000_000), 0), 10**16 - 1):016d}"


def version(updated_at: Instant | None) -> str:
    """A version as 21 digits (None: NO_VERSION)."""
    return NO_VERSION if updated_at is None else to_wire(updated_at)


def read_floor(record: bytes) -> Floor | None:
    """The floor in a record. Events that were not yet applied to the record are ignored. None if
    the bytes are no floor."""
    match = _FLOOR.fullmatch(record[:FLOOR_LENGTH])
    return None if match is None else _read(match, b"").floor()


def floor_after(record: bytes | None, event: bytes | None) -> Floor | None:
    """The floor after `event` is applied, by the rule of `absorb` in floor.lua.

    None if one of the records is lost, because the lost record has perhaps ruled out a stored
    response.
    """
    match = None if record is None else _FLOOR.fullmatch(record[:FLOOR_LENGTH])
    happened = None if event is None else _EVENT.fullmatch(event)
    if record is None or match is None or happened is None:
        return None
    known = _read(match, record)
    known.absorb(_Event(*(field.decode() for field in happened.groups() if field is not None)))
    return known.floor()


class _Event(NamedTuple):
    """The fields of an event's record, as floor.lua explains them."""

    serial: str
    all: str
    bound: str
    at: str
    soft: str = NEVER
    soft_bound: str = NO_VERSION
    soft_at: str = NEVER


@dataclass(slots=True)
class _Record:
    """The fields of a floor's record. `stored`: the version of the stored response, if the floor
    was raised above it (otherwise empty)."""

    epoch: str
    generation: int
    updated_at: str
    kind: str
    digest: str
    started: str
    seen: str
    stored: str

    def floor(self) -> Floor:
        digest = "" if self.digest == NO_DIGEST else self.digest
        version, started = _version(self.updated_at), int(self.started) / 1_000_000
        return Floor(self.epoch, self.generation, version, digest, started)

    def absorb(self, event: _Event) -> None:
        seen = self.seen
        if event.serial == seen:  # the event is already applied
            return
        went_back = seen > event.serial
        if (went_back or event.at > seen) and self._is_raised_by(event.bound, self.stored):
            self._raise(max(event.bound, self.updated_at), event.at)
        if (went_back or event.soft_at > seen) and self._is_raised_by(event.soft_bound):
            self._raise_softly(event.soft_bound, event.soft_at)
        if went_back or event.all > seen:
            self.generation += 1
        elif event.soft > seen:
            self.generation += SOFT

    def _is_raised_by(self, bound: str, stored: str = "") -> bool:
        ends_negative = self.kind == "n" and bound == self.updated_at and bound > NO_VERSION
        return bound > (stored or self.updated_at) or ends_negative

    def _raise(self, version: str, at: str) -> None:
        self.updated_at, self.kind, self.digest, self.stored = version, "-", NO_DIGEST, ""
        self.started = max(self.started, at)

    def _raise_softly(self, version: str, at: str) -> None:
        if self.kind != "v":
            self._raise(version, at)
        self.updated_at, self.started = version, max(self.started, at)


def _read(match: re.Match[bytes], record: bytes) -> _Record:
    epoch, generation, updated_at, kind, digest, started, seen = map(bytes.decode, match.groups())
    raised = _RAISED.fullmatch(record[FLOOR_LENGTH:]) if kind == "v" else None
    stored = "" if raised is None else raised[1].decode()
    return _Record(epoch, int(generation), updated_at, kind, digest, started, seen, stored)


def of_share(floor: Floor, share: str) -> Floor:
    """The same floor, with the share of its partition appended to its epoch, as in an entry."""
    if not share:
        return floor
    epoch = floor.epoch + share
    return Floor(epoch, floor.generation, floor.updated_at, floor.digest, floor.started)


def read_struck(event: bytes | None) -> float:
    """The time of the last hard order in `event` (-inf: not known). If the floor or the share is
    lost, responses that were confirmed at this time or before count as ruled out."""
    match = None if event is None else _EVENT.fullmatch(event)
    return -math.inf if match is None else max(int(match[2]), int(match[4])) / 1_000_000


def _version(text: str) -> Instant | None:
    """The version. None if the digits mean no version, or cannot be read."""
    try:
        return None if text == NO_VERSION else from_wire(text)
    except ValueError:
        return None
