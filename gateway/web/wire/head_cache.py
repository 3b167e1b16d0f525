"""Remembers the parsed fields of request heads, so that equal bytes are parsed only once.

A block is a head without its method and target. The header lines of a valid trace, request id or
entity tag are cut out of the block, because their values change with each request. For the bytes
that remain, a table has the parsed fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar

from gateway.core.http.traceparent import TRACE, TRACEPARENT
from gateway.web.wire.request_head import REQUEST_ID, PlainHead

_is_trace: Final = TRACEPARENT.fullmatch
_is_request_id: Final = re.compile(REQUEST_ID).fullmatch

# The numbers of the groups of `_HOLES` (below) that match a trace and a request id.
_TRACE_GROUP: Final = 1
_ID_GROUP: Final = 2


class Form:
    """A block, and its parsed fields (`said`).

    tail  the bytes with which each head of this form ends: the whole block. (In the subclass Holed:
          the part of the block after the last value that was cut out)
    cuts  the lengths of the pieces into which `_HOLES` splits the block. They give the places of
          the cut values. Empty if nothing was cut out, or if an entity tag was cut out
    """

    __slots__ = ("cuts", "length", "said", "tail")

    def __init__(self, block: bytes, said: PlainHead, cuts: tuple[int, ...] = ()) -> None:
        self.tail, self.said, self.cuts = block, said, cuts
        self.length = len(block)

    def takes(self, _head: bytes) -> bool:
        """Whether a head that ends with `tail` has this form: here, always."""
        return True


class Holed(Form):
    """A form whose trace and request id can be any valid values, if they are as long as those in
    the block.

    Each connection has its own Holed, because `takes` writes the values of the head into `said`.
    """

    __slots__ = ("_between", "_between_at", "_id_at", "_start", "_start_at", "_trace_at")

    def __init__(
        self,
        block: bytes,
        said: PlainHead,
        cuts: tuple[int, ...],
        spans: Mapping[int, tuple[int, int]],
    ) -> None:
        """`spans` has the places of the trace and of the request id in the block."""
        super().__init__(block, said, cuts)
        (start, first_end), (last_start, end) = min(spans.values()), max(spans.values())
        between = (first_end, max(first_end, last_start))
        self._start, self._start_at = block[:start], self._at(0, start)
        self._between_at = self._at(*between)
        self._between = block[slice(*between)]
        self.tail = block[end:]
        self._trace_at = self._at(*spans[_TRACE_GROUP]) if _TRACE_GROUP in spans else None
        self._id_at = self._at(*spans[_ID_GROUP]) if _ID_GROUP in spans else None

    def takes(self, head: bytes) -> bool:
        """Whether the head, after its target, differs from the block only in the trace and the
        request id. If True, `said` now has the values of the head."""
        if head[self._start_at] != self._start or head[self._between_at] != self._between:
            return False
        said = self.said
        if self._trace_at is not None:
            trace = head[self._trace_at]
            if not _is_trace(trace):
                return False
            said.take_trace(trace)
        if self._id_at is not None:
            request_id = head[self._id_at]
            if not (request_id.isalnum() or _is_request_id(request_id)):
                return False
            said.request_id = request_id
        return True

    def _at(self, start: int, end: int) -> slice[int, int, None]:
        """The place of the bytes `start` to `end`, counted from the end of a head, because targets
        differ in length."""
        return slice(start - self.length, end - self.length)


# The most blocks in a table, and the most bytes of a block. So the blocks of a table have 16 MiB at
# most. Each caller has its own block, because the block contains the credential.
_MOST: Final = 16_384
_LONGEST: Final = 1_024
# No plain request line has more bytes than this, even with the longest id of a training.
_LINE: Final = 160

# The header lines that are cut out if their values are valid, each with the line break before it.
_HOLES: Final = re.compile(
    rb"\r\n(?:(?i:traceparent): (%b)|(?i:x-request-id): (%b)"
    rb'|(?i:if-none-match): ((?:W/)?"[!#-~]*"))(?=\r\n)' % (TRACE, REQUEST_ID)
)
_NAMES: Final = frozenset((b"traceparent", b"x-request-id", b"if-none-match"))
_END: Final = b"\r\n\r\n"
_PIECES: Final = 4  # what `split` returns for a match: the text before it, and three groups

T = TypeVar("T")


class Blocks:
    """The two tables of known blocks.

    - The cut table (`_cut`) has blocks without the lines that were cut out.
    - The uncut table (`_known`, read by `known`) has unchanged blocks. A block is in this table if
      nothing may be cut out, if it has no field of `_NAMES`, or if the line of such a field does
      not match `_HOLES`. If only an entity tag is cut out of a block, the unchanged block is in
      this table too, because the same tag will probably come again.

    A block enters a table when it comes for the second time. Otherwise heads that come only once
    would fill the tables. A full table is cleared.
    """

    def __init__(
        self, forwarded: frozenset[bytes], max_head: int, max_fields: int, most: int = _MOST
    ) -> None:
        """If a field of `_NAMES` is passed on to the upstream (`forwarded`), nothing is cut out.
        `most` limits each table."""
        self._most = most
        self._longest = min(_LONGEST, max_head - _LINE)
        self._most_fields = max_fields
        self._may_cut = forwarded.isdisjoint(_NAMES)
        self._known: dict[bytes, Form] = {}
        self._cut: dict[bytes, PlainHead] = {}
        self._seen: set[int] = set()
        self.known = self._known.get

    def find(self, block: bytes, before: Form | None = None) -> Form | None:
        """The form of a block that is not in the uncut table. None if the head has to be parsed.

        If `before`, the last form of the connection, has the cuts of this block, the result is a
        Holed, because the next head probably has these cuts too.
        """
        if len(block) > self._longest:
            return None
        pieces = _HOLES.split(block)
        bare = self._cut.get(b"".join(pieces[::_PIECES]))
        # In a block of one head, the last piece ends with the empty line (four bytes). If the last
        # piece is shorter, the cut line came after the empty line: it belongs to a second head.
        if bare is None or len(pieces[-1]) < len(_END):
            return None
        said = bare.copy()
        for at in range(1, len(pieces), _PIECES):
            traceparent, request_id, tag = pieces[at : at + 3]  # the groups of `_HOLES`
            if traceparent is not None and said.traceparent is None:
                said.take_trace(traceparent)
            elif request_id is not None and said.request_id is None:
                said.request_id = request_id
            elif tag is not None and said.tag is None:
                said.tag = tag
            else:
                return None  # the same field comes twice
        if said.tag is None and len(pieces) > 1:
            cuts = tuple([0 if piece is None else len(piece) for piece in pieces])
            if before is None or before.cuts != cuts:
                return Form(block, said, cuts)
            return Holed(block, said, cuts, _spans_of(block))
        form = Form(block, said)
        if said.tag is not None and len(pieces) == _PIECES + 1:
            self._keep(self._known, block, form)
        return form

    def meet(self, block: bytes, said: PlainHead, fields: list[tuple[bytes, bytes]]) -> None:
        """Remember a block and `said`, its parsed fields. `fields` has all fields of the head."""
        if len(block) > self._longest or not _is_whole(block):
            return
        names = [name for name, _ in fields]
        pieces = _HOLES.split(block)
        holes = len(_NAMES.intersection(names))
        if self._may_cut and holes and len(pieces) == holes * _PIECES + 1:
            rest = b"".join(pieces[::_PIECES])
            is_restorable = not said.extra or all(name == b"traceparent" for name, _ in said.extra)
            # `find` restores no field that is passed on, except `traceparent`. So the block is not
            # remembered if a field other than `traceparent` is passed on. `find` does not check
            # `max_fields`. So the block is not remembered if it would have too many fields with all
            # fields of `_NAMES`.
            if is_restorable and len(fields) - holes + len(_NAMES) <= self._most_fields:
                self._keep(self._cut, rest, said.without_cut_values())
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
    """Whether the block ends with its first empty line. Later bytes could be another request."""
    return block.find(_END) == len(block) - len(_END)


def _spans_of(block: bytes) -> dict[int, tuple[int, int]]:
    holes = ((hole, hole.lastindex) for hole in _HOLES.finditer(block))
    return {group: hole.span(group) for hole, group in holes if group is not None}
