"""The gateway's errors as problem responses (RFC 9457). Only this module knows their status codes.

A problem never contains a credential, a body of the upstream, or an address.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from gateway.core.errors import (
    AccessRefused,
    AdminTokenUnset,
    BadId,
    BadRequest,
    BearerMissing,
    BudgetExhausted,
    CallWithheld,
    CircuitOpen,
    ClientRateLimited,
    FailedElsewhere,
    Frozen,
    GateClosed,
    GatewayError,
    InvalidPayload,
    NoRoom,
    NotPermitted,
    OnlyIfCached,
    RedisUnavailable,
    ShuttingDown,
    TooLarge,
    UpstreamError,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
    VersionNotReached,
)
from gateway.core.http.fields import Headers
from gateway.core.vocabulary import AccessRefusal, FailureReason, Problem, Right

_CHALLENGE = (b"www-authenticate", b"Bearer")

_STATUS = {
    Problem.BAD_ID: (400, "The id is not valid"),
    Problem.BAD_REQUEST: (400, "The request is not accepted"),
    Problem.CREDENTIAL_MISSING: (401, "A bearer token is needed"),
    Problem.CREDENTIAL_UNKNOWN: (401, "The credential is not known"),
    Problem.NOT_PERMITTED: (403, "This token does not allow the request"),
    Problem.NO_SUCH_ROUTE: (404, "There is nothing at this path"),
    Problem.METHOD_NOT_ALLOWED: (405, "This method is not allowed here"),
    Problem.HEAD_TOO_SLOW: (408, "The request did not arrive in time"),
    Problem.VERSION_NOT_REACHED: (412, "The requested version is not known yet"),
    Problem.TOO_LARGE: (413, "The body is too large"),
    Problem.CLIENT_RATE_LIMITED: (429, "The caller's own rate limit is reached"),
    Problem.HEAD_TOO_LARGE: (431, "The request's head is too large"),
    Problem.UPSTREAM_INVALID: (502, "The API's answer is no training"),
    Problem.UPSTREAM_ERROR: (502, "The API failed"),
    Problem.UPSTREAM_UNREACHABLE: (502, "The API cannot be reached"),
    Problem.UPSTREAM_REFUSED: (502, "The API refused the gateway's own token"),
    Problem.BUDGET_EXHAUSTED: (503, "The API's limit is spent"),
    Problem.UPSTREAM_RATE_LIMITED: (503, "The API asked for a pause"),
    Problem.UPSTREAM_UNAVAILABLE: (503, "The API fails, and is not called for a while"),
    Problem.FROZEN: (503, "The gateway answers from its cache only"),
    Problem.SHUTTING_DOWN: (503, "This replica is shutting down"),
    Problem.TOO_MANY_CONNECTIONS: (503, "There is no room for another connection"),
    Problem.REDIS_UNAVAILABLE: (503, "Redis is away"),
    Problem.UPSTREAM_TIMEOUT: (504, "The API did not answer in time"),
    Problem.ONLY_IF_CACHED: (504, "Nothing usable is stored"),
    Problem.INTERNAL: (500, "The gateway failed"),
}
_BAD: dict[type[BadRequest], Problem] = {
    BadId: Problem.BAD_ID,
    TooLarge: Problem.TOO_LARGE,
}
_UPSTREAM: tuple[tuple[type[UpstreamFailure], Problem], ...] = (
    (InvalidPayload, Problem.UPSTREAM_INVALID),
    (UpstreamRateLimited, Problem.UPSTREAM_RATE_LIMITED),
    (UpstreamRefused, Problem.UPSTREAM_REFUSED),
    (UpstreamTimeout, Problem.UPSTREAM_TIMEOUT),
    (UpstreamUnreachable, Problem.UPSTREAM_UNREACHABLE),
    (UpstreamError, Problem.UPSTREAM_ERROR),
    (FailedElsewhere, Problem.UPSTREAM_ERROR),
)
_WITHHELD: tuple[tuple[type[CallWithheld], Problem], ...] = (
    (BudgetExhausted, Problem.BUDGET_EXHAUSTED),
    (GateClosed, Problem.UPSTREAM_RATE_LIMITED),
    (CircuitOpen, Problem.UPSTREAM_UNAVAILABLE),
    (Frozen, Problem.FROZEN),
)
_RETRY_SOON = 1.0


@dataclass(frozen=True, slots=True)
class ProblemAnswer:
    """A problem response. `retry_after` is in seconds. None: `headers` adds no `Retry-After`."""

    problem: Problem
    detail: str
    retry_after: float | None = None
    extra: Headers = ()

    @property
    def status(self) -> int:
        """The HTTP status code."""
        return status_of(self.problem)

    @property
    def seconds(self) -> int | None:
        """The value of `Retry-After`: `retry_after` rounded up to whole seconds."""
        return None if self.retry_after is None else max(1, math.ceil(self.retry_after))

    def body(self, request_id: str) -> bytes:
        """The JSON text."""
        return msgspec.json.encode(
            {
                "type": f"urn:gateway:problem:{self.problem}",
                "status": self.status,
                "title": _STATUS[self.problem][1],
                "detail": self.detail,
                "request_id": request_id,
            }
        )

    def headers(self, request_id: str, date: str, length: int) -> Headers:
        """The header fields."""
        fields = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % length),
            (b"cache-control", b"no-store"),
            (b"date", date.encode("ascii")),
            (b"x-request-id", request_id.encode("ascii")),
        ]
        if self.seconds is not None:
            fields.append((b"retry-after", b"%d" % self.seconds))
        return (*fields, *self.extra)


def status_of(problem: Problem) -> int:
    """The HTTP status code of a problem."""
    return _STATUS[problem][0]


def problem_of(error: GatewayError) -> ProblemAnswer:
    """The problem response for an error."""
    if isinstance(error, UpstreamFailure):
        return _upstream(error)
    if isinstance(error, CallWithheld):
        word = next(word for kind, word in _WITHHELD if isinstance(error, kind))
        return ProblemAnswer(word, error.what, error.retry_after)
    if isinstance(error, AccessRefused):
        return _refused(error)
    if isinstance(error, ClientRateLimited):
        detail = "the field `RateLimit-Policy` states the rate limit of this client"
        return ProblemAnswer(Problem.CLIENT_RATE_LIMITED, detail, error.retry_after)
    if isinstance(error, BadRequest):
        return ProblemAnswer(_BAD.get(type(error), Problem.BAD_REQUEST), error.what)
    return _of_ours(error)


def _upstream(failure: UpstreamFailure) -> ProblemAnswer:
    """The problem states the upstream's status, or the kind of failure. It does not show
    `failure.what`, because this text can contain an address."""
    word = next(word for kind, word in _UPSTREAM if isinstance(failure, kind))
    needed = _RETRY_SOON if _STATUS[word][0] == 503 else None
    retry_after = needed if failure.retry_after is None else failure.retry_after
    return ProblemAnswer(word, _cause(failure), retry_after)


def _cause(failure: UpstreamFailure) -> str:
    if isinstance(failure, InvalidPayload):
        return f"the gateway refused the API's answer: {failure.invalid}"
    if failure.reason is FailureReason.CHALLENGE:
        return f"the API answered {failure.status} with an HTML page"
    if failure.status is not None:
        return f"the API answered {failure.status}"
    return f"the call to the API failed: {failure.reason}"


def _refused(error: AccessRefused) -> ProblemAnswer:
    if isinstance(error, NotPermitted):
        return ProblemAnswer(Problem.NOT_PERMITTED, _not_permitted(error))
    missing = isinstance(error, BearerMissing) or error.reason is AccessRefusal.CREDENTIAL_MISSING
    word = Problem.CREDENTIAL_MISSING if missing else Problem.CREDENTIAL_UNKNOWN
    return ProblemAnswer(word, _remedy(error), extra=(_CHALLENGE,))


def _remedy(error: AccessRefused) -> str:
    if isinstance(error, AdminTokenUnset):
        return "no `admin.token` is configured: set GATEWAY_ADMIN__TOKEN and restart the gateway"
    if isinstance(error, BearerMissing):
        return "the word `Bearer` is missing: send `Authorization: Bearer <token>`"
    if error.reason is AccessRefusal.CREDENTIAL_MISSING:
        return "send the header field `Authorization: Bearer <token>`"
    if error.reason is AccessRefusal.CREDENTIAL_MALFORMED:
        return "after the word `Bearer`, `Authorization` needs a space and one token"
    return "the field `Authorization` contains no bearer token that is valid here"


def _not_permitted(error: NotPermitted) -> str:
    may = ", ".join(f"`{right}`" for right in Right if right in error.may)
    needed = "all rights" if error.needed is None else f"the right `{error.needed}`"
    return f"the token `{error.operator}` may {may} and nothing else; this request needs {needed}"


def _of_ours(error: GatewayError) -> ProblemAnswer:
    if isinstance(error, OnlyIfCached):
        return ProblemAnswer(Problem.ONLY_IF_CACHED, "the request asked for a stored answer only")
    if isinstance(error, VersionNotReached):
        return _not_reached(error)
    if isinstance(error, NoRoom):
        return ProblemAnswer(Problem.TOO_MANY_CONNECTIONS, error.what, _RETRY_SOON)
    if isinstance(error, ShuttingDown):
        return ProblemAnswer(
            Problem.SHUTTING_DOWN, "this replica did not finish the request", _RETRY_SOON
        )
    if isinstance(error, RedisUnavailable):
        detail = "Redis is away, and the operation needs it; it is safe to repeat the operation"
        return ProblemAnswer(Problem.REDIS_UNAVAILABLE, detail, _RETRY_SOON)
    return ProblemAnswer(Problem.INTERNAL, "the log lines with this request id say more")


def _not_reached(error: VersionNotReached) -> ProblemAnswer:
    reached = () if error.reached is None else ((b"training-updated-at", error.reached.encode()),)
    return ProblemAnswer(Problem.VERSION_NOT_REACHED, str(error), error.retry_after, reached)
