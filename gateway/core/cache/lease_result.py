"""The result of a leader's fetch, in the form that is sent to the followers.

It has no body and no credential.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

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
        wait = self.retry_after or 1.0
        match self.fault:
            case None:
                return None
            case ErrorKind.BUDGET_EXHAUSTED:
                return BudgetExhausted(self.what, retry_after=wait)
            case ErrorKind.CIRCUIT_OPEN:
                return CircuitOpen(self.what, retry_after=wait)
            case ErrorKind.GATE_CLOSED:
                return GateClosed(self.what, retry_after=wait)
            case ErrorKind.TURNED_AWAY:
                # Only a caller's own token can cause this error. Then all callers of the partition
                # send the same token, so the upstream refuses the follower's token too.
                return AccessRefused(AccessRefusal.UPSTREAM_UNAUTHORIZED)
            case _:
                return self._failure(self.fault)

    def _failure(self, fault: ErrorKind) -> UpstreamFailure:
        status = self.status or 502
        match fault:
            case ErrorKind.UNREACHABLE:
                return UpstreamUnreachable(self.what, self.reason, sent=self.sent)
            case ErrorKind.TIMEOUT:
                return UpstreamTimeout(self.what, self.reason, sent=self.sent)
            case ErrorKind.RATE_LIMITED:
                return UpstreamRateLimited(self.what, retry_after=self.retry_after)
            case ErrorKind.REFUSED:
                return UpstreamRefused(self.what, status=status)
            case ErrorKind.INVALID:
                return InvalidPayload(self.invalid, self.what)
            case ErrorKind.ERROR | ErrorKind.DOUBTED:
                kind = UpstreamError if fault is ErrorKind.ERROR else VersionDoubted
                return kind(self.what, self.reason, status=status, retry_after=self.retry_after)
            case (
                ErrorKind.BUDGET_EXHAUSTED
                | ErrorKind.CIRCUIT_OPEN
                | ErrorKind.GATE_CLOSED
                | ErrorKind.TURNED_AWAY
            ):
                raise AssertionError(f"{fault} is no UpstreamFailure")
            case _:
                assert_never(fault)


def ending_of(error: Exception) -> Ending:
    """The ending of a fetch that failed with this error. If the kind of the ending is TRANSIENT, a
    follower's own call can succeed."""
    fault = next((fault for kind, fault in _FAULTS if isinstance(error, kind)), None)
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


_FAULTS: Final = (
    (UpstreamUnreachable, ErrorKind.UNREACHABLE),
    (UpstreamTimeout, ErrorKind.TIMEOUT),
    (VersionDoubted, ErrorKind.DOUBTED),
    (UpstreamError, ErrorKind.ERROR),
    (UpstreamRateLimited, ErrorKind.RATE_LIMITED),
    (UpstreamRefused, ErrorKind.REFUSED),
    (InvalidPayload, ErrorKind.INVALID),
    (BudgetExhausted, ErrorKind.BUDGET_EXHAUSTED),
    (CircuitOpen, ErrorKind.CIRCUIT_OPEN),
    (GateClosed, ErrorKind.GATE_CLOSED),
    (AccessRefused, ErrorKind.TURNED_AWAY),
)
