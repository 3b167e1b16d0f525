"""Plain questions answered from L1 at once, each as one piece of bytes; or not at all.

The same look-up, rendering and counting as the ordinary way (`data`), without a request and a
response in between. Nothing here awaits, and what is not answered here has left no trace.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.core.allowance import Allowance
from gateway.core.callers import Callers
from gateway.core.errors import AccessRefused
from gateway.core.head import to_lines
from gateway.core.reply import Reply
from gateway.flow.serve import Answer, Serving
from gateway.ports import Clock, Observer
from gateway.web.asked import Asked
from gateway.web.exchange import AccessLog, Line, rate_limit_fields
from gateway.web.render import stored

_logger = logging.getLogger(__name__)


class Hits:
    """Answers what L1 may answer with; parts as in DataPlane. `heeds_wishes`: who wishes for
    more than what is stored is for the ordinary way."""

    def __init__(
        self,
        serving: Serving,
        callers: Callers,
        clock: Clock,
        observer: Observer,
        access_log: AccessLog,
        *,
        forward_headers: frozenset[bytes],
        heeds_wishes: bool,
        new_id: Callable[[], str],
    ) -> None:
        self.forwarded, self.heeds_wishes = forward_headers, heeds_wishes
        self._peek = serving.peek
        self._admit = callers.admit
        self._clock = clock
        self._requested, self._client_result = observer.requested, observer.client_result
        self._access_log = access_log
        self._weigh = access_log.weigh
        self._new_id = new_id

    def answer(self, asked: Asked) -> bytes | None:
        """The whole response; None where there is no answer at once, or it would be an error."""
        began = self._clock.monotonic()
        try:
            admitted = self._admit(asked.authorization)
            caller, allowance = admitted.caller, admitted.allowance
            if allowance is not None and allowance.remaining(began) < 1:
                return None
            answer = self._peek(asked.by(caller))
            if answer is None:
                return None
            held, handling = answer.content, answer.handling
            if isinstance(held, Reply):
                return None
            now = self._clock.now()
            status, lines, moment, body, age = stored(held, handling, asked.conditions, now)
            request_id = asked.request_id or self._new_id().encode("ascii")
        except AccessRefused:
            return None
        except Exception:
            _logger.exception("a hit could not be answered the short way")
            return None
        seconds = self._clock.monotonic() - began
        self._requested(answer.outcome, answer.tier, status, seconds, age)
        self._client_result(caller.client, "served")
        weight = self._weigh(answer.outcome, status, seconds)
        if weight is not None:
            line = self._line(asked, answer, status, request_id, (seconds, age, caller.client))
            self._access_log.put(line, weight)
        own = b"" if allowance is None else _charged(allowance, began)
        start = STATUS_LINE[status]
        mine = b"x-request-id: %b\r\n%b\r\n" % (request_id, own)
        return b"".join((start, lines, moment, mine, b"" if asked.is_head else body))

    def _line(
        self,
        asked: Asked,
        answer: Answer,
        status: int,
        request_id: bytes,
        measured: tuple[float, float, str],
    ) -> Line:
        seconds, age, client = measured
        return Line(
            request_id=request_id.decode("ascii"),
            method="HEAD" if asked.is_head else "GET",
            training_id=asked.training_id,
            outcome=answer.outcome,
            tier=answer.tier,
            detail=answer.handling.detail,
            status=status,
            seconds=seconds,
            age=age,
            client=client,
            trace_id=asked.trace_id,
        )


def _charged(allowance: Allowance, now: float) -> bytes:
    """One request less for the caller, who is told."""
    allowance.take(now)
    return to_lines(rate_limit_fields(allowance, now))
