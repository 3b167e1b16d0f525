"""Plain questions that L1 has nothing for, answered once Redis was asked: without a request, too.

The look-up, the judgement and the rendering are those of the ordinary way (`data/app`); what is
left out is the task, the scope and the response in between. What cannot be answered by then goes
the ordinary way, which finds the look-up that has just ended.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.core.access.registry import Admitted
from gateway.core.cache.entry_headers import Conditions
from gateway.core.errors import AccessRefused
from gateway.core.upstream.training import is_training_id
from gateway.core.vocabulary import Part
from gateway.flow.answer import Answer, Ask
from gateway.flow.cache.tiers import Seen
from gateway.flow.request.handler import Serving
from gateway.flow.singleflight import Flight
from gateway.flow.timings import Spent
from gateway.ports import Clock, Held
from gateway.web.render import render
from gateway.web.wire.l1_hits import Hits, charged
from gateway.web.wire.plain_request import PlainHead

_logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class LookUp:
    """A question, and what it waits for; `began` is monotonic."""

    said: PlainHead
    ask: Ask
    began: float
    flight: Flight[Seen | None]


class LookUps:
    """Begins them, and answers when they have ended; `hits` are what was tried before."""

    def __init__(self, serving: Serving, hits: Hits, clock: Clock) -> None:
        self._serving = serving
        self._hits = hits
        self._clock = clock

    def begin(self, said: PlainHead, training_id: str) -> LookUp | None:
        """The look-up under way now; None where the question is for the ordinary way."""
        if not self._hits.is_open or not is_training_id(training_id):
            return None
        began = self._clock.monotonic()
        try:
            admitted = self._hits.admit(said)
            if not _may_ask(admitted, began):
                return None
            ask = said.ask(admitted.caller, training_id)
            flight = self._serving.beyond(ask.key)
        except AccessRefused:
            return None
        except Exception:
            _logger.exception("nothing could be looked up the short way")
            return None
        return None if flight is None else LookUp(said, ask, began, flight)

    def answer(self, look_up: LookUp) -> bytes | None:
        """The whole response to what ended; None where that did not bring one. Who may ask is
        looked up once more: that may have changed."""
        said, ask = look_up.said, look_up.ask
        try:
            admitted, now = self._hits.admit(said), self._clock.monotonic()
            if not self._hits.is_open or admitted.partition != ask.key.partition:
                return None
            if not _may_ask(admitted, now):
                return None
            answer = self._serving.once_looked_up(ask, look_up.flight.result())
            if answer is None or not isinstance(answer.content, Held):
                return None
            allowance = admitted.allowance
            fields = b"" if allowance is None else charged(allowance, now)
            return self._written(look_up, answer, answer.content, fields)
        except AccessRefused:
            return None
        except Exception:
            _logger.exception("what was found could not be answered the short way")
            return None

    def linger(self, look_up: LookUp) -> None:
        """Let who asks the same the ordinary way, begun in this turn of the loop, find it."""
        self._serving.lookups.linger(look_up.ask.key, look_up.flight)

    def _written(self, look_up: LookUp, answer: Answer, held: Held, fields: bytes) -> bytes:
        said, ask, hits = look_up.said, look_up.ask, self._hits
        if said.takes_gzip:
            answer = answer._replace(content=self._serving.coded(ask.key, held))
        request_id = hits.request_id(said)
        conditions = Conditions(said.tag, said.since)
        rendered = render(answer, conditions, request_id, self._clock.now())
        labels, status = hits.labels(answer, held.entry.status), rendered.status
        measured = self._clock.monotonic() - look_up.began, held.entry.age(self._clock.now())
        count = labels.count_not_modified if status == 304 else labels.count
        count(*measured, ask.caller.client, said.traceparent, ask.key.training_id)
        weight = hits.weigh(labels.outcome, status, measured[0])
        if weight is not None:
            of = (said, ask.key.training_id, request_id, ask.caller.client)
            parts = self._parts(look_up)
            hits.note(labels, of, status, measured, weight, is_head=False, parts=parts)
        return b"".join((STATUS_LINE[status], rendered.lines, fields, b"\r\n", rendered.body))

    def _parts(self, look_up: LookUp) -> Mapping[Part, float] | None:
        """What it waited for: of the look-up only what came after it had joined."""
        mine, shared = Spent(self._clock), look_up.flight.spent
        if shared is not None:
            mine.share(shared, look_up.began)
        return mine.seconds() or None


def _may_ask(admitted: Admitted, now: float) -> bool:
    """Whether the caller's own rate lets it."""
    return admitted.allowance is None or admitted.allowance.remaining(now) >= 1
