"""The data plane: the training routes and the probes, as a Starlette application.

HTTP in, HTTP out: what may be answered is decided below, what an error is called in problems.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.core.access import Caller
from gateway.core.callers import Callers
from gateway.core.entry import Key
from gateway.core.errors import (
    AccessRefused,
    BadId,
    BadRequest,
    ClientRateLimited,
    GatewayError,
    OnlyIfCached,
)
from gateway.core.head import to_lines
from gateway.core.headers import Conditions, first
from gateway.core.instant import from_seconds, to_http_date
from gateway.core.status import Outcome, Problem, Tier
from gateway.core.wishes import wants_only_if_cached, wishes_of
from gateway.flow.serve import Answer, Ask, Serving
from gateway.flow.spent import Spent, watched
from gateway.flow.unusual import Unusual
from gateway.flow.wishing import Wishing
from gateway.ports import Clock, Observer
from gateway.web.asked import extra_of, request_id_of
from gateway.web.exchange import (
    AccessLog,
    End,
    Exchange,
    Line,
    client_result,
    rate_limit_fields,
)
from gateway.web.hits import Hits
from gateway.web.ids import raw_path, training_id
from gateway.web.openapi import data_document, served
from gateway.web.problems import ProblemAnswer, problem_of
from gateway.web.render import Rendered, render

_NO_SUCH_ROUTE = ProblemAnswer(Problem.NO_SUCH_ROUTE, "trainings are at /training/{id}")
_METHOD_NOT_ALLOWED = ProblemAnswer(
    Problem.METHOD_NOT_ALLOWED,
    "trainings are read with GET or HEAD",
    extra=((b"allow", b"GET, HEAD"),),
)
_OTHERS = frozenset({"/livez", "/readyz", "/openapi.json"})
_logger = logging.getLogger(__name__)


class DataPlane:
    """Answers callers. `wishing` None: what they say of caching is not heard, but for
    `only-if-cached`. `new_id` makes a request id; `ready` says whether to send traffic."""

    def __init__(
        self,
        serving: Serving,
        callers: Callers,
        clock: Clock,
        observer: Observer,
        access_log: AccessLog,
        *,
        wishing: Wishing | None,
        unusual: Unusual,
        forward_headers: frozenset[bytes],
        new_id: Callable[[], str],
        ready: Callable[[], bool],
    ) -> None:
        self._serving = serving
        self._wishing = wishing
        self._unusual = unusual
        self._callers = callers
        self._clock = clock
        self._observer = observer
        self._access_log = access_log
        self._forwarded = forward_headers
        self._new_id = new_id
        self._ready = ready

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            Route("/openapi.json", served(data_document)),
            Route("/{path:path}", self._training),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: self._unrouted})

    def hits(self) -> Hits:
        """What answers plain hits before there is a request, with the same parts."""
        return Hits(
            self._serving,
            self._callers,
            self._clock,
            self._observer,
            self._access_log,
            forward_headers=self._forwarded,
            modes=self._unusual.modes,
            heeds_wishes=self._wishing is not None,
            new_id=self._new_id,
        )

    async def _livez(self, request: Request) -> Response:
        return Response(b"ok\n", media_type="text/plain")

    async def _readyz(self, request: Request) -> Response:
        ready = self._ready()
        text = b"ready\n" if ready else b"not ready\n"
        return Response(text, 200 if ready else 503, media_type="text/plain")

    async def _training(self, request: Request) -> Response:
        """GET and HEAD of everything but the probes."""
        exchange = self._begin(request)
        try:
            wanted = training_id(raw_path(request.scope))
            if wanted is None:
                return self._problem(exchange, _NO_SUCH_ROUTE, Outcome.REJECTED)
            exchange.training_id = wanted
            caller = self._admit(request, exchange)
            serving = self._unusual if self._unusual.is_ordered else self._wishing or self._serving
            exchange.spent = Spent(self._clock)
            with watched(exchange.spent):
                answer = await serving.get(self._ask(request, wanted, caller))
            return self._answer(request, exchange, answer)
        except GatewayError as error:
            return self._problem(exchange, problem_of(error), _outcome_of(error))
        except Exception:
            _logger.exception("request %s failed", exchange.request_id)
            return self._problem(exchange, problem_of(GatewayError()), Outcome.FAILED)

    async def _unrouted(self, request: Request, error: Exception) -> Response:
        """Another method than GET or HEAD."""
        exchange = self._begin(request)
        try:
            wanted = training_id(raw_path(request.scope))
        except BadId as bad:
            return self._problem(exchange, problem_of(bad), Outcome.REJECTED)
        known = wanted is not None or request.url.path in _OTHERS
        problem = _METHOD_NOT_ALLOWED if known else _NO_SUCH_ROUTE
        return self._problem(exchange, problem, Outcome.REJECTED)

    def _begin(self, request: Request) -> Exchange:
        given = request_id_of(first(request.headers.raw, b"x-request-id"))
        request_id = self._new_id() if given is None else given.decode("ascii")
        trace = first(request.headers.raw, b"traceparent")
        return Exchange(request_id, request.method, self._clock.monotonic(), trace)

    def _admit(self, request: Request, exchange: Exchange) -> Caller:
        """Who asks, within what it may ask for; raises AccessRefused, ClientRateLimited."""
        fields = [value for key, value in request.headers.raw if key == b"authorization"]
        try:
            admitted = self._callers.admit(fields)
        except AccessRefused as refused:
            self._observer.access_refused(refused.reason)
            raise
        exchange.caller = admitted.caller
        allowance = admitted.allowance
        if allowance is not None:
            now = self._clock.monotonic()
            wait = allowance.take(now)
            exchange.fields = rate_limit_fields(allowance, now)
            if wait > 0.0:
                raise ClientRateLimited(wait)
        return admitted.caller

    def _ask(self, request: Request, wanted: str, caller: Caller) -> Ask:
        control = _joined(request, b"cache-control")
        extra = extra_of(request.headers.raw, self._forwarded)
        key = Key(caller.partition, wanted)
        wishes = None if self._wishing is None else wishes_of(control)
        return Ask(key, caller, wants_only_if_cached(control), extra, wishes)

    def _answer(self, request: Request, exchange: Exchange, answer: Answer) -> Response:
        conditions = Conditions(
            _joined(request, b"if-none-match"), _joined(request, b"if-modified-since")
        )
        request_id = exchange.request_id.encode("ascii")
        rendered = render(answer, conditions, request_id, self._clock.now())
        end = End(answer.outcome, answer.tier, answer.handling.detail)
        self._note(exchange, end, rendered)
        return _response(rendered, exchange)

    def _problem(self, exchange: Exchange, problem: ProblemAnswer, outcome: Outcome) -> Response:
        body = problem.body(exchange.request_id)
        date = to_http_date(from_seconds(self._clock.now()))
        headers = problem.headers(exchange.request_id, date, len(body))
        rendered = Rendered(problem.status, to_lines(headers), body, None)
        self._note(exchange, End(outcome, Tier.NONE, problem.problem), rendered)
        return _response(rendered, exchange)

    def _note(self, exchange: Exchange, end: End, rendered: Rendered) -> None:
        seconds = self._clock.monotonic() - exchange.began
        status = rendered.status
        self._observer.requested(
            end.outcome, end.tier, status, seconds, rendered.age, trace=exchange.sampled
        )
        client = None if exchange.caller is None else exchange.caller.client
        if client is not None:
            self._observer.client_result(client, client_result(status, end.detail))
        weight = self._access_log.weigh(end.outcome, status, seconds)
        if weight is None:
            return
        self._access_log.put(
            Line(
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


def _joined(request: Request, name: bytes) -> bytes | None:
    """All fields of a name as the list that they form together (RFC 9110, 5.3)."""
    values = [value for key, value in request.headers.raw if key == name]
    return b", ".join(values) if values else None


def _response(rendered: Rendered, exchange: Exchange) -> Response:
    response = Response(b"" if exchange.method == "HEAD" else rendered.body, rendered.status)
    response.raw_headers = [*rendered.headers, *exchange.fields]
    return response


def _outcome_of(error: GatewayError) -> Outcome:
    """Whether the caller or we are to blame that there is no answer."""
    of_the_caller = isinstance(error, AccessRefused | BadRequest | ClientRateLimited | OnlyIfCached)
    return Outcome.REJECTED if of_the_caller else Outcome.FAILED
