"""The admin plane: metrics, probes, status, explain, orders and the live page, as an application.

HTTP in, HTTP out: what is shown or done is for `Operations`, who may ask for it is guard's
business.
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

from gateway.core.access.operators import Operators
from gateway.core.errors import BadRequest
from gateway.core.instant import Instant
from gateway.core.vocabulary import Mode, Problem
from gateway.ports import Clock, Confirmations, Observer
from gateway.web.admin.guard import Door, Guard, operator_of, problem_response
from gateway.web.admin.orders import invalidate_order, mode_order, purge_order, receipt_of
from gateway.web.openapi import admin_document, served
from gateway.web.problems import ProblemAnswer
from gateway.web.request import is_partition, raw_path, read_body, training_id

_EXPLAIN = b"/explain/"
_NO_SUCH_ROUTE = ProblemAnswer(
    Problem.NO_SUCH_ROUTE,
    "here are /metrics, /livez, /readyz, /status, /live, /explain/{id}, /openapi.json, the page at "
    "/, and for POST /invalidate, /purge and /mode",
)


class Operations(Protocol):
    """What operators are told and may order; what is not async answers at once."""

    def metrics(self, accept: str) -> tuple[Iterator[bytes], str]:
        """A scrape's body in pieces, and its content type, as the `Accept` field asks."""
        ...

    def is_ready(self) -> bool:
        """Whether load balancers should send traffic."""
        ...

    def status(self) -> dict[str, object]:
        """The first numbers, ready to be written as JSON."""
        ...

    @property
    def watched(self) -> Watched:
        """What the live page shows."""
        ...

    async def explain(self, training_id: str, partition: str | None) -> dict[str, object]:
        """What each tier holds of a training; raises BadRequest naming the partitions that
        hold it where there are several and none was named."""
        ...

    async def invalidate(
        self, training_ids: tuple[str, ...], updated_at: Instant | None, *, soft: bool, by: str
    ) -> Confirmations:
        """Make versions below `updated_at` (all, for None) invalid everywhere, as the operator of
        that name ordered, `soft` keeps them for rescue; raises RedisUnavailable, and may then have
        done a part."""
        ...

    async def purge(self, partition: str | None, *, soft: bool, by: str) -> Confirmations:
        """Make everything (of a partition) invalid everywhere, `soft` keeps it for rescue;
        raises RedisUnavailable, and may then have done a part."""
        ...

    async def set_mode(self, mode: Mode, *, by: str) -> None:
        """Have all replicas serve in it, within a second; raises RedisUnavailable."""
        ...


class AdminPlane:
    """Answers operators.

    `host` is where it listens, `operators` the tokens that are known, `max_body` the bytes of an
    order, `new_id` makes a request id. Raises FileNotFoundError where the page was not
    packaged.
    """

    def __init__(
        self,
        operations: Operations,
        clock: Clock,
        observer: Observer,
        *,
        host: str,
        operators: Operators,
        max_body: int,
        new_id: Callable[[], str],
    ) -> None:
        self._operations = operations
        self._clock = clock
        self._max_body = max_body
        self._door = Middleware(Door, Guard(host, operators, PATHS), clock, observer, new_id)
        self._stream = Stream(operations.watched)
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
            await asyncio.sleep(0)  # requests of callers have their turn
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
        order = invalidate_order(await read_body(request, self._max_body), self._clock.now())
        by, (ids, updated_at) = operator_of(request.scope), (order.training_ids, order.updated_at)
        done = await self._operations.invalidate(ids, updated_at, soft=order.soft, by=by)
        return _told(done)

    async def _purge(self, request: Request) -> Response:
        order = purge_order(await read_body(request, self._max_body))
        by = operator_of(request.scope)
        return _told(await self._operations.purge(order.partition, soft=order.soft, by=by))

    async def _mode(self, request: Request) -> Response:
        mode = mode_order(await read_body(request, self._max_body))
        await self._operations.set_mode(mode, by=operator_of(request.scope))
        return _json({"mode": mode})

    async def _unrouted(self, request: Request, error: Exception) -> Response:
        """No route, or none for this method."""
        if not isinstance(error, HTTPException) or error.status_code != 405:
            return problem_response(request.scope, _NO_SUCH_ROUTE)
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        problem = ProblemAnswer(
            Problem.METHOD_NOT_ALLOWED,
            f"this path knows {allowed}",
            extra=((b"allow", allowed.encode("ascii")),),
        )
        return problem_response(request.scope, problem)


def _told(confirmations: Confirmations) -> Response:
    receipt = receipt_of(confirmations)
    return _json(receipt, 200 if receipt.is_complete else 202)


def _json(words: object, status: int = 200) -> Response:
    # What JSON has no form for is shown as text: telling less helps nobody here.
    body = msgspec.json.encode(words, enc_hook=str)
    return Response(body, status, media_type="application/json")


# The live page's files, and the documents that it links to: what is served under which path. They
# say nothing of the gateway's data. Paths are absolute here and relative in the page, which may so
# be shown below a prefix.
_UPLOT: Final = "uplot-1.6.32"

# Path, file below `static`, type.
FILES: Final = (
    ("/", "index.html", "text/html"),
    ("/page.css", "page.css", "text/css"),
    *((f"/{name}.js", f"{name}.js", "text/javascript") for name in (
        "page", "words", "stream", "plots", "events", "explain",
    )),
    # Under the paths that they have in the source, so that links are the same wherever they lead.
    ("/dashboards/RUNBOOK.md", "documents/runbook.html", "text/html"),
    ("/docs/glossary.md", "documents/glossary.html", "text/html"),
    ("/uplot.css", f"{_UPLOT}/uPlot.min.css", "text/css"),
    ("/uplot.js", f"{_UPLOT}/uPlot.iife.min.js", "text/javascript"),
)  # fmt: skip
PATHS: Final = frozenset(path for path, _, _ in FILES)


def page_routes() -> list[Route]:
    """A route a file; raises FileNotFoundError where one was not packaged."""
    folder = files("gateway.web.admin") / "static"
    return [Route(path, _asset((folder / name).read_bytes(), kind)) for path, name, kind in FILES]


def _asset(body: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return Response(body, media_type=kind)

    return answer


STREAM_KIND: Final = "application/x-ndjson"
# Tabs that may be open: each costs a rendering a second.
MOST_WATCHERS: Final = 32

_FULL: Final = ProblemAnswer(
    Problem.TOO_MANY_CONNECTIONS,
    f"{MOST_WATCHERS} watch already; close a page of them",
    extra=((b"retry-after", b"5"),),
)
Place = tuple[int, int]


class Watched(Protocol):
    """What there is to see."""

    def tell(self, place: Place) -> tuple[dict[str, object], Place]:
        """What is new since that place, and the place after it; (0, 0) was told nothing."""
        ...

    async def pause(self) -> bool:
        """Wait until there is something new to tell; False where it is over."""
        ...


class Stream:
    """Answers those who watch."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self.watchers = 0

    async def answer(self, request: Request) -> Response:
        """Lines until the caller leaves, or there is nothing more to see; a HEAD has none."""
        if request.method == "HEAD":
            return Response(media_type=STREAM_KIND)
        if self.watchers >= MOST_WATCHERS:
            return problem_response(request.scope, _FULL)
        # An nginx in between would else keep lines back until it has a buffer full of them.
        unbuffered = {"x-accel-buffering": "no"}
        return StreamingResponse(self._lines(), media_type=STREAM_KIND, headers=unbuffered)

    async def _lines(self) -> AsyncIterator[bytes]:
        self.watchers += 1
        place, goes_on = (0, 0), True
        try:
            while goes_on:
                words, place = self._watched.tell(place)
                # What JSON has no form for is shown as text, as elsewhere on this plane.
                yield msgspec.json.encode(words, enc_hook=str) + b"\n"
                goes_on = await self._watched.pause()
        finally:
            self.watchers -= 1
