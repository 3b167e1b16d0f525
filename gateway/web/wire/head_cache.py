"""Remembers the parsed fields of request heads, so that equal bytes are parsed only once.

A block is a head without its method and target. It may have values that change with each request: a
trace, a request id, an entity tag. If they are valid, they are cut out, and the rest of the block
is looked up in a table. Only the fields are remembered: the caller and the entry are looked up for
each request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar

from gateway.core.http.traceparent import TRACE, TRACEPARENT
from gateway.web.wire.request_head import REQUEST_ID, PlainHead

_is_trace: Final = TRACEPARENT.fullmatch
_is_request_id: Final = re.compile(REQUEST_ID).fullmatch

# The groups of `_HOLES` for a trace and for a request id.
TRACE_IS: Final = 1
ID_IS: Final = 2


class Form:
    """A block and its parsed fields (`said`).

    A head has this form if it ends with `tail` and `takes` accepts it. In this class `tail` is the
    whole block. In Holed it is the part after the last value that was cut out.

    length  bytes of the block
    cuts    the lengths of the pieces between and of the cut values, in the order of the block.
            Empty if the block has an entity tag, or if nothing was cut out
    """

    __slots__ = ("cuts", "length", "said", "tail")

    def __init__(self, block: bytes, said: PlainHead, cuts: tuple[int, ...] = ()) -> None:
        self.tail, self.said, self.cuts = block, said, cuts
        self.length = len(block)

    def takes(self, _head: bytes) -> bool:
        """Whether a head that ends with `tail` has this form."""
        return True


class Holed(Form):
    """A form from which a trace, a request id, or both are cut out. It belongs to one connection,
    because `said` has the values of the last head that `takes` accepted."""

    __slots__ = ("_between", "_between_at", "_id_at", "_start", "_start_at", "_trace_at")

    def __init__(
        self,
        block: bytes,
        said: PlainHead,
        cuts: tuple[int, ...],
        spans: Mapping[int, tuple[int, int]],
    ) -> None:
        """`spans` are the positions of the trace and of the request id in the block."""
        super().__init__(block, said, cuts)
        (start, first_end), (last_start, end) = min(spans.values()), max(spans.values())
        between = (first_end, max(first_end, last_start))
        self._start, self._start_at = block[:start], self._at(0, start)
        self._between_at = self._at(*between)
        self._between = block[slice(*between)]
        self.tail = block[end:]
        self._trace_at = self._at(*spans[TRACE_IS]) if TRACE_IS in spans else None
        self._id_at = self._at(*spans[ID_IS]) if ID_IS in spans else None

    def takes(self, head: bytes) -> bool:
        """Whether the head differs from the form only in the cut values. If so, `said` gets the
        values of this head."""
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
        """The slice of a head for the bytes `start` to `end` of its block. It counts from the end
        of the head, because targets differ in length."""
        return slice(start - self.length, end - self.length)


# The most blocks in a table, and the most bytes of a block: 16 MiB for each of the two tables. Each
# caller needs at least one block, because the block contains the credential.
_MOST: Final = 16_384
_LONGEST: Final = 1_024
# The bytes of a request line with the longest id.
_LINE: Final = 160

# The header lines that may be cut out, each with the line break before it. A line whose value does
# not match stays in the block.
_HOLES: Final = re.compile(
    rb"\r\n(?:(?i:traceparent): (%b)|(?i:x-request-id): (%b)"
    rb'|(?i:if-none-match): ((?:W/)?"[!#-~]*"))(?=\r\n)' % (TRACE, REQUEST_ID)
)
_NAMES: Final = frozenset((b"traceparent", b"x-request-id", b"if-none-match"))
_END: Final = b"\r\n\r\n"
_PIECES: Final = 4  # the items of `split` for a match: the text before it, and the three groups

T = TypeVar("T")


class Blocks:
    """The tables of known blocks. `find` is called before a head is parsed, `meet` afterwards.

    One table has blocks without the cut values. The other has whole blocks: those from which
    nothing can be cut out, and those from which only an entity tag can be cut out, because the
    caller will probably send the same tag again.

    A block enters a table when it comes for the second time, so that heads that come only once take
    no room in the tables. A full table is cleared.
    """

    def __init__(
        self, forwarded: frozenset[bytes], max_head: int, max_fields: int, most: int = _MOST
    ) -> None:
        """`forwarded` has the names of the fields that are passed on to the upstream, `max_head` is
        the most bytes of a head, and `max_fields` the most fields. The values are those of the
        parser."""
        self._most = most
        self._longest = min(_LONGEST, max_head - _LINE)
        self._most_fields = max_fields
        self._may_cut = forwarded.isdisjoint(_NAMES)
        self._known: dict[bytes, Form] = {}
        self._cut: dict[bytes, PlainHead] = {}
        self._seen: set[int] = set()
        self.known = self._known.get

    def find(self, block: bytes, before: Form | None = None) -> Form | None:
        """The form of a block that `known` does not have. None if the block without the cut values
        is not known either.

        `before` is the last form of the connection. If it has cuts at the same places, the next
        head probably has them too, and the result is a `Holed`.
        """
        if len(block) > self._longest:
            return None
        pieces = _HOLES.split(block)
        bare = self._cut.get(b"".join(pieces[::_PIECES]))
        # A block ends with the empty line that ends a head. If the last piece is shorter than that,
        # a value was cut out behind an earlier empty line, so the block is more than one head.
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
                return None  # a name is repeated
        if said.tag is None and len(pieces) > 1:
            cuts = tuple([0 if piece is None else len(piece) for piece in pieces])
            if before is None or before.cuts != cuts:
                return Form(block, said, cuts)
            return Holed(block, said, cuts, _spans_of(block))
        form = Form(block, said)
        if said.tag is not None and len(pieces) == _PIECES + 1:
            self._keep(self._known, block, form)  # only a tag, which probably comes again
        return form

    def meet(self, block: bytes, said: PlainHead, fields: list[tuple[bytes, bytes]]) -> None:
        """Note a block that was parsed, with its result `said` and its fields."""
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
    """Whether nothing follows the first empty line. Bytes behind it could look like the head of
    another request."""
    return block.find(_END) == len(block) - len(_END)


def _spans_of(block: bytes) -> dict[int, tuple[int, int]]:
    holes = ((hole, hole.lastindex) for hole in _HOLES.finditer(block))
    return {group: hole.span(group) for hole, group in holes if group is not None}
