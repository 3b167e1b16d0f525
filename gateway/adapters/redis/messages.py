"""Encodes and decodes the messages of the bus: notices, and answers to notices.

No I/O. Nothing that arrives is trusted, because other programs can reach the channels too. A notice
is sent as the word of the notice before it, its own word, and JSON, with spaces between. The words
are random, so each notice that was missed shows, also after a failover of Redis.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec

from gateway.core.instant import from_wire, to_wire
from gateway.core.vocabulary import NoticeKind
from gateway.ports import Notice

# Goes up when the format changes. Releases from 0.2 on use one channel, so a notice with another
# schema can arrive. It counts as missed.
SCHEMA: Final = 2

# `LONGEST` bytes are enough for `MOST_IDS` of the longest ids.
MOST_IDS: Final = 1_000
LONGEST: Final = 160 * 1024

_CHAINED = re.compile(rb"([0-9a-f]{16}) ([0-9a-f]{16}) (.*)", re.DOTALL)
_REPLICA: Final = r"^[A-Za-z0-9._-]{1,64}\Z"

_Replica = Annotated[str, msgspec.Meta(pattern=_REPLICA)]
_TrainingId = Annotated[str, msgspec.Meta(pattern=r"^(?!\.{1,2}\Z)[A-Za-z0-9._~-]{1,128}\Z")]
_Partition = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
_Scope = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
_Operator = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
_Seconds = Annotated[float, msgspec.Meta(ge=0.0, lt=1e12)]
_Request = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class NoticeRefused(Exception):
    """The bytes are no usable message. `why` is the reason in one word.

    size    there are more bytes than any message has
    chain   a notice does not begin with its two words
    schema  the message has another schema than this release
    words   the message is not in the format of its schema
    sense   the fields do not fit each other
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"the bytes are no usable message: {why}")
        self.why = why


@dataclass(frozen=True, slots=True)
class Told:
    """A notice that arrived, with the word of the notice before it, its own word and its sender.

    request    a number that the answer must repeat; None: the sender waits for no answer
    """

    before: str
    word: str
    sender: str
    notice: Notice
    request: int | None


# The fields that a notice of each kind must have, and those that it may have.
_FIELDS_OF: Final = {
    NoticeKind.CHANGED: ({"training_ids", "partition"}, {"updated_at"}),
    NoticeKind.INVALIDATED: ({"training_ids"}, {"updated_at", "soft"}),
    NoticeKind.PURGED: (set[str](), {"partition", "soft"}),
    NoticeKind.REFUSED: ({"partition"}, set[str]()),
    NoticeKind.GATE_CLOSED: ({"scope", "until"}, set[str]()),
}
_FIELDS: Final = {name for must, may in _FIELDS_OF.values() for name in must | may}


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
    # The next fields are left out if None or empty, because earlier releases refuse unknown fields.
    scope: _Scope | None = None
    until: _Seconds | None = None
    operator: _Operator | None = None


class Acknowledgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to a notice: `sender` has applied it."""

    sender: _Replica
    request: _Request
    schema: int = SCHEMA


T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_schemas = msgspec.json.Decoder(_Schema)
_notices = msgspec.json.Decoder(_Notice)
_answers = msgspec.json.Decoder(Acknowledgement)


def is_replica(name: str) -> bool:
    """Whether a replica can have this name on the bus."""
    return re.match(_REPLICA, name) is not None


def encode_notice(notice: Notice, sender: str, request: int | None) -> bytes:
    """The notice without its words. Raises ValueError if a receiver would refuse it."""
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
        _notice(written)
    except NoticeRefused as refused:
        raise ValueError(f"receivers would refuse this notice ({notice.kind})") from refused
    return written


def decode_notice(data: bytes) -> Told:
    """The notice in these bytes. Raises only NoticeRefused."""
    chained = _CHAINED.fullmatch(data)
    if chained is None:
        raise NoticeRefused("chain")
    return Told(chained[1].decode(), chained[2].decode(), *_notice(chained[3]))


def _notice(data: bytes) -> tuple[str, Notice, int | None]:
    """The sender, the notice and its request."""
    read = _parse(_notices, data)
    try:
        version = None if read.updated_at is None else from_wire(read.updated_at)
    except ValueError as fault:
        raise NoticeRefused("words") from fault
    about = (read.kind, read.ids, read.partition, version, read.soft)
    notice = Notice(*about, read.scope, read.until, read.operator)
    if not _makes_sense(notice):
        raise NoticeRefused("sense")
    return read.sender, notice, read.request


def encode_acknowledgement(answer: Acknowledgement) -> bytes:
    """The answer as bytes."""
    return _encoder.encode(answer)


def decode_acknowledgement(data: bytes) -> Acknowledgement:
    """The answer in these bytes. Raises only NoticeRefused."""
    return _parse(_answers, data)


def _parse(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Read the schema first, because the other fields depend on it."""
    if len(data) > LONGEST:
        raise NoticeRefused("size")
    try:
        is_ours = _schemas.decode(data).schema == SCHEMA
        if is_ours:
            return decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
        raise NoticeRefused("words") from fault
    raise NoticeRefused("schema")


def _makes_sense(notice: Notice) -> bool:
    """Whether the notice has the fields of its kind, and no others (see ports.Notice)."""
    empty = Notice(notice.kind)
    given = {name for name in _FIELDS if getattr(notice, name) != getattr(empty, name)}
    must, may = _FIELDS_OF[notice.kind]
    return must <= given <= must | may


class Chain:
    """Finds missed notices. A notice was missed if the next one names another as the one before it,
    or if Redis knows a later one that does not arrive."""

    def __init__(self) -> None:
        # The word of the last notice that was heard, or found missing, and all that were heard
        # since Redis was asked for the last one.
        self._last = ""
        self._heard: set[str] = set()
        # The word that Redis had at the last comparison, if its notice has not arrived ("": none).
        self._awaited = ""

    def start(self, last: str) -> None:
        """Begin with Redis' last notice, read after this replica has subscribed."""
        self._last, self._heard, self._awaited = last, {last}, ""

    def hear(self, before: str, word: str) -> bool:
        """Note a notice that arrived. Returns whether none is missing before it."""
        is_next = before == self._last
        self._last = word
        self._heard.add(word)
        if not is_next or word == self._awaited:
            self._awaited = ""
        return is_next

    def ask(self) -> None:
        """Redis is asked for its last notice now."""
        self._heard = {self._last}

    def is_broken(self, last: str) -> bool:
        """Compare with Redis' last notice, as `ask` announced. Returns whether a notice was missed.
        One that Redis names for the first time is perhaps on its way."""
        if last in self._heard:
            self._awaited = ""
            return False
        if not self._awaited:
            self._awaited = last
            return False
        self.start(last)
        return True
