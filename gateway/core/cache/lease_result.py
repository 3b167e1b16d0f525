"""How the leader's fetch of a key ended, as its followers in other replicas hear of it.

Never a body and never a credential: what was stored is looked up, and of what failed only the
kind, the words of ours and the numbers are told.
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

_LONGEST: Final = 200


class ErrorKind(StrEnum):
    """Which error a failure was: the classes of core/errors that a fetch raises."""

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
    """What a follower is to do, and of a failure what is needed to raise it again.

    `retry_after` is in seconds from the moment of the ending. `trace` tells followers of the
    leader's span, as a `traceparent`, where its trace is kept.
    """

    kind: EndingKind
    fault: ErrorKind | None = None
    what: str = ""
    reason: FailureReason = FailureReason.PROTOCOL
    invalid: InvalidReason = InvalidReason.NOT_JSON
    status: int | None = None
    retry_after: float | None = None
    sent: bool = True
    trace: str | None = None

    @property
    def is_answered(self) -> bool:
        """Whether the upstream gave an answer of its own."""
        return self.kind not in (EndingKind.TRANSIENT, EndingKind.GAVE_UP)

    def error(self) -> Failed | None:
        """The leader's failure as an error of the follower's own; None where it had none."""
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
                # Who follows presents the same credential: the key is of its partition.
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
                raise AssertionError("what was withheld is no failure of the upstream")
            case _:
                assert_never(fault)


def ending_of(error: Exception) -> Ending:
    """What the leader's error means to its followers.

    Where its own connection failed another may fare better; else it would be the same for all.
    """
    fault = next((fault for kind, fault in _FAULTS if isinstance(error, kind)), None)
    if isinstance(error, CallWithheld):
        wait = error.retry_after
        return Ending(EndingKind.GAVE_UP, fault, error.what[:_LONGEST], retry_after=wait)
    if isinstance(error, AccessRefused):
        return Ending(EndingKind.GAVE_UP, fault)
    if not isinstance(error, UpstreamFailure):
        return Ending(EndingKind.TRANSIENT)
    invalid = error.invalid if isinstance(error, InvalidPayload) else InvalidReason.NOT_JSON
    return Ending(
        EndingKind.TRANSIENT if _is_its_own(error) else EndingKind.GAVE_UP,
        fault,
        # What is wrong with a body may be said in its own words.
        str(invalid) if isinstance(error, InvalidPayload) else error.what[:_LONGEST],
        error.reason,
        invalid,
        error.status,
        error.retry_after,
        error.sent if isinstance(error, UpstreamUnreachable | UpstreamTimeout) else True,
    )


def _is_its_own(failure: UpstreamFailure) -> bool:
    """Whether it failed before the upstream had its time to answer."""
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
