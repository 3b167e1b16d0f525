"""Parses one page of the list: bytes -> `Page`, or an error with the reason."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import Final

from gateway.core.errors import InvalidPayload, ListRefused
from gateway.core.http.fields import Headers, Reply
from gateway.core.upstream.training import Training, is_training_id, parse
from gateway.core.vocabulary import InvalidReason

# Takes the place of a training's id in calls, tickets and events. No training can have it.
THE_LIST: Final = "(the list)"
# One call can ask for this many items at most.
PAGE_SIZE: Final = 100
# The largest integer that all JSON parsers read exactly (RFC 8259, 6). A page with a larger `total`
# or `offset` is refused.
_MOST: Final = 2**53 - 1
# An entry that is made from items, never has these fields of their page: they are about the page.
_OF_THE_PAGE: Final = frozenset((b"age", b"date", b"etag", b"last-modified", b"link"))
# `read_page` checks the encoding of so many bytes at once.
_BYTES_AT_ONCE: Final = 256 * 1024


def _integer(text: str) -> int:
    return int(text) if len(text) <= len(str(_MOST)) else -1


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


# Returns the value at a position, and its end. Numbers with a fraction become texts. msgspec tells
# no ends, and refuses an escaped half of a surrogate pair.
_value: Final = JSONDecoder(parse_int=_integer, parse_float=str, parse_constant=_refuse).raw_decode
_mark: Final = re.compile(r"[ \t\n\r]*(.?)[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list.

    items     the valid trainings, with their exact bytes
    rejected  an error for each row that is not valid
    rows      the number of rows, valid or not
    total     the number of all trainings, as the page states it
    """

    items: tuple[Training, ...]
    rejected: tuple[InvalidPayload, ...]
    rows: int
    total: int
    has_more: bool


class _Text:
    """A JSON text, read from left to right. All methods raise ValueError, RecursionError."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def value(self) -> object:
        value, self.at = _value(self.text, self.at)
        return value

    def mark(self, wanted: str) -> str:
        """Read one of these marks, and the white space around it."""
        found = _mark.match(self.text, self.at)
        if found is None or found[1] not in tuple(wanted):
            raise JSONDecodeError(f"one of {wanted} is missing", self.text, self.at)
        self.at = found.end()
        return found[1]

    def entries(self, marks: str) -> Iterator[None]:
        """Yield before each entry of an object or array, whose first and last mark these are."""
        self.mark(marks[0])
        if self.text.startswith(marks[1], self.at):
            self.mark(marks[1])
            return
        yield
        while self.mark("," + marks[1]) == ",":
            yield


def read_page(reply: Reply, offset: int) -> Generator[None, None, Page]:
    """Return the page that begins with row `offset`, from a reply with status 200. The generator
    pauses before each row and member, and sooner in a large body, to let other work run.

    Raises InvalidPayload for a body that is no valid JSON: perhaps another call brings the page.
    Raises ListRefused for JSON that is not the wanted page: another call does not help.
    """
    try:
        text = yield from _decoded(reply.body)
        rows, members = yield from _read(_Text(text))
    except UnicodeDecodeError as fault:
        raise InvalidPayload(InvalidReason.NOT_UTF8, "the page is not UTF-8") from fault
    except RecursionError as fault:
        raise InvalidPayload(InvalidReason.NOT_JSON, "the page is nested too deeply") from fault
    except ValueError as fault:
        is_cut = isinstance(fault, JSONDecodeError) and (
            fault.pos >= len(fault.doc) or fault.msg.startswith("Unterminated")
        )
        reason = InvalidReason.TRUNCATED if is_cut else InvalidReason.NOT_JSON
        raise InvalidPayload(reason, f"the page is not valid JSON: {fault}") from None
    total, begins = _number(members, "total"), _number(members, "offset")
    has_more = members.get("has_more")
    if not isinstance(has_more, bool):
        raise ListRefused("the page has no valid `has_more`")
    if begins != offset:
        raise ListRefused(f"the page begins at row {begins}, not at row {offset}")
    items = [each for each in rows if isinstance(each, Training)]
    rejected = [each for each in rows if isinstance(each, InvalidPayload)]
    return Page(tuple(items), tuple(rejected), len(rows), total, has_more)


def fields_of_items(reply: Reply) -> Headers:
    """The header fields of a page that are true of its items as well."""
    return tuple([each for each in reply.headers if each[0] not in _OF_THE_PAGE])


def _decoded(body: bytes) -> Generator[None, None, str]:
    decoder, texts = getincrementaldecoder("utf-8")(), []
    for start in range(0, len(body), _BYTES_AT_ONCE):
        texts.append(decoder.decode(body[start : start + _BYTES_AT_ONCE]))
        yield
    texts.append(decoder.decode(b"", final=True))
    return "".join(texts).lstrip(" \t\n\r")


_Rows = list[Training | InvalidPayload]


def _read(text: _Text) -> Generator[None, None, tuple[_Rows, dict[str, object]]]:
    """The rows of the page, and its other members."""
    if not text.text.startswith("{"):
        text.value()
        raise ListRefused("the page is not a JSON object")
    rows: _Rows | None = None
    members: dict[str, object] = {}
    for _ in text.entries("{}"):
        yield
        name = text.value()
        if not isinstance(name, str):
            raise ValueError("a name is no string")
        text.mark(":")
        if name == "items" and text.text.startswith("[", text.at):
            rows = yield from _read_rows(text)
        else:
            members[name] = text.value()
    if text.at < len(text.text):
        raise ValueError("there is more after the object")
    if rows is None:
        raise ListRefused("the page has no array of items")
    return rows, members


def _read_rows(text: _Text) -> Generator[None, None, _Rows]:
    rows: _Rows = []
    for _ in text.entries("[]"):
        if len(rows) == PAGE_SIZE:
            raise ListRefused(f"the page has more than the {PAGE_SIZE} rows that were asked for")
        yield
        start = text.at
        text.value()
        try:
            rows.append(_item(text.text[start : text.at].encode()))
        except InvalidPayload as fault:
            rows.append(fault)
    return rows


def _item(text: bytes) -> Training:
    training = parse(text, None)
    if not is_training_id(training.id):
        raise InvalidPayload(InvalidReason.WRONG_ID, "the id of an item is no valid training id")
    return training


def _number(members: dict[str, object], name: str) -> int:
    number = members.get(name)
    if type(number) is not int or not 0 <= number <= _MOST:
        raise ListRefused(f"the page has no valid `{name}`")
    return number
