"""Parses one page of the list: bytes -> `Page`, or an error with the reason."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

from msgspec import MsgspecError, Raw, Struct, ValidationError, defstruct
from msgspec.json import Decoder
from msgspec.structs import astuple

from gateway.core.errors import InvalidPayload, ListRefused
from gateway.core.http.fields import Reply
from gateway.core.upstream.training import Training, is_training_id, parse, without_surrogates
from gateway.core.vocabulary import InvalidReason

# One call can ask for this many items at most.
PAGE_SIZE: Final = 100
# The largest integer that all JSON parsers read exactly (RFC 8259, 6). A page with a larger `total`
# or `offset` is refused.
_MOST: Final = 2**53 - 1
# `read_page` pauses at least once in this many rows, and in about this many bytes.
_ROWS_AT_ONCE: Final = 10
_BYTES_AT_ONCE: Final = 256 * 1024


class _Body(Struct):
    """The members of a page. msgspec skips all others. An absent member is empty."""

    items: Raw = Raw()
    total: Raw = Raw()
    offset: Raw = Raw()
    has_more: Raw = Raw()


_body: Final = Decoder(_Body)
# The rows, and one more if there are more than one call can ask for. msgspec skips all others.
_Rows: Final = defstruct(
    "_Rows", [(f"row_{row}", Raw, Raw()) for row in range(PAGE_SIZE + 1)], array_like=True
)
_array: Final = Decoder(_Rows)
_count: Final = Decoder(int, strict=True)
_flag: Final = Decoder(bool)


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


def read_page(reply: Reply, offset: int) -> Generator[None, None, Page]:
    """Return the page that begins with row `offset`, from a reply with status 200. The generator
    pauses to let other work run.

    Raises InvalidPayload for a body that is no valid JSON: perhaps another call brings the page.
    Raises ListRefused for JSON that is not the wanted page: another call does not help.
    """
    yield from _check_encoding(reply.body)
    copy, body = yield from _read(reply.body)
    yield
    total, begins = _number(body.total, "total"), _number(body.offset, "offset")
    has_more = _has_more(body)
    if begins != offset:
        raise ListRefused(f"the page begins at row {begins}, not at row {offset}")
    texts = _cut(reply.body, copy, body.items)
    if len(texts) > PAGE_SIZE:
        raise ListRefused(f"the page has more than the {PAGE_SIZE} rows that were asked for")
    items, rejected = yield from _read_items(texts)
    return Page(tuple(items), tuple(rejected), len(texts), total, has_more)


def _read_items(
    texts: list[bytes],
) -> Generator[None, None, tuple[list[Training], list[InvalidPayload]]]:
    items: list[Training] = []
    rejected: list[InvalidPayload] = []
    rows = unpaused = 0
    for text in texts:
        if rows % _ROWS_AT_ONCE == 0 or unpaused > _BYTES_AT_ONCE:
            yield
            rows = unpaused = 0
        rows, unpaused = rows + 1, unpaused + len(text)
        try:
            items.append(_item(text))
        except InvalidPayload as fault:
            rejected.append(fault)
    return items, rejected


def _item(text: bytes) -> Training:
    training = parse(text, None)
    if not is_training_id(training.id):
        raise InvalidPayload(InvalidReason.WRONG_ID, "the id of an item is no valid training id")
    return training


def _check_encoding(body: bytes) -> Generator[None, None, None]:
    decoder = getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(body), _BYTES_AT_ONCE):
            decoder.decode(body[start : start + _BYTES_AT_ONCE])
            yield
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as fault:
        raise InvalidPayload(InvalidReason.NOT_UTF8, "the page is not UTF-8") from fault


def _read(body: bytes) -> Generator[None, None, tuple[bytes, _Body]]:
    """The members, and the text from which they were read: the body, or if msgspec refuses it a
    copy without surrogates."""
    try:
        return body, _decode(body)
    except InvalidPayload:
        pieces = []
        for piece in _pieces(body):
            yield
            pieces.append(without_surrogates(piece))
        copy = b"".join(pieces)
        if copy == body:
            raise
    yield
    return copy, _decode(copy)


def _pieces(body: bytes) -> Iterator[bytes]:
    """The body in pieces. Each of them ends before a backslash, so no escape is cut in two."""
    start = 0
    while start < len(body):
        end = body.find(b"\\", start + _BYTES_AT_ONCE)
        yield body[start : end if end > 0 else None]
        start = end if end > 0 else len(body)


def _decode(text: bytes) -> _Body:
    try:
        return _body.decode(text)
    except RecursionError as fault:
        raise InvalidPayload(InvalidReason.NOT_JSON, "the page is nested too deeply") from fault
    except ValidationError as fault:
        raise ListRefused("the page is not a JSON object") from fault
    except MsgspecError as fault:
        cut = "truncated" in str(fault)
        reason = InvalidReason.TRUNCATED if cut else InvalidReason.NOT_JSON
        raise InvalidPayload(reason, f"the page is not valid JSON: {fault}") from fault


def _number(text: Raw, name: str) -> int:
    try:
        number = _count.decode(text)
    except MsgspecError:
        number = -1
    if not 0 <= number <= _MOST:
        raise ListRefused(f"the page has no valid `{name}`")
    return number


def _has_more(body: _Body) -> bool:
    try:
        return _flag.decode(body.has_more)
    except MsgspecError:
        raise ListRefused("the page has no valid `has_more`") from None


def _cut(original: bytes, copy: bytes, array: Raw) -> list[bytes]:
    """The exact bytes of the items, cut out of `original`. Their positions are found in `copy`,
    where each surrogate is replaced by a text of the same length.

    Only a comma and white space separate two items. So the first match after an item is the next
    item.
    """
    try:
        items = [row for row in map(bytes, astuple(_array.decode(array))) if row]
    except MsgspecError:
        raise ListRefused("the page has no array of items") from None
    whole = bytes(array)
    if copy is original or not items:
        return items
    if copy.count(whole) != 1:
        raise ListRefused("the page has the text of its items more than once")
    texts, at = [], copy.index(whole)
    for item in items:
        at = copy.index(item, at)
        texts.append(original[at : at + len(item)])
        at += len(item)
    return texts
