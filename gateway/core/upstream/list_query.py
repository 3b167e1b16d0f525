"""Reads the query of a request for the list (`GET /training`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway.core.errors import BadRequest
from gateway.core.upstream.list_page import PAGE_SIZE

_LONGEST: Final = 2_000
_URL: Final = re.compile(rb"[!-~]*")
_KNOWN: Final = frozenset((b"limit", b"offset", b"type", b"is_draft", b"sort_by"))
_SORTED: Final = b"created_at"
_TYPES: Final = {None: None, b"BEHAVIORAL": "BEHAVIORAL", b"SCENARIO_SPECIFIC": "SCENARIO_SPECIFIC"}
_DRAFTS: Final = {None: None, b"true": True, b"false": False}
# The least and the largest value.
_NUMBERS: Final = {b"limit": (1, PAGE_SIZE), b"offset": (0, 10**9)}


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a request asks for.

    text      the canonical query: the parameters as they were sent, in the order of their names
    offset    the first row
    limit     the most rows. None: not given, or further parameters decide what is meant
    type      None: all types
    is_draft  None: drafts and others
    """

    text: bytes
    offset: int
    limit: int | None = None
    type: str | None = None
    is_draft: bool | None = None

    @property
    def name(self) -> str:
        """Takes the place of a training's id in keys. No training can have it."""
        return "?" + self.text.decode("ascii")


def read_query(query: bytes) -> ListQuery:
    """What the undecoded query asks for. Parameters other than `limit` and `offset` are not judged,
    because the API perhaps knows them. Raises BadRequest."""
    if len(query) > _LONGEST:
        raise BadRequest(f"the query has {len(query)} bytes; {_LONGEST} are allowed")
    if not _URL.fullmatch(query):
        raise BadRequest("the query has a character that a URL cannot have")
    # Several parameters with the same name stay in their order.
    pairs = sorted(filter(None, query.split(b"&")), key=_name)
    if b"ids" in map(_name, pairs):
        raise BadRequest("`ids` has to be the only parameter, and to be given once")
    for name in _NUMBERS:
        _check_number(name, [each.partition(b"=")[2] for each in pairs if _name(each) == name])
    values = dict(each.partition(b"=")[::2] for each in pairs)
    text, offset = b"&".join(pairs), int(values.get(b"offset", b"0"))
    kind, draft = values.get(b"type"), values.get(b"is_draft")
    is_known = values.keys() <= _KNOWN and values.get(b"sort_by", _SORTED) == _SORTED
    is_known &= kind in _TYPES and draft in _DRAFTS and len(values) == len(pairs)
    if not is_known or b"limit" not in values:
        return ListQuery(text, offset)
    return ListQuery(text, offset, int(values[b"limit"]), _TYPES[kind], _DRAFTS[draft])


def _name(pair: bytes) -> bytes:
    return pair.partition(b"=")[0]


def _check_number(name: bytes, given: list[bytes]) -> None:
    least, most = _NUMBERS[name]
    is_sound = len(given) < 2 and all(
        each.isdigit() and len(each) <= len(str(most)) and least <= int(each) <= most
        for each in given
    )
    if not is_sound:
        what = f"`{name.decode()}` has to be one whole number from {least} to {most}"
        raise BadRequest(what)
