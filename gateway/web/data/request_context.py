"""The steps that the endpoints for trainings share: checking the caller, answering, counting and
logging.

Requests that `wire/hits` answers do not come here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.core.access.caller import Caller
from gateway.core.access.registry import Callers
from gateway.core.cache.entry_headers import to_lines
from gateway.core.errors import (
    AccessRefused,
    BadRequest,
    ClientRateLimited,
    GatewayError,
    OnlyIfCached,
    VersionNotReached,
)
from gateway.core.http.fields import first
from gateway.core.http.traceparent import sound_of
from gateway.core.instant import from_seconds, to_http_date
from gateway.core.vocabulary import AccessRefusal, Outcome, Tier
from gateway.flow.timings import Spent, watch
from gateway.ports import AccessLine, Clock, RequestObserver, Served, Tracer
from gateway.web.problems import ProblemAnswer, problem_of
from gateway.web.render import Rendered
from gateway.web.request import (
    AccessLog,
    End,
    Exchange,
    client_result,
    peer_of,
    rate_limit_fields,
)
from gateway.web.wire.hits import LARGEST_PIECE
from gateway.web.wire.request_head import request_id_of

_logger = logging.getLogger(__name__)

# The statuses with which the upstream refuses a caller.
_UPSTREAM_REFUSALS = {
    401: AccessRefusal.UPSTREAM_UNAUTHORIZED,
    403: AccessRefusal.UPSTREAM_FORBIDDEN,
}
# Errors with the outcome `rejected`: the caller made a fault, or the request has a condition that
# is not met.
_REJECTIONS = (AccessRefused, BadRequest, ClientRateLimited, OnlyIfCached, VersionNotReached)


class Desk:
    """Checks callers, and counts and logs the responses to them."""

    def __init__(
        self,
        callers: Callers,
        clock: Clock,
        observer: RequestObserver,
        access_log: AccessLog,
        new_id: Callable[[], bytes],
        *,
        tracer: Tracer | None,
    ) -> None:
        self._callers = callers
        self._clock = clock
        self._observer = observer
        self._access_log = access_log
        self._tracer = tracer
        self._new_id = new_id

    async def attend(
        self, request: Request, answer: Callable[[Exchange], Awaitable[Response]]
    ) -> Response:
        """The endpoint's response, or a problem response if the endpoint raised an exception."""
        exchange = self.begin(request)
        try:
            watch(exchange.spent)
            return await answer(exchange)
        except AccessRefused as refused:
            self._observer.access_refused(refused.reason, exchange.as_refused())
            return self.problem(exchange, problem_of(refused), Outcome.REJECTED)
        except GatewayError as error:
            return self.problem(exchange, problem_of(error), outcome_of(error))
        except Exception:
            _logger.exception("request %s failed", exchange.request_id)
            return self.problem(exchange, problem_of(GatewayError()), Outcome.FAILED)

    def begin(self, request: Request) -> Exchange:
        """A new exchange. The duration of its request is measured from now on."""
        given = request_id_of(first(request.scope["headers"], b"x-request-id"))
        request_id = (given or self._new_id()).decode("ascii")
        trace, span = sound_of(first(request.scope["headers"], b"traceparent")), None
        if self._tracer is not None and self._tracer.keeps(trace):
            span = self._tracer.begin(trace)
            trace = span.traceparent
        spent = Spent(self._clock, span)
        began, scope = self._clock.monotonic(), request.scope
        sent = (request.method, scope["path"], peer_of(scope))
        return Exchange(request_id, *sent, began, spent, trace)

    def admit(self, request: Request, exchange: Exchange) -> Caller:
        """The caller. Raises AccessRefused, or ClientRateLimited."""
        return self.admit_some(request, exchange, 1)[0]

    def admit_some(
        self, request: Request, exchange: Exchange, count: int
    ) -> tuple[Caller, int, float]:
        """The caller, how many of `count` (> 0) requests its rate limit allows now, and the seconds
        until it allows one more. Raises AccessRefused, or ClientRateLimited if it allows none."""
        fields = [value for key, value in request.scope["headers"] if key == b"authorization"]
        admitted = self._callers.admit(fields)
        exchange.caller = admitted.caller
        allowance, now = admitted.allowance, self._clock.monotonic()
        if allowance is None:
            return admitted.caller, count, 0.0
        granted, wait = 0, 0.0
        while granted < count and not (wait := allowance.take(now)):
            granted += 1
        exchange.fields = rate_limit_fields(allowance, now)
        if not granted:
            raise ClientRateLimited(wait)
        return admitted.caller, granted, wait

    def answer(self, exchange: Exchange, end: End, rendered: Rendered) -> Response:
        """Count and log a rendered response."""
        self._note(exchange, end, rendered)
        return _response(rendered, exchange)

    def problem(self, exchange: Exchange, problem: ProblemAnswer, outcome: Outcome) -> Response:
        """Count and log a problem response."""
        body = problem.body(exchange.request_id)
        date = to_http_date(from_seconds(self._clock.now()))
        headers = problem.headers(exchange.request_id, date, len(body))
        rendered = Rendered(problem.status, to_lines(headers), body, None)
        return self.answer(exchange, End(outcome, Tier.NONE, problem.problem), rendered)

    def _note(self, exchange: Exchange, end: End, rendered: Rendered) -> None:
        seconds = self._clock.monotonic() - exchange.began
        status = rendered.status
        self._observer.requested(
            end.outcome, end.tier, status, seconds, rendered.age, trace=exchange.sampled
        )
        if end.tier is Tier.UPSTREAM and (refusal := _UPSTREAM_REFUSALS.get(status)):
            self._observer.access_refused(refusal, exchange.as_refused())
        client = None if exchange.caller is None else exchange.caller.client
        if client is not None:
            self._observer.client_result(client, client_result(status, end.detail))
        if exchange.spent.span is not None:
            what = (exchange.method, exchange.route, exchange.path, status)
            exchange.spent.span.serve(Served(*what, end.outcome, end.tier, end.detail, client))
        weight = self._access_log.weigh(end.outcome, status, seconds, end.detail)
        if weight is None:
            return
        self._access_log.put(
            AccessLine(
                request_id=exchange.request_id,
                method=exchange.method,
                training_id=exchange.training_id,
                outcome=end.outcome,
                tier=end.tier,
                detail=end.detail,
                status=status,
                seconds=seconds,
                age=rendered.age,
                client=client,
                trace_id=exchange.trace_id,
                parts=exchange.parts,
            ),
            weight,
        )


class _InPieces(Response):
    """A response whose body is written in pieces. Before each piece uvicorn waits until the caller
    has read most of the pieces before. So a connection whose caller reads nothing does not hold a
    whole large body, and reads no further requests."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        body = bytes(self.body)
        for begin in range(0, max(len(body), 1), LARGEST_PIECE):
            end = begin + LARGEST_PIECE
            piece = {"body": body[begin:end], "more_body": end < len(body)}
            await send({"type": "http.response.body", **piece})


def _response(rendered: Rendered, exchange: Exchange) -> Response:
    response = _InPieces(b"" if exchange.method == "HEAD" else rendered.body, rendered.status)
    response.raw_headers = [*rendered.headers, *exchange.fields]
    return response


def outcome_of(error: GatewayError) -> Outcome:
    """How a request or an item of a batch ended that was answered with this error."""
    return Outcome.REJECTED if isinstance(error, _REJECTIONS) else Outcome.FAILED
