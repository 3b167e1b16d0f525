"""Answers batches whose trainings are all fresh in L1, and fresh lists that are held, without a
request object.

A request that is not answered here goes to `data/app`, and is not yet counted or charged. Both ways
give the same response.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.core.access.registry import Admitted
from gateway.core.cache.entry import Key
from gateway.core.cache.entry_headers import to_lines
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Detail, Outcome, Tier
from gateway.flow.request.lists import Lists
from gateway.ports import Clock, Held
from gateway.web.data.batch import CLOSES, MOST, OPENS, head_of, hits_of, tag_of
from gateway.web.render import moment_of
from gateway.web.wire.hits import Hits
from gateway.web.wire.request_head import PlainHead

# The most bytes of the trainings of a batch, and of a list, that are written at once. `data/app`
# writes more of them, in pieces. Callers share the body of a list.
_LARGEST: Final = 131_072
_LARGEST_LIST: Final = 262_144
_IDS: Final = b"ids="
_logger = logging.getLogger(__name__)

# The detail of a response, its header lines, the pieces of its body, and its age in seconds.
_Made = tuple[Detail | None, bytes, Sequence[bytes], float]


class ManyHits:
    """Answers batches and lists from L1.

    hits         knows the callers, and counts and logs answers
    count_items  counts the trainings of a batch by their outcomes
    """

    def __init__(
        self,
        hits: Hits,
        lists: Lists,
        clock: Clock,
        new_id: Callable[[], bytes],
        count_items: Callable[[Iterable[Outcome]], None],
    ) -> None:
        self._hits = hits
        self._lists = lists
        self._clock, self._monotonic = clock, clock.monotonic
        self._new_id = new_id
        self._count_items = count_items

    def answer(self, said: PlainHead, query: bytes, *, is_head: bool) -> Sequence[bytes] | None:
        """The whole response to a request with this undecoded query, in pieces. None if `data/app`
        has to answer. An id needs no check, because every id in L1 is valid."""
        admitted = None if said.tag or said.since else self._hits.known(said)
        if admitted is None or admitted.allowance is not None:
            return None
        began, request_id = self._monotonic(), said.request_id or self._new_id()
        try:
            if query.startswith(_IDS):
                made = self._batch(said, admitted, query, request_id, began)
            else:
                made = self._list(said, admitted, query, request_id)
        except Exception:
            _logger.exception(
                "many trainings could not be answered from L1; a slower path is tried"
            )
            return None
        if made is None:
            return None
        detail, lines, body, age = made
        admitted.reads += 1
        labels = self._hits.labels(Outcome.FRESH, Tier.L1, detail, 200)
        of = (said, None, request_id, admitted.client)
        measured = self._monotonic() - began, age
        labels.count(*measured, admitted.client, said.traceparent, "", is_head)
        self._hits.log(labels, of, 200, measured, is_head=is_head)
        return (STATUS_LINE[200], lines, b"\r\n", *(() if is_head else body))

    def _batch(
        self, said: PlainHead, admitted: Admitted, query: bytes, request_id: bytes, began: float
    ) -> _Made | None:
        fresh = self._all_fresh(said, admitted, query, began)
        if fresh is None:
            return None
        now = self._clock.now()
        parts, told = hits_of(fresh, now)
        body = b"".join((OPENS, *parts, CLOSES))
        of_it = tag_of([told]), len(body), request_id.decode("ascii"), now
        _, fields, age = head_of([told], *of_it)
        self._count_items([Outcome.FRESH] * len(fresh))
        return Detail.BATCH, to_lines(fields), (body,), age or 0.0

    def _list(
        self, said: PlainHead, admitted: Admitted, query: bytes, request_id: bytes
    ) -> _Made | None:
        answer = self._lists.at_hand(Key(admitted.partition, "?" + query.decode("latin-1")))
        if answer is None or isinstance(answer.content, Reply):
            return None
        held, now = answer.content, self._clock.now()
        form = held.coded if said.takes_gzip and held.is_codable else held
        # None: the compressed form is wanted and was not made yet.
        if form is None or len(form.body) > _LARGEST_LIST:
            return None
        moment, _ = moment_of(held.entry, answer.handling, now)
        lines = b"%b%bx-request-id: %b\r\n" % (form.head, moment, request_id)
        return answer.handling.detail, lines, (form.body,), held.entry.age(now)

    def _all_fresh(
        self, said: PlainHead, admitted: Admitted, query: bytes, began: float
    ) -> dict[str, Held] | None:
        """The responses by id. None if L1 has not all of them fresh, or if they are too many or too
        large."""
        # The piece after the last split has a comma, so it is no id, if there are too many.
        wanted = dict.fromkeys(query[len(_IDS) :].decode("latin-1").split(",", MOST - 1))
        fresh = self._hits.all_fresh(said, admitted, wanted, began)
        size = sum(len(each.body) for each in (fresh or {}).values())
        return fresh if size <= _LARGEST else None
