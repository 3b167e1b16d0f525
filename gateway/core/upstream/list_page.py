"""Parses one page of the list: bytes -> `Page`, or an error with the reason."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

from msgspec import MsgspecError, Raw, ValidationError
from msgspec.json import Decoder

from gateway.core.errors import InvalidPayload, ListRefused
from gateway.core.http.fields import Reply
from gateway.core.upstream.training import Training, is_training_id, parse, without_surrogates
from gateway.core.vocabulary import InvalidReason

# One call can ask for this many items at most.
PAGE_SIZE: Final = 100
# The largest integer that all JSON parsers read exactly (RFC 8259, 6). A page with a larger `total`
# or `offset` is refused.
_MOST: Final = 2**53 - 1
# `read_page` pauses before each group of this many rows.
_ROWS_AT_ONCE: Final = 10

_members: Final = Decoder(dict[str, Raw])
_array: Final = Decoder(list[Raw])
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
    copy = without_surrogates(reply.body)
    yield
    members = _read(copy)
    yield
    total, begins = _number(members, "total"), _number(members, "offset")
    has_more = _has_more(members)
    if begins != offset:
        raise ListRefused(f"the page begins at row {begins}, not at row {offset}")
    texts = _cut(reply.body, copy, members["items"] if "items" in members else Raw(b""))
    if len(texts) > PAGE_SIZE:
        raise ListRefused(f"the page has {len(texts)} rows, but at most {PAGE_SIZE} were asked for")
    items, rejected = [], []
    for row, text in enumerate(texts):
        if row % _ROWS_AT_ONCE == 0:
            yield
        try:
            items.append(_item(text))
        except InvalidPayload as fault:
            rejected.append(fault)
    return Page(tuple(items), tuple(rejected), len(texts), total, has_more)


def _item(text: bytes) -> Training:
    training = parse(text, None)
    if not is_training_id(training.id):
        raise InvalidPayload(InvalidReason.WRONG_ID, "the id of an item is no valid training id")
    return training


def _read(copy: bytes) -> dict[str, Raw]:
    try:
        copy.decode()
        members = _members.decode(copy)
    except UnicodeDecodeError as fault:
        raise InvalidPayload(InvalidReason.NOT_UTF8, "the page is not UTF-8") from fault
    except RecursionError as fault:
        raise InvalidPayload(InvalidReason.NOT_JSON, "the page is nested too deeply") from fault
    except ValidationError as fault:
        raise ListRefused("the page is not a JSON object") from fault
    except MsgspecError as fault:
        cut = "truncated" in str(fault)
        reason = InvalidReason.TRUNCATED if cut else InvalidReason.NOT_JSON
        raise InvalidPayload(reason, f"the page is not valid JSON: {fault}") from fault
    return members


def _number(members: dict[str, Raw], name: str) -> int:
    try:
        number = _count.decode(members[name])
    except (KeyError, MsgspecError):
        number = -1
    if not 0 <= number <= _MOST:
        raise ListRefused(f"the page has no valid `{name}`")
    return number


def _has_more(members: dict[str, Raw]) -> bool:
    try:
        return _flag.decode(members["has_more"])
    except (KeyError, MsgspecError):
        raise ListRefused("the page has no valid `has_more`") from None


def _cut(original: bytes, copy: bytes, array: Raw) -> list[bytes]:
    """The exact bytes of the items, cut out of `original`. Their positions are found in `copy`,
    where each surrogate is replaced by a text of the same length.

    Only a comma and white space separate two items. So the first match after an item is the next
    item.
    """
    try:
        items = [bytes(item) for item in _array.decode(array)]
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
