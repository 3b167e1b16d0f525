"""Every exception of the house; each says whose fault it is and what follows.

GatewayError
├── AccessRefused           the caller's: who it is cannot be told
│   ├── AdminTokenUnset     ours: no token is configured, so none can be right
│   └── NotPermitted        the operator's: a token that is known, and does not allow this
├── ClientRateLimited       the caller's: more than its own rate allows
├── BadRequest              the caller's: what was asked makes no sense
│   ├── BadId
│   └── TooLarge
├── OnlyIfCached            the caller's wish: nothing usable is stored
├── VersionNotReached       the caller's wish: that version is not there yet
├── UpstreamFailure         theirs: no answer of the API came back (rescued by what is stored)
│   ├── UpstreamUnreachable
│   ├── UpstreamTimeout
│   ├── UpstreamError
│   │   └── VersionDoubted  a version that is not believed yet
│   ├── UpstreamRateLimited
│   ├── UpstreamRefused     theirs in word, ours in cause: the gateway's own token
│   └── InvalidPayload
├── ListRefused             theirs: there is no list for us, or none that we can read
├── CallWithheld            ours: the call was not made (rescued likewise)
│   ├── BackedOff           a refresh that failed just now, in some replica
│   ├── BudgetExhausted
│   ├── CircuitOpen
│   ├── Frozen
│   └── GateClosed
├── ShuttingDown            ours
└── RedisUnavailable        ours: a state, not an accident

Only `flow.request.handler` rescues (`mode_handler` in the mode `frozen`). Only `web.problems` turns
an error into a response.
"""

from __future__ import annotations

from typing import Self

from gateway.core.http.fields import Reply
from gateway.core.http.rate_limit_headers import Stated
from gateway.core.vocabulary import AccessRefusal, FailureReason, InvalidReason, Right

REMOVED = "[removed]"


class GatewayError(Exception):
    """Anything the gateway says in its own name."""


class AccessRefused(GatewayError):
    """The caller presented no credential, or one that cannot be."""

    def __init__(self, reason: AccessRefusal) -> None:
        super().__init__(f"the caller was refused: {reason}")
        self.reason = reason


class AdminTokenUnset(AccessRefused):
    """The admin plane needs a token and has none: every request for more than probes is refused."""


class NotPermitted(AccessRefused):
    """The token of this operator is known and does not allow what was asked for; `needed` None:
    only a token that may do everything does."""

    def __init__(self, operator: str, may: frozenset[Right], needed: Right | None) -> None:
        super().__init__(AccessRefusal.NOT_PERMITTED)
        self.operator = operator
        self.may = may
        self.needed = needed


class ClientRateLimited(GatewayError):
    """The caller's own limit is reached; `retry_after` (seconds, > 0) says until when."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("the caller asks more often than it may")
        self.retry_after = retry_after


class BadRequest(GatewayError):
    """The request makes no sense; `what` may be shown to the caller."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class BadId(BadRequest):
    """The path names no possible training id."""


class TooLarge(BadRequest):
    """The request's body is larger than what is read of one."""


class OnlyIfCached(GatewayError):
    """`Cache-Control: only-if-cached`, and nothing usable is stored."""


class VersionNotReached(GatewayError):
    """No version as late as the caller wants is known, and the upstream was asked, or may not be
    asked for this caller now.

    `retry_after` (seconds, > 0) says when it may be asked again.
    """

    def __init__(self, wanted: str, reached: str | None, *, retry_after: float) -> None:
        latest = reached or "none"
        super().__init__(f"wanted a version of {wanted} or later, the latest known is {latest}")
        self.reached = reached
        self.retry_after = retry_after


class UpstreamFailure(GatewayError):
    """A call was made and brought no answer of the API.

    `retry_after` is in seconds from the moment of the failure, None where nothing is known;
    `status` is what was answered, None where nothing was.
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
        """Take it out of what is said: an upstream may answer with the token that it was sent."""
        self.what = self.what.replace(secret, REMOVED)
        self.args = (self.what,)


class UpstreamUnreachable(UpstreamFailure):
    """No connection, or it broke before a whole answer came.

    `sent` tells whether the request may have left: False only where it provably did not.
    `was_kept`: it was sent on a connection of an earlier request, which the upstream closed
    without a response, perhaps before it came.
    """

    def __init__(
        self, what: str, reason: FailureReason, *, sent: bool, was_kept: bool = False
    ) -> None:
        super().__init__(what, reason)
        self.sent = sent
        self.was_kept = was_kept


class UpstreamTimeout(UpstreamFailure):
    """The deadline came before the whole answer."""

    def __init__(self, what: str, reason: FailureReason, *, sent: bool) -> None:
        super().__init__(what, reason)
        self.sent = sent


class UpstreamError(UpstreamFailure):
    """A status that is no answer to the question: 5xx, 3xx, another 2xx, the CDN's page.

    `reply` is what the caller gets where nothing can rescue; None: a problem of our own.
    """

    reply: Reply | None = None

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
    """A training whose version went back, or is far ahead: to be asked again, and soon enough."""


class UpstreamRateLimited(UpstreamFailure):
    """429: the upstream says when to come back, and perhaps what its limit is."""

    status = 429

    def __init__(self, what: str, *, retry_after: float | None, said: Stated | None = None) -> None:
        super().__init__(what, FailureReason.RATE_LIMITED, retry_after=retry_after)
        self.said = said


class UpstreamRefused(UpstreamFailure):
    """The gateway's own token was refused: the operator's to mend, not the caller's."""

    def __init__(self, what: str, *, status: int) -> None:
        super().__init__(what, FailureReason.REFUSED)
        self.status = status


class InvalidPayload(UpstreamFailure):
    """A body that is no training: never stored, never served as a success; but see
    cache/rfc9111."""

    def __init__(self, invalid: InvalidReason, what: str) -> None:
        too_large = invalid is InvalidReason.TOO_LARGE
        super().__init__(what, FailureReason.TOO_LARGE if too_large else FailureReason.INVALID)
        self.invalid = invalid


class ListRefused(GatewayError):
    """We may not read the list, or cannot parse it: to ask again soon would not help."""


class CallWithheld(GatewayError):
    """We did not call; `retry_after` (seconds, > 0) says when asking again may help."""

    def __init__(self, what: str, *, retry_after: float) -> None:
        super().__init__(what)
        self.what = what
        self.retry_after = retry_after


class BudgetExhausted(CallWithheld):
    """Our own share of the limit is spent, or being handed out evenly. `is_passing`: the budget of
    all replicas is away, or a part is kept for a replica that may only be slow, and that may be
    over at any moment."""

    is_passing = False

    @classmethod
    def of(cls, limit: int | None, window: float, *, retry_after: float) -> Self:
        """No call is free of the `limit` in any `window` seconds."""
        what = f"no call is free of the {limit} in any {window:g} s"
        paced = "what is not known to be unspent is handed out evenly for one window"
        return cls(f"{what}; {paced}", retry_after=retry_after)


class GateClosed(CallWithheld):
    """The upstream said 429: the time it gave has not come, or `is_probed`: one call is under
    way to see whether it has."""

    def __init__(self, what: str, *, retry_after: float, is_probed: bool = False) -> None:
        super().__init__(what, retry_after=retry_after)
        self.is_probed = is_probed


class CircuitOpen(CallWithheld):
    """The breaker is open: the upstream failed too often just now."""


class BackedOff(CallWithheld):
    """It failed in some replica, `attempts` times in a row: refreshes leave it alone for now."""

    def __init__(self, attempts: int, *, retry_after: float) -> None:
        super().__init__("it failed just now and is left alone", retry_after=retry_after)
        self.attempts = attempts


class Frozen(CallWithheld):
    """An operator ordered that nothing is called."""


class ShuttingDown(GatewayError):
    """The replica is going away and takes no new work."""


class RedisUnavailable(GatewayError):
    """Redis did not answer in time, or is known to be away."""

    def __init__(self, operation: str, why: str) -> None:
        super().__init__(f"Redis did not answer {operation}: {why}")
        self.why = why
