"""Answers plain requests (see `hot_path.plain`) from L1, without a request object.

A request that is not answered here goes to `data/app`, and is not yet counted or charged. The
decision to serve an entry of L1, and the header lines that follow from it, are used again for a
second at most (`Held.until`). The caller and the entry are looked up for each request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.core.access.registry import Admitted, Allowance, Callers
from gateway.core.cache.entry_headers import to_lines
from gateway.core.errors import AccessRefused
from gateway.core.vocabulary import Detail, Outcome, Tier
from gateway.flow.answer import Ask
from gateway.flow.mode import NORMAL, Modes
from gateway.flow.request.response_selection import Serving
from gateway.ports import AccessLine, Clock, Count, Held, HitLabels, Served, Tracer
from gateway.web.render import is_current, moment_of
from gateway.web.request import TRAINING_ROUTE, AccessLog, rate_limit_fields
from gateway.web.wire.request_head import PlainHead

# The most bytes of a body that are written at once. A training with more is answered by `data/app`,
# in pieces, so that a connection whose caller does not read holds little more than this.
LARGEST_PIECE: Final = 65_536
_REQUEST_ID: Final = b"x-request-id: "
_ENDS: Final = b"\r\n\r\n"
# `Held.until` is this many seconds before the time when the decision or the header lines have to
# change, because sums of times are not exact.
_MARGIN = 1e-6
_logger = logging.getLogger(__name__)


class Hits:
    """Answers requests from L1.

    counting          `Observer.counting`; if traces are sent, wrapped by `traced`
    heeds_directives  whether requests with cache directives go to `data/app`
    """

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
        self._unlogged, self._brief = access_log.unlogged, access_log.brief
        self._new_id = new_id

    def known(self, said: PlainHead) -> Admitted | None:
        """The caller, if it was accepted before and the mode is the normal one."""
        return self._callers.known(said.sent) if self._modes.current is NORMAL else None

    def answer(self, said: PlainHead, training_id: str, *, is_head: bool = False) -> bytes | None:
        """The whole response. None if `data/app` has to answer. The id needs no check, because
        every id in L1 is valid."""
        if self._modes.current is not NORMAL:
            return None
        began = self._monotonic()
        try:
            admitted = self._callers.known(said.sent) or self._admit(said)
            key = (admitted.partition, training_id)
            held, allowance = self._held(key), admitted.allowance
            # `form` is also None if the compressed form is wanted and was not made yet.
            form = held.coded if held and said.takes_gzip and held.is_codable else held
            if held is None or form is None:
                return None
            if allowance is not None and allowance.remaining(began) < 1:
                return None
            edition = self._edition()
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
            _logger.exception("the hot path could not answer from L1; a slower path is tried")
            return None
        seconds = self._monotonic() - began
        admitted.reads += 1
        count(seconds, age, admitted.client, said.traceparent, training_id, is_head)
        if labels.is_routine and seconds <= self._brief and self._unlogged[0] > 0:
            self._unlogged[0] -= 1
        else:
            of = (said, training_id, request_id, admitted.client)
            self.log(labels, of, status, (seconds, age), is_head=is_head)
        ends = _ENDS if allowance is None else b"\r\n%b\r\n" % charged(allowance, began)
        sent = b"" if is_head else body
        return b"".join((start, lines, held.moment, _REQUEST_ID, request_id, ends, sent))

    def all_fresh(
        self, said: PlainHead, admitted: Admitted, ids: Iterable[str], began: float
    ) -> dict[str, Held] | None:
        """The entries by id, if `answer` would serve each as a fresh training now. They count as
        read."""
        partition, peek, edition = admitted.partition, self._held, self._edition()
        fresh = {}
        for each in ids:
            held = peek((partition, each))
            if held is None or not held.is_plain:
                return None
            labels = held.labels
            if began < held.until and held.edition is edition:
                held.reads += 1
            else:
                # A stale one would begin a refresh here.
                if not held.entry.is_fresh(self._clock.now()):
                    return None
                labels = self._prepare(held, edition, said.ask(admitted.caller, each), began)
            if labels is None or labels.outcome is not Outcome.FRESH:
                return None
            fresh[each] = held
        return fresh

    def _admit(self, said: PlainHead) -> Admitted:
        return self._callers.admit((said.sent,) if said.sent else ())

    def _prepare(self, held: Held, edition: object, ask: Ask, began: float) -> HitLabels | None:
        """Decide whether L1 may serve the entry. If so, return the labels of the hit, and write
        into `held` what this hit and later ones use. If not, return None."""
        if len(held.body) > LARGEST_PIECE:
            return None
        answer = self._peek(ask)
        if answer is None or answer.content is not held:
            return None
        held.moment, unchanged = moment_of(held.entry, answer.handling, self._clock.now())
        held.born = began - held.entry.age(began + self._clock.offset)
        kind = answer.outcome, answer.tier, answer.handling.detail, held.entry.status
        held.labels = self.labels(*kind)
        held.edition = edition
        stands = self._stands_for(ask.key, answer) or self._stale_stands_for(ask, answer)
        held.until = self._monotonic() + min(stands, unchanged) - _MARGIN
        return held.labels

    def labels(self, outcome: Outcome, tier: Tier, detail: Detail | None, status: int) -> HitLabels:
        """The labels under which answers of this kind are logged and counted. `status` is the
        entry's status."""
        kind = (outcome, tier, detail, status)
        labels = self._labels.get(kind)
        if labels is None:
            counts = self._counting(outcome, tier, status), self._counting(outcome, tier, 304)
            is_routine = self._access_log.is_routine(outcome)
            labels = HitLabels(outcome, tier, detail, status, counts, is_routine=is_routine)
            self._labels[kind] = labels
        return labels

    def log(
        self,
        labels: HitLabels,
        of: tuple[PlainHead, str | None, bytes, str],
        status: int,
        measured: tuple[float, float],
        *,
        is_head: bool,
    ) -> None:
        """Write a line to the access log, if this answer has one.

        of        the head, the training's id, the request id and the client
        measured  the seconds that the answer took, and the age of the entry
        """
        said, training_id, request_id, client = of
        seconds, age = measured
        weight = self._access_log.weigh(labels.outcome, status, seconds, labels.detail)
        if weight is None:
            return
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
        )
        self._access_log.put(line, weight)


def charged(allowance: Allowance, now: float) -> bytes:
    """Take one request from the client's allowance. Returns the fields about the rate limit."""
    allowance.take(now)
    return to_lines(rate_limit_fields(allowance, now))


Counting = Callable[[Outcome, Tier, int], Count]


def traced(counting: Counting, tracer: Tracer) -> Counting:
    """A `counting` that also tells `tracer` of each hit whose trace is kept (see `Tracer.keeps`).
    The tracer makes one span of the hit."""
    keeps = tracer.keeps

    def traced_counting(outcome: Outcome, tier: Tier, status: int) -> Count:
        count_alone = counting(outcome, tier, status)

        def count(  # noqa: PLR0917 -- keyword arguments are slower
            seconds: float,
            age: float,
            client: str,
            traceparent: bytes | None = None,
            training_id: str = "",
            is_head: bool = False,
        ) -> None:
            count_alone(seconds, age, client, traceparent)
            if keeps(traceparent):
                method, path = "HEAD" if is_head else "GET", f"/training/{training_id}"
                how = (status, outcome, tier, None, client)
                span = tracer.begin(traceparent, seconds)
                span.serve(Served(method, TRAINING_ROUTE, path, *how))

        return count

    return traced_counting
