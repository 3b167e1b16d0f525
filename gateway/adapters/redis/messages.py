"""What replicas say to each other on the bus, as bytes: notices, and answers to them.

Bytes in and out, no I/O. Nothing that arrives is trusted, since not only replicas can reach the
channel. On the channel a notice is its number, a space, and JSON. Numbers come from Redis, which
counts up by one for each notice of any replica: a hole in them tells that one was missed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar, assert_never

import msgspec

from gateway.core.instant import Instant, from_wire, to_wire
from gateway.core.vocabulary import NoticeKind
from gateway.ports import Notice

# Goes up when the format changes. Releases share the channel: what is of another schema is set
# aside, and shows to the receiver as a hole in the numbers.
SCHEMA: Final = 1

# As many trainings of the longest name as one order may name, and the rest of a message.
MOST_IDS: Final = 1_000
LONGEST: Final = 160 * 1024

_NUMBERED = re.compile(rb"([0-9]{1,16}) (.*)", re.DOTALL)
_REPLICA: Final = r"^[A-Za-z0-9._-]{1,64}\Z"

_Replica = Annotated[str, msgspec.Meta(pattern=_REPLICA)]
_TrainingId = Annotated[str, msgspec.Meta(pattern=r"^(?!\.{1,2}\Z)[A-Za-z0-9._~-]{1,128}\Z")]
_Partition = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
_Scope = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
_Operator = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
_Seconds = Annotated[float, msgspec.Meta(ge=0.0, lt=1e12)]
_Request = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class NoticeRefused(Exception):
    """These bytes say nothing that we can act upon; `why` is one word."""

    def __init__(self, why: str) -> None:
        super().__init__(f"neither a notice nor an answer: {why}")
        self.why = why


@dataclass(frozen=True, slots=True)
class Told:
    """A notice as it arrives; `request` is what an answer must name, None where none is wanted."""

    number: int
    sender: str
    notice: Notice
    request: int | None


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A replica has done what the request said."""

    sender: str
    request: int


class _Schema(msgspec.Struct, frozen=True):
    schema: int


class _Notice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    schema: int
    sender: _Replica
    kind: NoticeKind
    ids: Annotated[tuple[_TrainingId, ...], msgspec.Meta(max_length=MOST_IDS)]
    partition: _Partition | None
    updated_at: str | None
    soft: bool
    request: _Request | None
    # Left out where they say nothing: releases from before they were there refuse what they do not
    # know, and would take each notice for a hole.
    scope: _Scope | None = None
    until: _Seconds | None = None
    operator: _Operator | None = None


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: int
    sender: _Replica
    request: _Request


T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_schemas = msgspec.json.Decoder(_Schema)
_notices = msgspec.json.Decoder(_Notice)
_answers = msgspec.json.Decoder(_Answer)


def is_replica(name: str) -> bool:
    """Whether a replica can be called so on the bus."""
    return re.match(_REPLICA, name) is not None


def encode_notice(notice: Notice, sender: str, request: int | None) -> bytes:
    """The notice without its number; ValueError for what no receiver would take."""
    written = _encoder.encode(
        _Notice(
            schema=SCHEMA,
            sender=sender,
            kind=notice.kind,
            ids=notice.training_ids,
            partition=notice.partition,
            updated_at=None if notice.updated_at is None else to_wire(notice.updated_at),
            soft=notice.soft,
            request=request,
            scope=notice.scope,
            until=notice.until,
            operator=notice.operator,
        )
    )
    try:
        decode_notice(b"0 " + written)
    except NoticeRefused as refused:
        raise ValueError(f"no such notice can be told: {notice.kind}") from refused
    return written


def decode_notice(data: bytes) -> Told:
    """The numbered notice in these bytes; raises NoticeRefused and nothing else."""
    if len(data) > LONGEST:
        raise NoticeRefused("size")
    numbered = _NUMBERED.fullmatch(data)
    if numbered is None:
        raise NoticeRefused("number")
    read = _parse(_notices, numbered[2])
    about = (read.kind, read.ids, read.partition, _instant(read.updated_at), read.soft)
    notice = Notice(*about, read.scope, read.until, read.operator)
    if not _makes_sense(notice):
        raise NoticeRefused("sense")
    return Told(int(numbered[1]), read.sender, notice, read.request)


def encode_acknowledgement(answer: Acknowledgement) -> bytes:
    """The answer, as it goes to whoever asked."""
    return _encoder.encode(_Answer(SCHEMA, answer.sender, answer.request))


def decode_acknowledgement(data: bytes) -> Acknowledgement:
    """The answer in these bytes; raises NoticeRefused and nothing else."""
    if len(data) > LONGEST:
        raise NoticeRefused("size")
    read = _parse(_answers, data)
    return Acknowledgement(read.sender, read.request)


def _parse(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """The schema alone comes first: of another one nothing else is known."""
    try:
        is_ours = _schemas.decode(data).schema == SCHEMA
        if is_ours:
            return decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
        raise NoticeRefused("words") from fault
    raise NoticeRefused("schema")


def _instant(text: str | None) -> Instant | None:
    try:
        return None if text is None else from_wire(text)
    except ValueError as fault:
        raise NoticeRefused("words") from fault


def _makes_sense(notice: Notice) -> bool:
    """Whether the fields are those that this kind has (see ports.Notice)."""
    is_of_gate = {notice.scope is not None, notice.until is not None}
    if is_of_gate != {notice.kind is NoticeKind.GATE_CLOSED}:
        return False
    match notice.kind:
        case NoticeKind.CHANGED:
            return bool(notice.training_ids and notice.partition) and not notice.soft
        case NoticeKind.INVALIDATED:
            return bool(notice.training_ids) and notice.partition is None
        case NoticeKind.PURGED:
            return not notice.training_ids and notice.updated_at is None
        case NoticeKind.GATE_CLOSED:
            is_of_entries = notice.training_ids or notice.partition or notice.updated_at
            return not (is_of_entries or notice.soft)
        case NoticeKind.REFUSED:
            return not (notice.training_ids or notice.updated_at or notice.soft) and (
                notice.partition is not None
            )
        case _:
            assert_never(notice.kind)


class Holes:
    """What was heard, compared with what was told."""

    def __init__(self) -> None:
        self._heard = 0
        self._told = 0

    @property
    def heard(self) -> int:
        """Up to this number everything was heard, or its absence was noticed."""
        return self._heard

    def start(self, told: int) -> None:
        """Begin to hear: `told` was Redis' count at a moment when notices arrived already."""
        self._heard = self._told = told

    def is_after_hole(self, number: int) -> bool:
        """Whether a notice is missing before this one."""
        return number > self._heard + 1

    def hear(self, number: int) -> None:
        """This one has been acted upon; late and repeated ones change nothing."""
        self._heard = max(self._heard, number)

    def catch_up(self, told: int, heard_before: int) -> bool:
        """Compare with Redis' count, `heard_before` from before it was asked for; whether
        something was missed.

        What Redis had told at the comparison before this one has had the time to arrive; what
        it has told since may still be on its way. A count below what was heard began anew.
        """
        missed = told < heard_before or self._heard < self._told
        if missed:
            self._heard = told
        self._told = told
        return missed
