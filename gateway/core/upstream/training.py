"""One training as upstream sent it: bytes -> `Training`, or `InvalidPayload` and nothing else.

Lives here: the hard and the soft rules on a body. The bytes are judged and kept, never written
anew; what is made of a `Training` (stored, served, counted) is decided elsewhere.

Three choices on what JSON leaves open (RFC 8259, 4 and 8):
- A name that occurs twice: each occurrence is judged, and `id` and `updated_at` must say the
  same each time; else two readers of the same bytes would see two trainings.
- Half a surrogate pair (`\\ud83d` alone: a text cut within an emoji) is JSON, and served.
- A byte order mark, NaN, Infinity and control characters in strings are not.
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
_CHANNELS: Final = frozenset(
    {"web", "email", "phone_voice", "slack", "sms"}
    | {"whatsapp", "instagram", "messenger", "api", "web_voice"}
)

# A body may differ in a thousand ways; the log needs a few.
MAX_DRIFT: Final = 32
_MAX_SHOWN: Final = 64

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_REPLACEMENT: Final = rb"\\ufffd"


# Names and raw JSON values, in the order of the body, repetitions included.
_Members = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Drift:
    """One way in which a training differs from its documentation and is served all the same.

    `field` is short and printable ASCII, for a log line; upstream chooses it: never a label.
    """

    kind: DriftKind
    field: str


@dataclass(frozen=True, slots=True)
class Training:
    """A body that passed the hard rules, verbatim, and what was read from it."""

    id: str
    updated_at: Instant
    updated_at_text: str
    body: bytes
    drift: tuple[Drift, ...]


class _Name:
    """A member's name. Two are never equal, so a dict by names keeps members that repeat."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _name(_: type, text: object) -> _Name:
    return _Name(str(text))


_object: Final = Decoder(dict[_Name, Raw], dec_hook=_name)
_string: Final = Decoder(str)
_strings: Final = Decoder(list[str])


def parse(body: bytes, expected_id: str | None) -> Training:
    """Judge a body by the hard and soft rules; raises only InvalidPayload.

    `expected_id` None: any id will do (an item of the list, the answer to a creation).
    """
    members = _read_object(body)
    training_id = _read_id(members, expected_id)
    updated_at, text = _read_updated_at(members)
    _check_types(members)
    return Training(training_id, updated_at, text, body, _drift(members))


def is_training_id(text: str) -> bool:
    """Whether it can be the id of a training; `.` and `..` mean something else in a path."""
    return _ID.fullmatch(text) is not None and text not in (".", "..")


def without_surrogates(body: bytes) -> bytes:
    """A copy to be judged, in which each other byte stands where it stands in the body: msgspec
    takes half a surrogate pair for a fault."""
    return _SURROGATE.sub(_REPLACEMENT, body)


def digest(body: bytes) -> str:
    """32 hex digits that tell two bodies apart (BLAKE2b, 16 bytes); also our ETag's content."""
    return blake2b(body, digest_size=16).hexdigest()


def _read_object(body: bytes) -> _Members:
    """The members of the one JSON object that the body is, values as raw JSON text."""
    try:
        body.decode()
        values = _object.decode(without_surrogates(body))
    except UnicodeDecodeError as fault:
        cut_short = fault.reason == "unexpected end of data"
        reason = InvalidReason.TRUNCATED if cut_short else InvalidReason.NOT_UTF8
        raise InvalidPayload(reason, f"byte {fault.start} of the body is not UTF-8") from fault
    except ValidationError as fault:
        raise InvalidPayload(InvalidReason.NOT_AN_OBJECT, f"the body: {fault}") from fault
    except DecodeError as fault:
        reason = InvalidReason.TRUNCATED if "truncated" in str(fault) else InvalidReason.NOT_JSON
        raise InvalidPayload(reason, f"the body: {fault}") from fault
    except RecursionError as fault:
        raise InvalidPayload(InvalidReason.NOT_JSON, "the body is nested too deeply") from fault
    return [(name.text, bytes(value)) for name, value in values.items()]


def _read_id(members: _Members, expected_id: str | None) -> str:
    """The training's id; it must be there, and be the one asked for."""
    found = _texts(members, "id", InvalidReason.WRONG_TYPE)
    if not found:
        raise InvalidPayload(InvalidReason.ID_MISSING, "the body has no id")
    wrong = sorted(found - {expected_id}) if expected_id is not None else sorted(found)[1:]
    if wrong:
        raise InvalidPayload(InvalidReason.WRONG_ID, f"the body's id is {_printable(wrong[0])}")
    return found.pop()


def _read_updated_at(members: _Members) -> tuple[Instant, str]:
    """When this version was written, as an instant and as upstream wrote it."""
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
    """The different values of a member that must be a string, else InvalidPayload(reason)."""
    values = [value for name, value in members if name == wanted]
    if any(value[0] not in _STRING for value in values):
        raise InvalidPayload(reason, f"{wanted} is not a string")
    return {_string.decode(value) for value in values}


def _check_types(members: _Members) -> None:
    """Refuse a documented field with a JSON type that it can never have."""
    for name, value in members:
        wrong = name in _FIELDS and value[0] not in _FIELDS[name]
        if wrong or (name in _ARRAYS and not _holds_strings(value)):
            raise InvalidPayload(InvalidReason.WRONG_TYPE, f"{name} has a type it can never have")


def _holds_strings(array: bytes) -> bool:
    """Whether each item of an array is a string."""
    try:
        _strings.decode(array)
    except ValidationError:
        return False
    return True


def _drift(members: _Members) -> tuple[Drift, ...]:
    """What differs from the documentation, each thing once, at most MAX_DRIFT of them."""
    names = {name: None for name, _ in members}
    found = [Drift(DriftKind.MISSING_FIELD, name) for name in _FIELDS if name not in names]
    for name, value in members:
        found += [Drift(DriftKind.UNKNOWN_VALUE, shown) for shown in _unknown_values(name, value)]
    found += [
        Drift(DriftKind.UNKNOWN_FIELD, _printable(name)) for name in names if name not in _FIELDS
    ]
    return tuple(dict.fromkeys(found))[:MAX_DRIFT]


def _unknown_values(name: str, value: bytes) -> list[str]:
    """Words that an enum does not have yet, as `field=word`; dates that are none, as `field`."""
    if name == "type":
        return _unknown_words(name, [_string.decode(value)], _TYPES)
    if name == "restricted_to_channels":
        return _unknown_words(name, _strings.decode(value), _CHANNELS)
    if name in _DATES and value[0] in _STRING and not _is_instant(_string.decode(value)):
        return [name]
    return []


def _unknown_words(name: str, words: list[str], known: frozenset[str]) -> list[str]:
    return [_printable(f"{name}={word}") for word in words if word not in known]


def _is_instant(text: str) -> bool:
    """Whether it is a date-time with an offset."""
    try:
        parse_instant(text)
    except ValueError:
        return False
    return True


def _printable(text: str) -> str:
    """The text cut short, in printable ASCII, for a log line."""
    return ascii(text[:_MAX_SHOWN])[1:-1][:_MAX_SHOWN]
