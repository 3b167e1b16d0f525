"""What blocks of fields say that came before, byte for byte: parsing is a function of the bytes.

Heads of one client differ in their first line, and in few fields that are new with each request:
a trace, an id, an entity tag. Those are cut out where they stand as they ought to, and the rest
is known. No decision is remembered: who the caller is, and what there is, is looked up each time.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

from gateway.core.http.traceparent import TRACE
from gateway.web.wire.plain_request import REQUEST_ID, Said
from gateway.web.wire.repeated_head import Form, Holed

# Blocks remembered, and how long one may be: 16 MiB at most. Each caller has a block of its own.
_MOST: Final = 16_384
_LONGEST: Final = 1_024
# What a request line with the longest id takes.
_LINE: Final = 160

# Whole lines, each behind the end of another one; a value that is not of this form is no hole.
_HOLES: Final = re.compile(
    rb"\r\n(?:(?i:traceparent): (%b)|(?i:x-request-id): (%b)"
    rb'|(?i:if-none-match): ((?:W/)?"[!#-~]*"))(?=\r\n)' % (TRACE, REQUEST_ID)
)
_NAMES: Final = frozenset((b"traceparent", b"x-request-id", b"if-none-match"))
_END: Final = b"\r\n\r\n"
_PIECES: Final = 4  # a match in `split`: what stands before it, and the three groups

T = TypeVar("T")


class Blocks:
    """From the end of the request line to the empty line; `find` is asked before anything is
    parsed, `meet` told what was. A tag alone is cut out only until its block comes again.

    Only a block that comes again is kept, so that callers whose heads never repeat fill nothing.
    A full table starts anew: what is asked for again and again is soon back.
    """

    def __init__(
        self, forwarded: frozenset[bytes], max_head: int, max_fields: int, most: int = _MOST
    ) -> None:
        """`forwarded` and the bounds of a head as for those that are parsed."""
        self._most = most
        self._longest = min(_LONGEST, max_head - _LINE)
        self._most_fields = max_fields
        self._may_cut = forwarded.isdisjoint(_NAMES)
        self._known: dict[bytes, Form] = {}
        self._cut: dict[bytes, Said] = {}
        self._seen: set[int] = set()
        self.known = self._known.get

    def find(self, block: bytes, before: Form | None = None) -> Form | None:
        """What it says, if it is known but for what was cut out; for those that `known` lacks.
        `before` is what the same connection sent before: what is cut alike twice is expected."""
        if len(block) > self._longest:
            return None
        pieces = _HOLES.split(block)
        bare = self._cut.get(b"".join(pieces[::_PIECES]))
        # What is cut out of the empty line itself stood behind the head.
        if bare is None or len(pieces[-1]) < len(_END):
            return None
        said = bare.copy()
        for at in range(1, len(pieces), _PIECES):
            traceparent, request_id, tag = pieces[at : at + 3]  # TRACE_IS, ID_IS
            if traceparent is not None and said.traceparent is None:
                said.take_trace(traceparent)
            elif request_id is not None and said.request_id is None:
                said.request_id = request_id
            elif tag is not None and said.tag is None:
                said.tag = tag
            else:
                return None  # a name that comes twice
        if said.tag is None and len(pieces) > 1:
            cuts = tuple([0 if piece is None else len(piece) for piece in pieces])
            if before is None or before.cuts != cuts:
                return Form(block, said, cuts)
            return Holed(block, said, cuts, _spans_of(block))
        form = Form(block, said)
        if said.tag is not None and len(pieces) == _PIECES + 1:
            self._keep(self._known, block, form)  # a tag alone: its caller comes again
        return form

    def meet(self, block: bytes, said: Said, fields: list[tuple[bytes, bytes]]) -> None:
        """This block says that, in these fields."""
        if len(block) > self._longest or not _is_whole(block):
            return
        names = [name for name, _ in fields]
        pieces = _HOLES.split(block)
        holes = len(_NAMES.intersection(names))
        if self._may_cut and holes and len(pieces) == holes * _PIECES + 1:
            rest = b"".join(pieces[::_PIECES])
            is_alone = not said.extra or all(name == b"traceparent" for name, _ in said.extra)
            if is_alone and len(fields) - holes + len(_NAMES) <= self._most_fields:
                self._keep(self._cut, rest, said.without_holes())
            return
        self._keep(self._known, block, Form(block, said))

    def _keep(self, table: dict[bytes, T], block: bytes, what: T) -> None:
        mark = hash(block)
        if mark not in self._seen:
            if len(self._seen) >= self._most:
                self._seen.clear()
            self._seen.add(mark)
            return
        if len(table) >= self._most:
            table.clear()
        table[block] = what


def _is_whole(block: bytes) -> bool:
    """Whether the head ends where the block does, and nowhere before: cutting must not make one
    of a head and what came behind it."""
    return block.find(_END) == len(block) - len(_END)


def _spans_of(block: bytes) -> dict[int, tuple[int, int]]:
    """Where what is cut out stands, by group."""
    holes = ((hole, hole.lastindex) for hole in _HOLES.finditer(block))
    return {group: hole.span(group) for hole, group in holes if group is not None}
