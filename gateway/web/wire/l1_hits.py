"""Plain questions answered from L1 at once, each as one piece of bytes; or not at all.

The same look-up, rendering and counting as the ordinary way (`data/app`), without a request and a
response in between. What is decided and rendered is good for a second at most (`Held.until`);
who asks, and what is held, is looked up each time. Nothing here awaits, and what is not
answered here has left no trace.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.core.access.registry import Admitted, Allowance, Callers
from gateway.core.cache.entry_headers import to_lines
from gateway.core.errors import AccessRefused
from gateway.core.vocabulary import Detail, Outcome, Part, Tier
from gateway.flow.mode import NORMAL, Modes
from gateway.flow.request.handler import Answer, Ask, Serving
from gateway.ports import Clock, Count, Held, HitLabels
from gateway.web.exchange import AccessLine, AccessLog, rate_limit_fields
from gateway.web.render import is_current, moment_of
from gateway.web.wire.plain_request import PlainHead

_REQUEST_ID: Final = b"x-request-id: "
_ENDS: Final = b"\r\n\r\n"
# Of the clocks' arithmetic: what is good till then is made anew a little before.
_MARGIN = 1e-6
_logger = logging.getLogger(__name__)


class Hits:
    """Answers what L1 may answer with; parts as in DataPlane, `counting` as the observer's.
    `heeds_directives`: a request with directives about what is stored takes the ordinary way."""

    def __init__(
        self,
        serving: Serving,
        callers: Callers,
        clock: Clock,
        counting: Callable[[Outcome, Tier, int], Count],
        access_log: AccessLog,
        *,
        forward_headers: frozenset[bytes],
        modes: Modes,
        heeds_directives: bool,
        new_id: Callable[[], bytes],
    ) -> None:
        self.forwarded, self.heeds_directives = forward_headers, heeds_directives
        self._modes = modes
        self._peek, self._held = serving.peek, serving.held
        self._edition, self._stands_for = serving.confirming.edition, serving.confirming.stands_for
        self._stale_stands_for = serving.stale_stands_for
        self._callers = callers
        self._clock, self._monotonic = clock, clock.monotonic
        self._counting = counting
        self._labels: dict[tuple[Outcome, Tier, Detail | None, int], HitLabels] = {}
        self._access_log = access_log
        self.weigh = access_log.weigh
        self._unlogged, self._brief = access_log.unlogged, access_log.brief
        self._new_id = new_id

    @property
    def is_open(self) -> bool:
        """Whether the mode is the ordinary one."""
        return self._modes.current is NORMAL

    def knows(self, said: PlainHead) -> bool:
        """Whether the caller was let in before."""
        return self._callers.known(said.sent) is not None

    def admit(self, said: PlainHead) -> Admitted:
        """The caller; raises AccessRefused."""
        return self._callers.known(said.sent) or self._admit(said)

    def request_id(self, said: PlainHead) -> bytes:
        """The caller's own id, or one of ours."""
        return said.request_id or self._new_id()

    def answer(self, said: PlainHead, training_id: str, *, is_head: bool = False) -> bytes | None:
        """The whole response; None where there is no answer at once, or it would be an error.

        The id needs no judgement: what L1 holds has a good one.
        """
        if self._modes.current is not NORMAL:
            return None
        began = self._monotonic()
        try:
            admitted = self._callers.known(said.sent) or self._admit(said)
            key = (admitted.partition, training_id)
            held, allowance = self._held(key), admitted.allowance
            # None also where its compressed form is wanted and not made yet.
            form = held.coded if held and said.takes_gzip and held.is_codable else held
            if held is None or form is None:
                return None
            if allowance is not None and allowance.remaining(began) < 1:
                return None
            edition = self._edition(key)
            if began >= held.until or held.edition is not edition:
                labels = self._prepare(held, edition, said.ask(admitted.caller, training_id), began)
            else:
                labels = held.labels
                held.reads += 1
            if labels is None:
                return None
            lines, age = form.head, began - held.born
            status, body, count = labels.status, form.body, labels.count
            has_condition = (said.tag or said.since) and status == 200
            if has_condition and is_current(said.tag, said.since, form):
                status, body, count = 304, b"", labels.count_not_modified
                lines = lines[form.brief_at :]
            start, request_id = STATUS_LINE[status], said.request_id or self._new_id()
        except AccessRefused:
            return None
        except Exception:
            _logger.exception("a hit could not be answered the short way")
            return None
        seconds = self._monotonic() - began
        count(seconds, age, admitted.client, said.traceparent, training_id, is_head)
        if labels.is_routine and seconds <= self._brief and self._unlogged[0] > 0:
            self._unlogged[0] -= 1
        else:
            of = (said, training_id, request_id, admitted.client)
            self._weigh(labels, of, status, (seconds, age), is_head=is_head)
        ends = _ENDS if allowance is None else b"\r\n%b\r\n" % charged(allowance, began)
        sent = b"" if is_head else body
        return b"".join((start, lines, held.moment, _REQUEST_ID, request_id, ends, sent))

    def _weigh(
        self,
        labels: HitLabels,
        of: tuple[PlainHead, str, bytes, str],
        status: int,
        measured: tuple[float, float],
        *,
        is_head: bool,
    ) -> None:
        weight = self.weigh(labels.outcome, status, measured[0])
        if weight is not None:
            self.note(labels, of, status, measured, weight, is_head=is_head)

    def _admit(self, said: PlainHead) -> Admitted:
        return self._callers.admit((said.sent,) if said.sent else ())

    def _prepare(self, held: Held, edition: object, ask: Ask, began: float) -> HitLabels | None:
        """Have it judged whether L1 may answer with what is held, and write what is said of it
        for the next moment; None where it may not."""
        answer = self._peek(ask)
        if answer is None or answer.content is not held:
            return None
        held.moment, unchanged = moment_of(held.entry, answer.handling, self._clock.now())
        held.born = began - held.entry.age(began + self._clock.offset)
        held.labels = self.labels(answer, held.entry.status)
        held.edition = edition
        stands = self._stands_for(ask.key, answer) or self._stale_stands_for(ask, answer)
        held.until = self._monotonic() + min(stands, unchanged) - _MARGIN
        return held.labels

    def labels(self, answer: Answer, status: int) -> HitLabels:
        """How such answers with an entry of that status are told and counted."""
        outcome, tier, detail = answer.outcome, answer.tier, answer.handling.detail
        sort = (outcome, tier, detail, status)
        labels = self._labels.get(sort)
        if labels is None:
            counts = self._counting(outcome, tier, status), self._counting(outcome, tier, 304)
            is_routine = self._access_log.is_routine(outcome)
            labels = HitLabels(outcome, tier, detail, status, counts, is_routine=is_routine)
            self._labels[sort] = labels
        return labels

    def note(
        self,
        labels: HitLabels,
        of: tuple[PlainHead, str, bytes, str],
        status: int,
        measured: tuple[float, float],
        weight: int,
        *,
        is_head: bool,
        parts: Mapping[Part, float] | None = None,
    ) -> None:
        """Write a line of that weight: `of` whom and what, seconds and age `measured`."""
        said, training_id, request_id, client = of
        seconds, age = measured
        line = AccessLine(
            request_id=request_id.decode("ascii"),
            method="HEAD" if is_head else "GET",
            training_id=training_id,
            outcome=labels.outcome,
            tier=labels.tier,
            detail=labels.detail,
            status=status,
            seconds=seconds,
            age=age,
            client=client,
            trace_id=said.trace_id,
            parts=parts,
        )
        self._access_log.put(line, weight)


def charged(allowance: Allowance, now: float) -> bytes:
    """One request less for the caller, who is told."""
    allowance.take(now)
    return to_lines(rate_limit_fields(allowance, now))
