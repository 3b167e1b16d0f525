"""Answers batches whose trainings are all fresh in L1, without a request object.

A request that is not answered here goes to `data/app`, and is not yet counted or charged. Both ways
give the same response.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.core.access.registry import Admitted
from gateway.core.cache.entry_headers import to_lines
from gateway.core.vocabulary import Detail, Outcome
from gateway.ports import Clock, Held
from gateway.web.data.batch import CLOSES, MOST, OPENS, head_of, hits_of, tag_of
from gateway.web.wire.hits import Hits
from gateway.web.wire.request_head import PlainHead

# The most bytes of trainings that are written at once. `data/app` writes more of them, in pieces.
_LARGEST: Final = 131_072
_logger = logging.getLogger(__name__)


class ManyHits:
    """Answers batches from L1.

    hits         knows the callers, and counts and logs answers
    count_items  counts the trainings of a batch by their outcomes
    """

    def __init__(
        self,
        hits: Hits,
        clock: Clock,
        new_id: Callable[[], bytes],
        count_items: Callable[[Iterable[Outcome]], None],
    ) -> None:
        self._hits = hits
        self._decided = hits.decided
        self._clock, self._monotonic = clock, clock.monotonic
        self._new_id = new_id
        self._count_items = count_items

    def answer(self, said: PlainHead, ids: bytes, *, is_head: bool) -> bytes | None:
        """The whole response with these ids, which are undecoded. None if `data/app` has to answer.
        An id needs no check, because every id in L1 is valid."""
        admitted = None if said.takes_gzip or said.tag else self._hits.known(said)
        if admitted is None or admitted.allowance is not None:
            return None
        try:
            began, now = self._monotonic(), self._clock.now()
            fresh = self._all_fresh(said, admitted, ids, began)
            if fresh is None:
                return None
            parts, told = hits_of(fresh, now)
            body, request_id = (OPENS, *parts, CLOSES), said.request_id or self._new_id()
            length, tag = sum(map(len, body)), tag_of([told])
            of_it = tag, length, request_id.decode("ascii"), now
            end, fields, age = head_of([told], *of_it, is_coded=False)
        except Exception:
            _logger.exception("a batch could not be answered from L1; a slower path is tried")
            return None
        admitted.reads += 1
        self._count_items([Outcome.FRESH] * len(fresh))
        labels = self._hits.labels(end.outcome, end.tier, Detail.BATCH, 200)
        of = (said, None, request_id, admitted.client)
        self._hits.note(labels, of, 200, (self._monotonic() - began, age or 0.0), is_head=is_head)
        sent = () if is_head else body
        return b"".join((STATUS_LINE[200], to_lines(fields), b"\r\n", *sent))

    def _all_fresh(
        self, said: PlainHead, admitted: Admitted, ids: bytes, began: float
    ) -> dict[str, Held] | None:
        """The responses by id. None if L1 has not all of them fresh, or if they are too many or too
        large."""
        fresh, size = {}, 0
        for each in ids.decode("latin-1").split(",", MOST):
            held = self._decided(said, admitted, each, began)
            if held is None:
                return None
            size += len(held.body)
            fresh[each] = held
        return fresh if size <= _LARGEST else None
