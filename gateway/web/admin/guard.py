"""The access rules of the admin plane, and the middleware that applies them.

All HTTP requests go through the middleware, so each new route is guarded too.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.core.access.caller import bearer
from gateway.core.access.operators import EVERYTHING, LOOPBACK, NOBODY, Operator, Operators
from gateway.core.errors import (
    AccessRefused,
    AdminTokenUnset,
    BadRequest,
    GatewayError,
    NotPermitted,
)
from gateway.core.http.fields import Headers, first
from gateway.core.instant import from_seconds, to_http_date
from gateway.core.vocabulary import AccessRefusal, Right
from gateway.ports import Clock, RefusedRequest, RequestObserver
from gateway.web.problems import ProblemAnswer, problem_of
from gateway.web.request import peer_of
from gateway.web.wire.request_head import request_id_of

PROBES = frozenset({"/metrics", "/livez", "/readyz"})

# The right that each order needs. Any other change needs all rights.
_ORDERS = {"/invalidate": Right.INVALIDATE, "/purge": Right.PURGE, "/mode": Right.MODE}

_READING = frozenset({"GET", "HEAD"})
_BEARER = re.compile(rb"bearer +([\x21-\x7e]+) *", re.IGNORECASE)
# The values of `Sec-Fetch-Site` with which a request may change something: a page of this origin
# sent the request, or no page sent it.
_ALLOWED_SITES = frozenset({b"same-origin", b"none"})
# A name, an IPv4 address, or an IPv6 address in brackets, with or without a port.
_HOST = re.compile(rb"(?:([A-Za-z0-9._-]+)|\[([0-9A-Fa-f:.]+)\])(?::[0-9]{0,5})?")
_FIELDS_OF_ALL_RESPONSES = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_ID_AND_DATE = "gateway.id_and_date"
_OPERATOR = "gateway.operator"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Guard:
    """The values on which the rules depend.

    `host` is the address on which the plane listens. `shell` has the paths of the live page's
    files, which contain no data.
    """

    host: str
    operators: Operators
    shell: frozenset[str]


@dataclass(frozen=True, slots=True)
class Visit:
    """A request without its body. `path` is decoded, because routes match the decoded path."""

    method: str
    path: str
    headers: Headers = field(repr=False)
    peer: str = ""

    @classmethod
    def of(cls, scope: Scope) -> Visit:
        """The request of an ASGI scope."""
        return cls(scope["method"], scope["path"], tuple(scope["headers"]), peer_of(scope))

    @property
    def is_reading(self) -> bool:
        """Whether the method changes nothing."""
        return self.method in _READING

    def fields(self, name: bytes) -> list[bytes]:
        """The values of all fields with that (lower-case) name."""
        return [value for key, value in self.headers if key == name]


def admit(guard: Guard, visit: Visit) -> Operator:
    """The operator of a request. Raises AccessRefused or BadRequest.

    - Reading metrics and probes never needs a token.
    - If no token is configured and the plane listens on loopback, the other requests need no token
      either. But a request in which `_fault_on_loopback` finds a fault is refused.
    - Otherwise the files of the live page need no token. All other requests need a token with the
      right for the request.
    """
    if visit.is_reading and visit.path in PROBES:
        return NOBODY
    if not guard.operators.need_tokens and is_loopback(guard.host):
        if (fault := _fault_on_loopback(guard, visit)) is not None:
            raise fault
        return LOOPBACK
    if visit.is_reading and visit.path in guard.shell:
        return NOBODY
    operator = _by_token(guard.operators, visit.fields(b"authorization"))
    needed = _needed(visit)
    if not (operator.may >= EVERYTHING if needed is None else needed in operator.may):
        raise NotPermitted(operator.name, operator.may, needed)
    return operator


def is_admitted(guard: Guard, scope: Scope) -> bool:
    """Whether `admit` accepts the request now. Since the request began, its token may have lost its
    rights."""
    try:
        admit(guard, Visit.of(scope))
    except (AccessRefused, BadRequest):
        return False
    return True


def _needed(visit: Visit) -> Right | None:
    """The right that the request needs. None: all rights."""
    if visit.is_reading:
        return Right.READ
    return _ORDERS.get(visit.path) if visit.method == "POST" else None


def is_loopback(host: str) -> bool:
    """Whether the name, or the address without brackets, is loopback."""
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    # Versions of Python disagree about IPv4-mapped IPv6 addresses. Here they are not loopback.
    return address == IPv6Address("::1") or (
        isinstance(address, IPv4Address) and address.is_loopback
    )


def _fault_on_loopback(guard: Guard, visit: Visit) -> BadRequest | None:
    """The fault of a request on loopback, where no token is configured. None: no fault.

    A page of another site, in the operator's browser, must not read or change anything here.

    - The name of the other site can resolve to 127.0.0.1 (DNS rebinding). Then `Host` has this
      name, and the request is refused.
    - Any page can send a form, so a change has to be JSON. Browsers send JSON only after a
      preflight, which is refused.
    - In addition, a change is refused if `Sec-Fetch-Site` (Fetch Metadata) says that a page of
      another origin sent it.
    """
    if not _names_us(guard.host, visit.fields(b"host")):
        return BadRequest("`Host` has to name this machine: localhost, 127.0.0.1 or [::1]")
    if visit.is_reading:
        return None
    if not _is_json(visit.fields(b"content-type")):
        return BadRequest(
            "a request that changes something needs `Content-Type: application/json`,"
            " even if it has no body"
        )
    if any(site not in _ALLOWED_SITES for site in visit.fields(b"sec-fetch-site")):
        return BadRequest("pages of other sites may not change anything here")
    return None


def _names_us(own: str, fields: Sequence[bytes]) -> bool:
    match = _HOST.fullmatch(fields[0]) if len(fields) == 1 else None
    if match is None:
        return False
    name = (match[1] or match[2]).decode("ascii")
    return name.lower() == own.lower() or is_loopback(name)


def _is_json(fields: Sequence[bytes]) -> bool:
    return [each.partition(b";")[0].strip().lower() for each in fields] == [b"application/json"]


def _by_token(operators: Operators, fields: Sequence[bytes]) -> Operator:
    try:
        operator = operators.with_token(bearer(fields, _BEARER))
        if operator is None:
            raise AccessRefused(AccessRefusal.CREDENTIAL_UNKNOWN)
    except AccessRefused as refused:
        if operators.need_tokens:
            raise
        raise AdminTokenUnset(refused.reason) from None
    return operator


@dataclass(frozen=True, slots=True)
class _IdAndDate:
    """The id of a request, and the `Date` of its response."""

    request_id: str
    date: str


class Door:
    """ASGI middleware that checks requests, turns exceptions into problem responses, and adds
    fields to all responses."""

    def __init__(
        self,
        app: ASGIApp,
        guard: Guard,
        clock: Clock,
        observer: RequestObserver,
        new_id: Callable[[], str],
    ) -> None:
        self._app = app
        self._guard = guard
        self._clock = clock
        self._observer = observer
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        date = to_http_date(from_seconds(self._clock.now()))
        given = request_id_of(first(scope["headers"], b"x-request-id"))
        request_id = self._new_id() if given is None else given.decode("ascii")
        scope[_ID_AND_DATE] = id_and_date = _IdAndDate(request_id, date)
        send_with_fields = _SendWithFields(send, id_and_date)
        try:
            scope[_OPERATOR] = self._admitted(Visit.of(scope), request_id)
            await self._app(scope, receive, send_with_fields)
        except Exception as error:
            if send_with_fields.begun:
                raise
            if not isinstance(error, GatewayError):
                extra = {"request_id": request_id}
                _logger.exception("an admin request failed", extra=extra)
                error = GatewayError()
            response = problem_response(scope, problem_of(error))
            await response(scope, receive, send_with_fields)

    def _admitted(self, visit: Visit, request_id: str) -> Operator:
        try:
            return admit(self._guard, visit)
        except AccessRefused as refused:
            by = refused.operator if isinstance(refused, NotPermitted) else ""
            request = RefusedRequest(visit.peer, request_id, visit.method, visit.path, operator=by)
            self._observer.access_refused(refused.reason, request)
            raise


def operator_of(scope: Scope) -> str:
    """The name of the operator whose request `Door` accepted."""
    operator: Operator = scope[_OPERATOR]
    return operator.name


def problem_response(scope: Scope, problem: ProblemAnswer) -> Response:
    """The problem as a response to a request that came through `Door`."""
    id_and_date: _IdAndDate = scope[_ID_AND_DATE]
    request_id, date = id_and_date.request_id, id_and_date.date
    body = problem.body(request_id)
    response = Response(body, problem.status)
    response.raw_headers = list(problem.headers(request_id, date, len(body)))
    return response


class _SendWithFields:
    """An ASGI `send`. It adds the fields that all responses have. `begun`: a response has begun."""

    def __init__(self, send: Send, id_and_date: _IdAndDate) -> None:
        self._send = send
        own = {"date": id_and_date.date, "x-request-id": id_and_date.request_id}
        self._fields = {**_FIELDS_OF_ALL_RESPONSES, **own}
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            MutableHeaders(scope=message).update(self._fields)
        await self._send(message)
