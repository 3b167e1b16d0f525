"""Writes of callers: which paths accept a write, and which fields of a write are sent upstream."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response

from gateway.core.access.caller import Caller, Open
from gateway.core.access.registry import Callers
from gateway.core.cache.entry_headers import Conditions
from gateway.core.errors import BadRequest
from gateway.core.http.fields import Headers, is_sound
from gateway.core.upstream.training import is_training_id
from gateway.core.vocabulary import Outcome, Problem
from gateway.flow.answer import Answer
from gateway.flow.operations.write_through import Order, Writing
from gateway.ports import Clock, Write
from gateway.web.data.request_context import Desk
from gateway.web.problems import ProblemAnswer
from gateway.web.render import render
from gateway.web.request import TRAININGS, End, Exchange, Room, raw_path, read_body, training_id
from gateway.web.wire.request_head import extra_of

METHODS: Final = ("DELETE", "PATCH", "POST", "PUT")
COLLECTION: Final = b"/training"
NO_ROUTE: Final = ProblemAnswer(
    Problem.NO_SUCH_ROUTE,
    "a training is at /training/{id}, without a slash at the end, several trainings are at "
    "/training?ids={id},{id}, and the list is at /training?limit={number}; only writes may have a "
    "path below a training",
)
_QUERY: Final = re.compile(rb"[!-~]*")
_TRAINING_METHODS: Final = frozenset({"DELETE", "PUT"})
# The values of `Sec-Fetch-Site` with which a request may write: a page of this origin sent the
# request, or no page sent it.
_ALLOWED_SITES: Final = frozenset({"same-origin", "none"})
# The most bytes that the bodies of all writes under way have together, unless one alone may have
# more. While a body is sent upstream, it is in memory about twice.
_MOST_BODIES: Final = 32 * 1024**2
_READ_ONLY_PATHS: Final = frozenset({b"/livez", b"/readyz", b"/openapi.json"})
# The fields of a write that are sent upstream: fields about the body, fields about the write, and
# preconditions. The fields that `extra_of` returns are sent too.
_HANDED_ON: Final = frozenset(
    b"content-type content-encoding content-language if-match if-none-match if-modified-since "
    b"if-unmodified-since idempotency-key prefer".split()
)


class Target(NamedTuple):
    """The target of a write. `training_id` is None if the write creates a training."""

    training_id: str | None
    path: bytes


class Writes:
    """Answers writes. `max_body` is in bytes."""

    def __init__(
        self,
        desk: Desk,
        callers: Callers,
        writing: Writing,
        clock: Clock,
        *,
        forward_headers: frozenset[bytes],
        max_body: int,
    ) -> None:
        self._desk = desk
        self._callers = callers
        self._writing = writing
        self._clock = clock
        self._forwarded = forward_headers
        self._max_body = max_body
        self._room = Room(max(_MOST_BODIES, max_body))

    async def answer(self, request: Request, exchange: Exchange) -> Response:
        """The upstream's response, or a problem response if the write has no route."""
        path = raw_path(request.scope)
        target = target_of(request.method, path)
        if target is None:
            return self._desk.problem(exchange, misplaced(path, writes=True), Outcome.REJECTED)
        exchange.name(target.training_id, target.path.decode("ascii"))
        if _is_of_another_site(request):
            raise BadRequest("pages of other sites may not write here")
        if isinstance(self._callers.access, Open) and _is_of_a_page(request):
            raise BadRequest("pages in a browser may not write here in the mode `open`")
        answer = await self._hand_on(request, target, self._desk.admit(request, exchange))
        request_id = exchange.request_id.encode("ascii")
        rendered = render(answer, Conditions(), request_id, self._clock.now())
        end = End(answer.outcome, answer.tier, answer.handling.detail)
        return self._desk.answer(exchange, end, rendered)

    async def _hand_on(self, request: Request, target: Target, caller: Caller) -> Answer:
        with self._room.share() as take:
            body = await read_body(request, self._max_body, take=take)
            fields = _handed_on(request, self._forwarded)
            path, query = target.path.decode("ascii"), _query_of(request)
            write = Write(request.method, path, body, fields, query)
            return await self._writing.hand_on(Order(caller, target.training_id, write))


def _query_of(request: Request) -> bytes:
    """The query with its `?`, undecoded. Raises BadRequest."""
    query: bytes = request.scope["query_string"]
    if not _QUERY.fullmatch(query):
        raise BadRequest("the query has a character that a URL cannot have")
    return b"?" + query if query else b""


def _is_of_another_site(request: Request) -> bool:
    """Whether a page of another site, host or port sent the request (Fetch Metadata, 2.4; RFC 6454,
    7). Such a page is not allowed to write."""
    sites = request.headers.getlist("sec-fetch-site")
    host = request.headers.get("host", "")
    origins = [each.partition("://")[2] for each in request.headers.getlist("origin")]
    return any(site not in _ALLOWED_SITES for site in sites) or any(o != host for o in origins)


def _is_of_a_page(request: Request) -> bool:
    """Whether a page in a browser sent the request. In the mode `open`, such a request is refused.

    It needs no credential in this mode, and a page of another site may have sent it: with DNS
    rebinding, `Origin` is equal to `Host`, so `_is_of_another_site` returns False.
    """
    return "origin" in request.headers or "sec-fetch-site" in request.headers


def _handed_on(request: Request, forwarded: frozenset[bytes]) -> Headers:
    names = _HANDED_ON - forwarded  # `extra_of` returns those in `forwarded`
    own = [pair for pair in request.headers.raw if pair[0] in names and is_sound(pair[1])]
    return (*own, *extra_of(request.headers.raw, forwarded))


def target_of(method: str, path: bytes) -> Target | None:
    """The target of a write, None if there is no such route. `path` is undecoded. Raises BadId."""
    if path == COLLECTION:
        return Target(None, path) if method == "POST" else None
    if not path.startswith(TRAININGS):
        return None
    # The API decides which paths below a training exist, for example `/training/{id}/draft`. Each
    # segment of the path needs the form of an id, so that no path leads to another part of the API.
    first, *rest = path.removeprefix(TRAININGS).split(b"/")
    named = training_id(TRAININGS + first)
    below = [unquote_to_bytes(each).decode("latin-1") for each in rest]
    if named is None or not all(map(is_training_id, below)):
        return None
    if not below and method not in _TRAINING_METHODS:
        return None
    return Target(named, TRAININGS + "/".join((named, *below)).encode("ascii"))


def misplaced(path: bytes, *, writes: bool) -> ProblemAnswer:
    """The problem response to a path or method without a route. Raises BadId."""
    allowed = _allowed(path, writes=writes)
    if allowed is None:
        return NO_ROUTE
    field = (b"allow", allowed.encode("ascii"))
    detail = f"this path allows {allowed}"
    return ProblemAnswer(Problem.METHOD_NOT_ALLOWED, detail, extra=(field,))


def _allowed(path: bytes, *, writes: bool) -> str | None:
    if path in _READ_ONLY_PATHS:
        return "GET, HEAD"
    if path == COLLECTION:
        return "GET, HEAD, POST" if writes else "GET, HEAD"
    if training_id(path) is not None:
        return "GET, HEAD, PUT, DELETE" if writes else "GET, HEAD"
    return ", ".join(METHODS) if writes and target_of("PUT", path) is not None else None
