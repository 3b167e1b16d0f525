"""What a connection sent last: the same again is known by comparing it, no table searched.

Callers send one head after the other that differ in the training, and in a trace and an id of the
request, which stand where they stood and are as long as they were. As in `head_cache`, it is
remembered what bytes say, and nothing that was decided.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gateway.core.http.traceparent import TRACEPARENT
from gateway.web.wire.plain_request import REQUEST_ID, Said

_is_trace: Final = TRACEPARENT.fullmatch
_is_request_id: Final = re.compile(REQUEST_ID).fullmatch

# What may be cut out of one, as groups of the expression that finds it.
TRACE_IS: Final = 1
ID_IS: Final = 2


class Form:
    """A block and what it says; `tail` is how it ends, here all of it, `length` its bytes. `cuts`
    tells where something was cut out of it: only then it has to be asked what else it `takes`."""

    __slots__ = ("cuts", "length", "said", "tail")

    def __init__(self, block: bytes, said: Said, cuts: tuple[int, ...] = ()) -> None:
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
        self, block: bytes, said: Said, cuts: tuple[int, ...], spans: Mapping[int, tuple[int, int]]
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
