"""The admin plane: metrics, probes, status, explain, orders and the live page.

`guard` decides which operator may send which request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.resources import files
from typing import Final, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.core.access.operators import Operators
from gateway.core.errors import BadRequest
from gateway.core.instant import Instant
from gateway.core.vocabulary import Mode, Problem
from gateway.ports import Clock, Confirmations, RequestObserver
from gateway.web.admin.guard import Door, Guard, is_admitted, operator_of, problem_response
from gateway.web.admin.orders import (
    LARGEST_ORDER,
    invalidate_order,
    mode_order,
    purge_order,
    receipt_of,
)
from gateway.web.openapi import admin_document, served
from gateway.web.problems import ProblemAnswer
from gateway.web.request import is_partition, raw_path, read_body, training_id

_EXPLAIN = b"/explain/"
_NO_SUCH_ROUTE = ProblemAnswer(
    Problem.NO_SUCH_ROUTE,
    "this port has /metrics, /livez, /readyz, /status, /live, /explain/{id}, /openapi.json, and "
    "the live page at /; orders are sent with POST to /invalidate, /purge and /mode",
)


class Operations(Protocol):
    """The views and orders that the admin plane offers."""

    def metrics(self, accept: str) -> tuple[Iterator[bytes], str]:
        """The metrics as a body in pieces, and its content type. `accept` is the field `Accept`."""

    def is_ready(self) -> bool:
        """Whether load balancers should send traffic."""

    def status(self) -> dict[str, object]:
        """The response of /status, as values for JSON."""

    @property
    def watched(self) -> Watched:
        """The source of the events and figures of the live page."""

    async def explain(self, training_id: str, partition: str | None) -> dict[str, object]:
        """The state of a training in each tier, its last events, and the budgets for its calls.

        If `partition` is None and several partitions have the training, raises BadRequest with
        their names.
        """

    async def invalidate(
        self, training_ids: tuple[str, ...], updated_at: Instant | None, *, soft: bool, by: str
    ) -> Confirmations:
        """Invalidate versions below `updated_at` (None: all versions) in all replicas. `by` is the
        operator.

        `soft` leaves the versions for rescue. Raises RedisUnavailable, perhaps after a part of the
        order was done.
        """

    async def purge(self, partition: str | None, *, soft: bool, by: str) -> Confirmations:
        """Invalidate all entries of one partition (None: of all partitions) in all replicas.

        `soft`, `by` and the errors are as for `invalidate`.
        """

    async def set_mode(self, mode: Mode, *, by: str) -> None:
        """Set the mode of all replicas. The other replicas apply it within about a second. Raises
        RedisUnavailable."""


class AdminPlane:
    """Answers operators. Raises FileNotFoundError if a file of the live page is missing.

    `host` is the address on which the plane listens.
    """

    def __init__(
        self,
        operations: Operations,
        clock: Clock,
        observer: RequestObserver,
        *,
        host: str,
        operators: Operators,
        new_id: Callable[[], str],
    ) -> None:
        self._operations = operations
        self._clock = clock
        guard = Guard(host, operators, PATHS)
        self._door = Middleware(Door, guard, clock, observer, new_id)
        self._stream = Stream(operations.watched, guard)
        self._page = page_routes()

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/metrics", self._metrics),
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            Route("/status", self._status),
            Route("/live", self._stream.answer),
            Route("/openapi.json", served(admin_document)),
            Route("/explain/{path:path}", self._explain),
            Route("/invalidate", self._invalidate, methods=["POST"]),
            Route("/purge", self._purge, methods=["POST"]),
            Route("/mode", self._mode, methods=["POST"]),
            *self._page,
        ]
        application = Starlette(
            routes=routes,
            middleware=[self._door],
            exception_handlers={HTTPException: self._unrouted},
        )
        application.router.redirect_slashes = False
        return application

    async def _metrics(self, request: Request) -> Response:
        pieces, kind = self._operations.metrics(", ".join(request.headers.getlist("accept")))
        body = bytearray()
        for piece in pieces:
            body += piece
            await asyncio.sleep(0)  # lets requests of callers run between two pieces
        return Response(bytes(body), headers={"content-type": kind})

    async def _livez(self, request: Request) -> Response:
        return Response(b"ok\n", media_type="text/plain")

    async def _readyz(self, request: Request) -> Response:
        ready = self._operations.is_ready()
        text = b"ready\n" if ready else b"not ready\n"
        return Response(text, 200 if ready else 503, media_type="text/plain")

    async def _status(self, request: Request) -> Response:
        return _json(self._operations.status())

    async def _explain(self, request: Request) -> Response:
        wanted = training_id(raw_path(request.scope), _EXPLAIN)
        if wanted is None:
            return problem_response(request.scope, _NO_SUCH_ROUTE)
        partition = request.query_params.get("partition")
        if partition is not None and not is_partition(partition):
            raise BadRequest("a partition's name has 32 digits from 0-9 a-f")
        return _json(await self._operations.explain(wanted, partition))

    async def _invalidate(self, request: Request) -> Response:
        order = invalidate_order(await read_body(request, LARGEST_ORDER), self._clock.now())
        by, (ids, updated_at) = operator_of(request.scope), (order.training_ids, order.updated_at)
        done = await self._operations.invalidate(ids, updated_at, soft=order.soft, by=by)
        return _receipt(done)

    async def _purge(self, request: Request) -> Response:
        order = purge_order(await read_body(request, LARGEST_ORDER))
        by = operator_of(request.scope)
        return _receipt(await self._operations.purge(order.partition, soft=order.soft, by=by))

    async def _mode(self, request: Request) -> Response:
        mode = mode_order(await read_body(request, LARGEST_ORDER))
        await self._operations.set_mode(mode, by=operator_of(request.scope))
        return _json({"mode": mode})

    async def _unrouted(self, request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException) or error.status_code != 405:
            return problem_response(request.scope, _NO_SUCH_ROUTE)
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        problem = ProblemAnswer(
            Problem.METHOD_NOT_ALLOWED,
            f"this path allows {allowed}",
            extra=((b"allow", allowed.encode("ascii")),),
        )
        return problem_response(request.scope, problem)


def _receipt(confirmations: Confirmations) -> Response:
    receipt = receipt_of(confirmations)
    return _json(receipt, 200 if receipt.is_complete else 202)


def _json(value: object, status: int = 200) -> Response:
    # With `enc_hook`, values of types that msgspec does not know are written as text. Without it,
    # msgspec would raise an error.
    body = msgspec.json.encode(value, enc_hook=str)
    return Response(body, status, media_type="application/json")


# The files of the live page, and the documents to which the page links. These files contain no data
# of the gateway. The page uses relative paths, so that a proxy can serve it under a prefix.
_UPLOT: Final = "uplot-1.6.32"

# Path, file below `static`, type.
FILES: Final = (
    ("/", "index.html", "text/html"),
    ("/page.css", "page.css", "text/css"),
    *((f"/{name}.js", f"{name}.js", "text/javascript") for name in (
        "page", "words", "stream", "plots", "events", "explain",
    )),
    # Paths as in the repository, so that the documents' links work here and in the repository.
    ("/dashboards/RUNBOOK.md", "documents/runbook.html", "text/html"),
    ("/docs/glossary.md", "documents/glossary.html", "text/html"),
    ("/uplot.css", f"{_UPLOT}/uPlot.min.css", "text/css"),
    ("/uplot.js", f"{_UPLOT}/uPlot.iife.min.js", "text/javascript"),
)  # fmt: skip
PATHS: Final = frozenset(path for path, _, _ in FILES)


def page_routes() -> list[Route]:
    """One route for each file. Raises FileNotFoundError."""
    folder = files("gateway.web.admin") / "static"
    return [Route(path, _asset((folder / name).read_bytes(), kind)) for path, name, kind in FILES]


def _asset(body: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return Response(body, media_type=kind)

    return answer


STREAM_KIND: Final = "application/x-ndjson"
# At most this many live pages are served at once, because JSON is written for each of them every
# second.
MOST_WATCHERS: Final = 32

_FULL: Final = ProblemAnswer(
    Problem.TOO_MANY_CONNECTIONS,
    f"{MOST_WATCHERS} live pages are open already; close one of them",
    extra=((b"retry-after", b"5"),),
)
# How many rows of figures, and how many events, there were at the last message to a live page.
Place = tuple[int, int]


class Watched(Protocol):
    """The source of the events and figures of the live page."""

    def tell(self, place: Place) -> tuple[dict[str, object], Place]:
        """The next message, and the place after it. The message has the events and figures that are
        new after `place`. (0, 0) is the place before the first message."""

    async def pause(self) -> bool:
        """Wait until there is perhaps something new. Returns False if nothing more will come."""


class Stream:
    """Streams lines to live pages. Each line is a message in JSON.

    A watcher is an open live page.
    """

    def __init__(self, watched: Watched, guard: Guard) -> None:
        self._watched = watched
        self._guard = guard
        self.watchers = 0

    async def answer(self, request: Request) -> Response:
        """The response with the lines, or a problem response if too many live pages are open. It
        ends when the caller disconnects, nothing more comes, or the operator's token is no longer
        accepted. For HEAD, it has no lines."""
        if request.method == "HEAD":
            return Response(media_type=STREAM_KIND)
        if self.watchers >= MOST_WATCHERS:
            return problem_response(request.scope, _FULL)
        return _Lines(self, request.scope)

    async def lines(self, scope: Scope) -> AsyncIterator[bytes]:
        """The lines for one live page, whose request has this scope."""
        place, goes_on = (0, 0), True
        while goes_on and is_admitted(self._guard, scope):
            words, place = self._watched.tell(place)
            yield msgspec.json.encode(words, enc_hook=str) + b"\n"
            goes_on = await self._watched.pause()


class _Lines(StreamingResponse):
    """The lines as a response. While it is sent, its live page counts as a watcher."""

    def __init__(self, stream: Stream, scope: Scope) -> None:
        # Without this field, an nginx proxy would send lines only when its buffer is full.
        unbuffered = {"x-accel-buffering": "no"}
        super().__init__(stream.lines(scope), media_type=STREAM_KIND, headers=unbuffered)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines. Starlette calls this in the same turn of the event loop as `answer`, so
        there are never more than `MOST_WATCHERS` watchers."""
        self._stream.watchers += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.watchers -= 1
