"""The exceptions that several parts of the gateway use.

The tree names who causes each error. If nobody is named, the cause is that of the base class.
"The gateway" includes its settings and its Redis.

GatewayError
├── AccessRefused           the caller
│   ├── AdminTokenUnset     the gateway
│   ├── BearerMissing
│   └── NotPermitted        the operator
├── ClientRateLimited       the caller
├── BadRequest              the caller
│   ├── BadId
│   └── TooLarge
├── OnlyIfCached            the caller, by choice
├── VersionNotReached       the caller, by choice
├── UpstreamFailure         the upstream (a stale response may be served)
│   ├── UpstreamUnreachable
│   ├── UpstreamTimeout
│   ├── UpstreamError
│   │   └── VersionDoubted
│   ├── UpstreamRateLimited
│   ├── UpstreamRefused     the gateway
│   ├── InvalidPayload
│   └── FailedElsewhere
├── ListRefused             the upstream
├── CallWithheld            the gateway: it made no call (a stale response may be served)
│   ├── BudgetExhausted
│   ├── CircuitOpen
│   ├── Frozen
│   └── GateClosed
├── NoRoom                  the gateway: its callers have sent too many bodies at once
├── ShuttingDown            the gateway
└── RedisUnavailable        the gateway

Only `flow.request` serves a stale response in place of an error, or passes on the `reply` of an
UpstreamError. Only `web.problems` turns an error into a response of the gateway.
"""

from __future__ import annotations

from typing import Self

from gateway.core.http.fields import Headers, Reply
from gateway.core.vocabulary import AccessRefusal, FailureReason, InvalidReason, Right

REMOVED = "[removed]"


class GatewayError(Exception):
    """The base of all errors of the gateway."""


class AccessRefused(GatewayError):
    """The caller presented no credential, or one that was not accepted."""

    def __init__(self, reason: AccessRefusal) -> None:
        super().__init__(f"the caller was refused: {reason}")
        self.reason = reason


class BearerMissing(AccessRefused):
    """The field `Authorization` does not begin with the word `Bearer`."""

    def __init__(self) -> None:
        super().__init__(AccessRefusal.CREDENTIAL_MALFORMED)


class AdminTokenUnset(AccessRefused):
    """The admin plane needs a token, and none is configured."""


class NotPermitted(AccessRefused):
    """The operator's token does not allow the request. `needed` None: only a token with all rights
    allows it."""

    def __init__(self, operator: str, may: frozenset[Right], needed: Right | None) -> None:
        super().__init__(AccessRefusal.NOT_PERMITTED)
        self.operator = operator
        self.may = may
        self.needed = needed


class ClientRateLimited(GatewayError):
    """The client's own rate limit is reached. `retry_after`: seconds (> 0) until the client may ask
    again."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("the caller asks more often than it may")
        self.retry_after = retry_after


class BadRequest(GatewayError):
    """The request is not valid. `what` may be shown to the caller."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class BadId(BadRequest):
    """The id in the path cannot be a training id."""


class TooLarge(BadRequest):
    """The request's body is larger than the gateway accepts."""


class OnlyIfCached(GatewayError):
    """The request has `Cache-Control: only-if-cached`, and nothing usable is stored."""


class VersionNotReached(GatewayError):
    """The caller wants a later version than any known one.

    retry_after  seconds (> 0) until the upstream may be asked
    is_negative  whether a 404 or 410 is stored
    """

    def __init__(
        self, wanted: str, reached: str | None, *, retry_after: float, is_negative: bool = False
    ) -> None:
        known = f"the latest known version is {reached}" if reached else "no version is known"
        super().__init__(f"the request wants version {wanted} or a later one; {known}")
        self.reached = reached
        self.retry_after = retry_after
        self.is_negative = is_negative


class UpstreamFailure(GatewayError):
    """A call failed: it was not sent, or it brought no answer that may be served as current.

    retry_after  seconds from the failure until the upstream may be asked again (None: not known)
    status       the status of the response (None: no response came, or its body is no training)
    """

    reason: FailureReason
    status: int | None = None

    def __init__(
        self, what: str, reason: FailureReason, *, retry_after: float | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.reason = reason
        self.retry_after = retry_after

    def conceal(self, secret: str) -> None:
        """Remove `secret` from the text. The text can quote an answer, and an answer can repeat the
        token of the call."""
        self.what = self.what.replace(secret, REMOVED)
        self.args = (self.what,)


class UpstreamUnreachable(UpstreamFailure):
    """There was no connection, or the connection broke before a whole response came.

    sent      False only if the request was certainly not sent
    was_kept  the upstream closed a connection that earlier requests had used, so the request
              perhaps never arrived
    """

    def __init__(
        self, what: str, reason: FailureReason, *, sent: bool, was_kept: bool = False
    ) -> None:
        super().__init__(what, reason)
        self.sent = sent
        self.was_kept = was_kept


class UpstreamTimeout(UpstreamFailure):
    """The deadline passed before the whole response came."""

    def __init__(self, what: str, reason: FailureReason, *, sent: bool) -> None:
        super().__init__(what, reason)
        self.sent = sent


class UpstreamError(UpstreamFailure):
    """A response that does not answer the call (for example a 5xx, a 3xx, or a CDN's page).

    `reply` is passed to the caller if no stale response may be served, but only to requests with
    the fields `extra` of the call. None: the gateway makes an error response.
    """

    reply: Reply | None = None
    extra: Headers = ()

    def __init__(
        self,
        what: str,
        reason: FailureReason,
        *,
        status: int,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(what, reason, retry_after=retry_after)
        self.status = status


class VersionDoubted(UpstreamError):
    """A training whose version is lower than a known version, or is far in the future."""


class UpstreamRateLimited(UpstreamFailure):
    """The upstream answered 429. `retry_after` None: it does not say when to ask again."""

    status = 429

    def __init__(self, what: str, *, retry_after: float | None) -> None:
        super().__init__(what, FailureReason.RATE_LIMITED, retry_after=retry_after)


class UpstreamRefused(UpstreamFailure):
    """The upstream refused the gateway's own token."""

    def __init__(self, what: str, *, status: int) -> None:
        super().__init__(what, FailureReason.REFUSED)
        self.status = status


class InvalidPayload(UpstreamFailure):
    """A body that is no training."""

    def __init__(self, invalid: InvalidReason, what: str) -> None:
        too_large = invalid is InvalidReason.TOO_LARGE
        super().__init__(what, FailureReason.TOO_LARGE if too_large else FailureReason.INVALID)
        self.invalid = invalid


class FailedElsewhere(UpstreamFailure):
    """The call of another replica failed, while a request of this replica waited for it."""

    def __init__(
        self, reason: FailureReason, *, status: int | None, retry_after: float | None
    ) -> None:
        super().__init__("the call of another replica failed", reason, retry_after=retry_after)
        self.status = status


class ListRefused(GatewayError):
    """The gateway is not allowed to read the list, or does not know its form. Asking again soon is
    no use. `ask_for_page` sets `reply`, the answer of the API."""

    reply: Reply


class CallWithheld(GatewayError):
    """The gateway did not make the call. `retry_after`: seconds (> 0) until the caller may ask
    again.

    `is_passing`: the reason can pass at any moment, so it makes sense to ask again soon.
    """

    def __init__(self, what: str, *, retry_after: float, is_passing: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.retry_after = retry_after
        self.is_passing = is_passing


class BudgetExhausted(CallWithheld):
    """The budget has no free call now. It is passing if Redis gave no answer in time."""

    @classmethod
    def of(
        cls, limit: int | None, window: float, *, retry_after: float, is_passing: bool = False
    ) -> Self:
        """The error of a budget with `limit` calls in any `window` seconds. `limit` None: the text
        names no limit."""
        most = "" if limit is None else f" (at most {limit} in any {window:g} s)"
        unknown = "calls that were perhaps never made may count as made"
        what = f"no call is free now{most}; {unknown}"
        return cls(what, retry_after=retry_after, is_passing=is_passing)


class GateClosed(CallWithheld):
    """The gate is closed after a 429. It is passing if a probe is under way."""

    @classmethod
    def of(cls, *, retry_after: float, is_passing: bool = False) -> Self:
        """The error of a closed gate."""
        what = "the API asked the gateway to wait"
        return cls(what, retry_after=retry_after, is_passing=is_passing)


class CircuitOpen(CallWithheld):
    """The breaker allows no call."""


class Frozen(CallWithheld):
    """An operator ordered a mode in which the call is not made."""


class NoRoom(GatewayError):
    """The bodies of the requests under way fill the memory that is set aside for them. `what` may
    be shown to the caller."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class ShuttingDown(GatewayError):
    """The replica takes no new requests."""


class RedisUnavailable(GatewayError):
    """Redis did not answer in time, answered with an error, or is known to be unavailable."""

    def __init__(self, operation: str, why: str) -> None:
        super().__init__(f"the Redis operation {operation} failed: {why}")
        self.why = why
