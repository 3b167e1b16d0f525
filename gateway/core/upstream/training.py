"""Parses one training as the upstream sent it: bytes -> `Training`, or `InvalidPayload`.

The hard rules: a body is a JSON object in UTF-8 with at most `MAX_MEMBERS` members, it has the
expected id and a valid `updated_at`, and each documented field has an allowed JSON type. A body
that breaks a hard rule is refused.

The soft rules: a body has all documented fields and no others, and the values of `type`,
`restricted_to_channels`, `published_at` and `created_at` are known words or valid dates. A body
that breaks a soft rule is served, and reported as drift.

The bytes of a body are never changed.

JSON parsers differ in some cases (RFC 8259, sections 4, 6, 7 and 8). This module decides:

- If `id` or `updated_at` occurs twice, the values must be the same. Otherwise two readers of the
  same bytes could see two trainings.
- An escaped half of a surrogate pair is allowed in a string (a text that was cut within an emoji
  can have one).
- A byte order mark, NaN, Infinity, and control characters in strings are not allowed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder

from gateway.core.errors import InvalidPayload
from gateway.core.instant import Instant, parse_instant
from gateway.core.vocabulary import DriftKind, InvalidReason

ID: Final = "[A-Za-z0-9._~-]{1,128}"
_ID: Final = re.compile(ID)

# The first byte of a JSON value tells its type.
_STRING: Final = b'"'
_BOOLEAN: Final = b"tf"
_NUMBER: Final = b"-0123456789"
_ARRAY: Final = b"["
_OR_NULL: Final = b"n"

_FIELDS: Final[dict[str, bytes]] = {
    "id": _STRING,
    "title": _STRING,
    "content": _STRING,
    "draft_title": _STRING + _OR_NULL,
    "draft_content": _STRING + _OR_NULL,
    "type": _STRING,
    "is_draft": _BOOLEAN,
    "directory_id": _STRING + _OR_NULL,
    "restricted_to_channels": _ARRAY,
    "restricted_to_segments": _ARRAY,
    "current_version": _NUMBER + _OR_NULL,
    "published_at": _STRING + _OR_NULL,
    "created_at": _STRING,
    "updated_at": _STRING,
}
_ARRAYS: Final = frozenset({"restricted_to_channels", "restricted_to_segments"})
_DATES: Final = frozenset({"published_at", "created_at"})
_TYPES: Final = frozenset({"BEHAVIORAL", "SCENARIO_SPECIFIC"})
_KINDS: Final[dict[bytes | None, str]] = {b'"%b"' % each.encode(): each for each in _TYPES}
_DRAFTS: Final[dict[bytes | None, bool]] = {b"true": True, b"false": False}
_CHANNELS: Final = frozenset(
    {"web", "email", "phone_voice", "slack", "sms"}
    | {"whatsapp", "instagram", "messenger", "api", "web_voice"}
)

# The API documents 14 members. Each member takes Python code, so the judging of 80,000 members held
# the event loop for 60 to 180 ms.
MAX_MEMBERS: Final = 1_000
# At most this many differences of one body are reported.
MAX_DRIFT: Final = 32
# A name or value from a body is cut to this many characters in messages and in drift.
_MAX_SHOWN: Final = 64

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_REPLACEMENT: Final = rb"\\ufffd"


# Names and raw JSON values in the order of the body. A name can occur twice.
_Members = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Drift:
    """One way in which a served training differs from the API's documentation.

    `field` is the name of a field, or `field=word` for an unknown word. It is short, printable
    ASCII. No metric has it as a label, because the upstream chooses it.
    """

    kind: DriftKind
    field: str


@dataclass(frozen=True, slots=True)
class Training:
    """A training whose body obeys the hard rules. `type` and `is_draft` are read of items of the
    list only (None: not read, missing, or an unknown value)."""

    id: str
    updated_at: Instant
    updated_at_text: str
    body: bytes
    drift: tuple[Drift, ...] = ()
    type: str | None = None
    is_draft: bool | None = None


class _Name:
    """The name of a member. No two of these objects are equal. So a dict with such keys keeps all
    members, even if several have the same name."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


_string: Final = Decoder(str)
_strings: Final = Decoder(list[str])


def parse(body: bytes, expected_id: str | None) -> Training:
    """Check a body by the hard and soft rules. Raises only InvalidPayload.

    `expected_id` None: any id is accepted, and the soft rules are not checked.
    """
    members = _read_object(body)
    training_id = _read_id(members, expected_id)
    updated_at, text = _read_updated_at(members)
    _check_types(members)
    if expected_id is not None:
        return Training(training_id, updated_at, text, body, _drift(members))
    values = dict(members)
    kind, is_draft = _KINDS.get(values.get("type")), _DRAFTS.get(values.get("is_draft"))
    return Training(training_id, updated_at, text, body, (), kind, is_draft)


def is_training_id(text: str) -> bool:
    """Whether the text can be a training id. `.` and `..` cannot: they have a meaning in paths."""
    return _ID.fullmatch(text) is not None and text not in (".", "..")


def digest(body: bytes) -> str:
    """32 hex digits that identify a body (BLAKE2b, 16 bytes), as in the gateway's ETag."""
    return blake2b(body, digest_size=16).hexdigest()


def _read_object(body: bytes) -> _Members:
    try:
        body.decode()
        return _read_members(body)
    except UnicodeDecodeError as fault:
        cut_short = fault.reason == "unexpected end of data"
        reason = InvalidReason.TRUNCATED if cut_short else InvalidReason.NOT_UTF8
        raise InvalidPayload(reason, f"the body is not UTF-8 at byte {fault.start}") from fault
    except ValidationError as fault:
        what = f"the body is no JSON object: {fault}"
        raise InvalidPayload(InvalidReason.NOT_AN_OBJECT, what) from fault
    except DecodeError as fault:
        reason = InvalidReason.TRUNCATED if "truncated" in str(fault) else InvalidReason.NOT_JSON
        raise InvalidPayload(reason, f"the body is not valid JSON: {fault}") from fault
    except RecursionError as fault:
        raise InvalidPayload(InvalidReason.NOT_JSON, "the body is nested too deeply") from fault


def _read_members(body: bytes) -> _Members:
    """Raises MsgspecError, RecursionError, or InvalidPayload if there are too many members."""
    try:
        return _decode_members(body)
    except ValidationError:
        raise
    except DecodeError:
        copy = _without_surrogates(body)
        if copy is body:
            raise
        return _decode_members(copy)


def _without_surrogates(body: bytes) -> bytes:
    """The body with all surrogates replaced, because msgspec refuses half a surrogate pair. All
    other bytes keep their positions."""
    return _SURROGATE.sub(_REPLACEMENT, body)


def _decode_members(body: bytes) -> _Members:
    read = 0

    def name(_: type, text: object) -> _Name:
        nonlocal read
        read += 1
        if read > MAX_MEMBERS:
            what = f"the body has more than {MAX_MEMBERS} members"
            raise InvalidPayload(InvalidReason.TOO_MANY_MEMBERS, what)
        return _Name(str(text))

    values = Decoder(dict[_Name, Raw], dec_hook=name).decode(body)
    return [(name.text, bytes(value)) for name, value in values.items()]


def _read_id(members: _Members, expected_id: str | None) -> str:
    found = _texts(members, "id", InvalidReason.WRONG_TYPE)
    if not found:
        raise InvalidPayload(InvalidReason.ID_MISSING, "the body has no id")
    wrong = sorted(found - {expected_id}) if expected_id is not None else sorted(found)[1:]
    if wrong:
        which = "a second id" if expected_id is None else "a wrong id"
        raise InvalidPayload(
            InvalidReason.WRONG_ID, f"the body has {which}: {_printable(wrong[0])}"
        )
    return found.pop()


def _read_updated_at(members: _Members) -> tuple[Instant, str]:
    found = _texts(members, "updated_at", InvalidReason.UPDATED_AT_INVALID)
    if not found:
        raise InvalidPayload(InvalidReason.UPDATED_AT_MISSING, "the body has no updated_at")
    if len(found) > 1:
        what = "the body has two values of updated_at"
        raise InvalidPayload(InvalidReason.UPDATED_AT_INVALID, what)
    text = found.pop()
    try:
        return parse_instant(text), text
    except ValueError as fault:
        what = f"updated_at {_printable(text)}: {fault}"
        raise InvalidPayload(InvalidReason.UPDATED_AT_INVALID, what) from fault


def _texts(members: _Members, wanted: str, reason: InvalidReason) -> set[str]:
    values = [value for name, value in members if name == wanted]
    if any(value[0] not in _STRING for value in values):
        raise InvalidPayload(reason, f"{wanted} is not a string")
    return {_string.decode(value) for value in values}


def _check_types(members: _Members) -> None:
    for name, value in members:
        wrong = name in _FIELDS and value[0] not in _FIELDS[name]
        if wrong or (name in _ARRAYS and not _holds_strings(value)):
            raise InvalidPayload(InvalidReason.WRONG_TYPE, f"{name} has a wrong JSON type")


def _holds_strings(array: bytes) -> bool:
    try:
        _strings.decode(array)
    except ValidationError:
        return False
    return True


def _drift(members: _Members) -> tuple[Drift, ...]:
    names = {name: None for name, _ in members}
    found = [Drift(DriftKind.MISSING_FIELD, name) for name in _FIELDS if name not in names]
    for name, value in members:
        found += [Drift(DriftKind.UNKNOWN_VALUE, shown) for shown in _unknown_values(name, value)]
    found += [
        Drift(DriftKind.UNKNOWN_FIELD, _printable(name)) for name in names if name not in _FIELDS
    ]
    return tuple(dict.fromkeys(found))[:MAX_DRIFT]


def _unknown_values(name: str, value: bytes) -> list[str]:
    """Unknown words of an enum as `field=word`, and invalid dates as `field`."""
    if name == "type":
        return _unknown_words(name, [_string.decode(value)], _TYPES)
    if name == "restricted_to_channels":
        return _unknown_words(name, _strings.decode(value), _CHANNELS)
    if name in _DATES and value[0] in _STRING and not _is_instant(_string.decode(value)):
        return [name]
    return []


def _unknown_words(name: str, words: list[str], known: frozenset[str]) -> list[str]:
    unknown = [word for word in dict.fromkeys(words) if word not in known]
    return [_printable(f"{name}={word}") for word in unknown[:MAX_DRIFT]]


def _is_instant(text: str) -> bool:
    try:
        parse_instant(text)
    except ValueError:
        return False
    return True


def _printable(text: str) -> str:
    return ascii(text[:_MAX_SHOWN])[1:-1][:_MAX_SHOWN]
