"""The data plane as a Starlette application: trainings, `/livez`, `/readyz` and `/openapi.json`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.core.access.caller import Caller
from gateway.core.access.registry import Callers
from gateway.core.cache.content_coding import takes_gzip
from gateway.core.cache.entry import Key
from gateway.core.cache.entry_headers import Conditions
from gateway.core.errors import AccessRefused, ClientRateLimited, GatewayError
from gateway.core.http.cache_control import request_directives_of, wants_only_if_cached
from gateway.core.upstream.list_query import read_query
from gateway.core.vocabulary import Outcome
from gateway.flow.gateway import Gateway
from gateway.flow.operations.write_through import Writing
from gateway.flow.request.lists import Lists
from gateway.flow.request.response_selection import Answer, Ask, Serving
from gateway.ports import Clock, Held, RequestObserver, Tracer
from gateway.web.data.batch import (
    gathered,
    ids_of,
    item_of,
    refuses_caller,
    rendered,
    within_bounds,
)
from gateway.web.data.many_hits import ManyHits
from gateway.web.data.request_context import Desk
from gateway.web.data.writes import COLLECTION, METHODS, Writes, misplaced
from gateway.web.openapi import data_document, served
from gateway.web.render import render
from gateway.web.request import AccessLog, End, Exchange, raw_path, training_id
from gateway.web.wire.hits import Hits, traced
from gateway.web.wire.request_head import at_least_of, extra_of

_READS: Final = ("GET", "HEAD")
Endpoint = Callable[[Request, Exchange], Awaitable[Response]]


class DataPlane:
    """Answers callers.

    gateway      answers requests for trainings
    writing      None: writes of callers are refused
    lists        answers requests for the list
    max_body     the largest body of a write in bytes
    patience     the seconds that a request for many trainings may take
    count_items  counts the trainings of such requests by their outcomes
    """

    def __init__(
        self,
        serving: Serving,
        callers: Callers,
        clock: Clock,
        observer: RequestObserver,
        access_log: AccessLog,
        *,
        tracer: Tracer | None,
        gateway: Gateway,
        writing: Writing | None,
        max_body: int,
        lists: Lists,
        patience: float,
        count_items: Callable[[Iterable[Outcome]], None],
        forward_headers: frozenset[bytes],
        new_id: Callable[[], bytes],
        ready: Callable[[], bool],
    ) -> None:
        self._serving = serving
        self._gateway = gateway
        self._callers = callers
        self._clock = clock
        self._observer = observer
        self._access_log = access_log
        self._tracer = tracer
        self._forwarded = forward_headers
        self._new_id = new_id
        self._ready = ready
        self._lists = lists
        self._patience = patience
        self._count_items = count_items
        self._desk = desk = Desk(callers, clock, observer, access_log, new_id, tracer=tracer)
        self._writes = None
        if writing is not None:
            self._writes = Writes(
                desk, callers, writing, clock, forward_headers=forward_headers, max_body=max_body
            )

    def application(self) -> Starlette:
        """The ASGI application."""
        writes = self._writes
        routes = [
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            Route("/openapi.json", served(partial(data_document, writes=writes is not None))),
            Route("/training", self._training),
            Route("/{path:path}", self._training),
        ]
        if writes is not None:
            write = partial(self._attend, writes.answer)
            routes.append(Route("/{path:path}", write, methods=METHODS))
        return _DirectReads(self._training, routes, self._unrouted)

    def hits(self) -> Hits:
        """The object that answers from L1 without a request object."""
        counting = self._observer.counting
        return Hits(
            self._serving,
            self._callers,
            self._clock,
            counting if self._tracer is None else traced(counting, self._tracer),
            self._access_log,
            forward_headers=self._forwarded,
            modes=self._gateway.modes,
            heeds_directives=self._gateway.grants is not None,
            new_id=self._new_id,
        )

    def many(self, hits: Hits) -> ManyHits | None:
        """The object that answers batches and lists from L1. None if traces are sent."""
        if self._tracer is not None:
            return None
        return ManyHits(hits, self._lists, self._clock, self._new_id, self._count_items)

    async def _livez(self, request: Request) -> Response:
        return Response(b"ok\n", media_type="text/plain")

    async def _readyz(self, request: Request) -> Response:
        ready = self._ready()
        text = b"ready\n" if ready else b"not ready\n"
        return Response(text, 200 if ready else 503, media_type="text/plain")

    async def _training(self, request: Request) -> Response:
        is_one = raw_path(request.scope) != COLLECTION
        return await self._attend(self._read if is_one else self._read_many, request)

    async def _unrouted(self, request: Request, error: Exception) -> Response:
        return await self._attend(self._misplaced, request)

    async def _attend(self, answer: Endpoint, request: Request) -> Response:
        return await self._desk.attend(request, partial(answer, request))

    async def _misplaced(self, request: Request, exchange: Exchange) -> Response:
        problem = misplaced(raw_path(request.scope), writes=self._writes is not None)
        return self._desk.problem(exchange, problem, Outcome.REJECTED)

    async def _read(self, request: Request, exchange: Exchange) -> Response:
        wanted = training_id(raw_path(request.scope))
        if wanted is None:
            return await self._misplaced(request, exchange)
        exchange.name(wanted, f"/training/{wanted}")
        caller = self._desk.admit(request, exchange)
        ask = self._ask(request, wanted, caller)
        return self._answer(request, exchange, await self._gateway.get(ask))

    async def _read_many(self, request: Request, exchange: Exchange) -> Response:
        exchange.name(None, COLLECTION.decode("ascii"))
        wanted = ids_of(request.scope["query_string"])
        if wanted is None:
            return await self._read_list(request, exchange)
        caller, granted, wait = self._desk.admit_some(request, exchange, len(wanted))
        ask, now, held = self._ask(request, wanted[0], caller), self._clock.now(), {}
        if not self._gateway.is_frozen and ask.directives is None and ask.at_least is None:
            hits = ((each, Key(caller.partition, each)) for each in wanted[:granted])
            held = {each: self._serving.fresh_in_l1(key, now) for each, key in hits}
        asks = [ask.for_id(each) for each in wanted[:granted] if held.get(each) is None]
        answers = await gathered(asks, self._gateway.get, self._patience) if asks else {}
        for answer in answers.values():
            if isinstance(answer, AccessRefused):
                raise answer
            if not isinstance(answer, GatewayError) and refuses_caller(answer):
                return self._answer(request, exchange, answer)
        now, request_id = self._clock.now(), exchange.request_id
        too_many = ClientRateLimited(wait)
        items = (
            item_of(each, held.get(each) or answers.get(each, too_many), now, request_id)
            for each in wanted
        )
        known = list(within_bounds(items, request_id))
        self._count_items(item.end.outcome for item in known)
        if_none_match = _joined(request, b"if-none-match")
        end, response = rendered(known, if_none_match, request_id, now)
        return self._desk.answer(exchange, end, response)

    async def _read_list(self, request: Request, exchange: Exchange) -> Response:
        caller = self._desk.admit(request, exchange)
        query = read_query(request.scope["query_string"])
        ask = self._ask(request, query.name, caller)
        answer = await self._lists.get(ask, query)
        if isinstance(answer.content, Held) and _takes_gzip(request):
            answer = answer._replace(content=await self._lists.coded(ask.key, answer.content))
        return self._rendered(request, exchange, answer)

    def _ask(self, request: Request, wanted: str, caller: Caller) -> Ask:
        control = _joined(request, b"cache-control")
        extra = extra_of(request.scope["headers"], self._forwarded)
        key = Key(caller.partition, wanted)
        directives = None if self._gateway.grants is None else request_directives_of(control)
        at_least = at_least_of(_joined(request, b"training-min-updated-at"))
        return Ask(key, caller, wants_only_if_cached(control), extra, directives, at_least)

    def _answer(self, request: Request, exchange: Exchange, answer: Answer) -> Response:
        content, caller = answer.content, exchange.caller
        if isinstance(content, Held) and _takes_gzip(request):
            assert caller is not None, "`_read` sets the caller before it answers"
            key = Key(caller.partition, exchange.training_id or "")
            answer = answer._replace(content=self._serving.coded(key, content))
        return self._rendered(request, exchange, answer)

    def _rendered(self, request: Request, exchange: Exchange, answer: Answer) -> Response:
        conditions = Conditions(
            _joined(request, b"if-none-match"), _joined(request, b"if-modified-since")
        )
        request_id = exchange.request_id.encode("ascii")
        rendered = render(answer, conditions, request_id, self._clock.now())
        end = End(answer.outcome, answer.tier, answer.handling.detail)
        return self._desk.answer(exchange, end, rendered)


class _DirectReads(Starlette):
    """Answers reads of trainings without Starlette's middleware and routing. Middleware and routing
    would be a sixth of the cost of a hit in Redis."""

    def __init__(
        self,
        read: Callable[[Request], Awaitable[Response]],
        routes: list[Route],
        unrouted: Callable[[Request, Exception], Awaitable[Response]],
    ) -> None:
        super().__init__(routes=routes, exception_handlers={HTTPException: unrouted})
        self._read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _reads_training(scope):
            response = await self._read(Request(scope, receive))
            await response(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _reads_training(scope: Scope) -> bool:
    is_read = scope["type"] == "http" and scope["method"] in _READS
    return is_read and raw_path(scope).startswith(COLLECTION)


def _takes_gzip(request: Request) -> bool:
    return takes_gzip(_joined(request, b"accept-encoding"))


def _joined(request: Request, name: bytes) -> bytes | None:
    """The values of all fields with this name, joined with commas (RFC 9110, 5.3). None if there is
    no such field."""
    values = [value for key, value in request.scope["headers"] if key == name]
    return b", ".join(values) if values else None
