"""What blocks of fields say that came before, byte for byte: parsing is a function of the bytes.

Heads of one client differ in their first line, and in few fields that are new with each request:
a trace, an id, an entity tag. Those are cut out where they stand as they ought to, and the rest
is known. No decision is remembered: who the caller is, and what there is, is looked up each time.
What a connection sent last is known by comparing it, and no table is searched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar

from gateway.core.http.traceparent import TRACE, TRACEPARENT
from gateway.web.wire.request_head import REQUEST_ID, PlainHead

_is_trace: Final = TRACEPARENT.fullmatch
_is_request_id: Final = re.compile(REQUEST_ID).fullmatch

# What may be cut out of one, as groups of the expression that finds it.
TRACE_IS: Final = 1
ID_IS: Final = 2


class Form:
    """A block and what it says; `tail` is how it ends, here all of it, `length` its bytes. `cuts`
    tells where something was cut out of it: only then it has to be asked what else it `takes`."""

    __slots__ = ("cuts", "length", "said", "tail")

    def __init__(self, block: bytes, said: PlainHead, cuts: tuple[int, ...] = ()) -> None:
        self.tail, self.said, self.cuts = block, said, cuts
        self.length = len(block)

    def takes(self, _head: bytes) -> bool:
        """Whether a head that ends with `tail` is of this form."""
        return True


class Holed(Form):
    """One with a trace, an id or both cut out, for one connection alone: `said` is what the last
    head said that it took."""

    __slots__ = ("_between", "_between_at", "_id_at", "_start", "_start_at", "_trace_at")

    def __init__(
        self,
        block: bytes,
        said: PlainHead,
        cuts: tuple[int, ...],
        spans: Mapping[int, tuple[int, int]],
    ) -> None:
        """`spans` of the trace and of the id: where each stands in the block."""
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
        """Whether it differs from the one before in what was cut out alone; then `said` says what
        it says."""
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
        """The same place, counted from the end of a head."""
        return slice(start - self.length, end - self.length)


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
        self._cut: dict[bytes, PlainHead] = {}
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

    def meet(self, block: bytes, said: PlainHead, fields: list[tuple[bytes, bytes]]) -> None:
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
