"""The result of a leader's fetch, in the form that is sent to the followers.

It has no body and no credential.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from gateway.core.errors import (
    AccessRefused,
    BudgetExhausted,
    CallWithheld,
    CircuitOpen,
    GateClosed,
    InvalidPayload,
    UpstreamError,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
    VersionDoubted,
)
from gateway.core.vocabulary import AccessRefusal, EndingKind, FailureReason, InvalidReason

Failed = UpstreamFailure | CallWithheld | AccessRefused

# The longest error text that followers get, in characters.
_LONGEST_TEXT: Final = 200


class ErrorKind(StrEnum):
    """The kind of a leader's error: which class of core/errors a follower raises."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    ERROR = "error"
    DOUBTED = "doubted"
    RATE_LIMITED = "rate-limited"
    REFUSED = "refused"
    INVALID = "invalid"
    BUDGET_EXHAUSTED = "budget-exhausted"
    CIRCUIT_OPEN = "circuit-open"
    GATE_CLOSED = "gate-closed"
    TURNED_AWAY = "turned-away"


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a leader's fetch, with all that a follower needs to raise the leader's error.

    fault        the kind of the leader's error (None: there is no error to raise)
    what         the text of the error
    retry_after  in seconds from the end of the fetch
    sent         UNREACHABLE and TIMEOUT only. False: the request was certainly not sent
    """

    kind: EndingKind
    fault: ErrorKind | None = None
    what: str = ""
    reason: FailureReason = FailureReason.PROTOCOL
    invalid: InvalidReason = InvalidReason.NOT_JSON
    status: int | None = None
    retry_after: float | None = None
    sent: bool = True

    def error(self) -> Failed | None:
        """The error for the follower to raise, if there is one."""
        return None if self.fault is None else _ERRORS[self.fault][1](self)


def ending_of(error: Exception) -> Ending:
    """The ending of a fetch that failed with this error. If the kind of the ending is TRANSIENT, a
    follower's own call can succeed."""
    fault = next((kind for kind, (own, _) in _ERRORS.items() if isinstance(error, own)), None)
    if isinstance(error, CallWithheld):
        wait = error.retry_after
        return Ending(EndingKind.GAVE_UP, fault, error.what[:_LONGEST_TEXT], retry_after=wait)
    if isinstance(error, AccessRefused):
        return Ending(EndingKind.GAVE_UP, fault)
    if not isinstance(error, UpstreamFailure):
        return Ending(EndingKind.TRANSIENT)
    invalid = error.invalid if isinstance(error, InvalidPayload) else InvalidReason.NOT_JSON
    return Ending(
        EndingKind.TRANSIENT if _is_connection_failure(error) else EndingKind.GAVE_UP,
        fault,
        # Followers do not get the text of an InvalidPayload, because the text can quote the body.
        str(invalid) if isinstance(error, InvalidPayload) else error.what[:_LONGEST_TEXT],
        error.reason,
        invalid,
        error.status,
        error.retry_after,
        error.sent if isinstance(error, UpstreamUnreachable | UpstreamTimeout) else True,
    )


def _is_connection_failure(failure: UpstreamFailure) -> bool:
    """Whether the leader had no connection, or lost it. This says nothing about the connections of
    other replicas."""
    if isinstance(failure, UpstreamTimeout):
        return failure.reason is not FailureReason.READ_TIMEOUT
    return isinstance(failure, UpstreamUnreachable)


def _answered(own: type[UpstreamError], end: Ending) -> Failed:
    return own(end.what, end.reason, status=end.status or 502, retry_after=end.retry_after)


def _withheld(own: type[CallWithheld], end: Ending) -> Failed:
    return own(end.what, retry_after=end.retry_after or 1.0)


# For each kind of error its class, and how a follower makes it again. A subclass precedes its
# class. Only a caller's own token can cause AccessRefused. Then all callers of the partition send
# the same token, so the upstream refuses the follower's token too.
_ERRORS: Final[dict[ErrorKind, tuple[type[Exception], Callable[[Ending], Failed]]]] = {
    ErrorKind.UNREACHABLE: (
        UpstreamUnreachable,
        lambda end: UpstreamUnreachable(end.what, end.reason, sent=end.sent),
    ),
    ErrorKind.TIMEOUT: (
        UpstreamTimeout,
        lambda end: UpstreamTimeout(end.what, end.reason, sent=end.sent),
    ),
    ErrorKind.DOUBTED: (VersionDoubted, partial(_answered, VersionDoubted)),
    ErrorKind.ERROR: (UpstreamError, partial(_answered, UpstreamError)),
    ErrorKind.RATE_LIMITED: (
        UpstreamRateLimited,
        lambda end: UpstreamRateLimited(end.what, retry_after=end.retry_after),
    ),
    ErrorKind.REFUSED: (
        UpstreamRefused,
        lambda end: UpstreamRefused(end.what, status=end.status or 502),
    ),
    ErrorKind.INVALID: (InvalidPayload, lambda end: InvalidPayload(end.invalid, end.what)),
    ErrorKind.BUDGET_EXHAUSTED: (BudgetExhausted, partial(_withheld, BudgetExhausted)),
    ErrorKind.CIRCUIT_OPEN: (CircuitOpen, partial(_withheld, CircuitOpen)),
    ErrorKind.GATE_CLOSED: (GateClosed, partial(_withheld, GateClosed)),
    ErrorKind.TURNED_AWAY: (
        AccessRefused,
        lambda _: AccessRefused(AccessRefusal.UPSTREAM_UNAUTHORIZED),
    ),
}
