from __future__ import annotations

import pytest

from gateway.core.cache.lease_result import Ending, ErrorKind, Failed, ending_of
from gateway.core.errors import (
    AccessRefused,
    BudgetExhausted,
    CallWithheld,
    CircuitOpen,
    GateClosed,
    InvalidPayload,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
    VersionDoubted,
)
from gateway.core.vocabulary import AccessRefusal, EndingKind, FailureReason, InvalidReason

SAID = ("what", "reason", "status", "retry_after", "sent", "invalid")
ERRORS: list[Failed] = [
    UpstreamUnreachable("refused", FailureReason.CONNECT, sent=False),
    UpstreamUnreachable("reset", FailureReason.PROTOCOL, sent=True),
    UpstreamTimeout("late", FailureReason.READ_TIMEOUT, sent=True),
    UpstreamTimeout("full", FailureReason.POOL_TIMEOUT, sent=False),
    UpstreamError("503", FailureReason.STATUS_5XX, status=503, retry_after=7.0),
    UpstreamError("page", FailureReason.CHALLENGE, status=403),
    UpstreamRateLimited("429", retry_after=None),
    UpstreamRateLimited("429", retry_after=30.0),
    UpstreamRefused("401", status=401),
    InvalidPayload(InvalidReason.TOO_LARGE, "too-large"),
    InvalidPayload(InvalidReason.WRONG_ID, "wrong-id"),
    BudgetExhausted("spent", retry_after=4.0),
    CircuitOpen("open", retry_after=0.25),
    GateClosed("closed", retry_after=4.0),
    VersionDoubted("older", FailureReason.PROTOCOL, status=200),
    AccessRefused(AccessRefusal.UPSTREAM_UNAUTHORIZED),
]


def said(error: object) -> dict[str, object]:
    """All that an error of ours tells."""
    return {name: getattr(error, name, None) for name in SAID}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__}")
def test_an_error_comes_back_as_it_was(error: Failed) -> None:
    """Its class and all that it said, in another object."""
    again = ending_of(error).error()

    assert again is not error
    assert type(again) is type(error)
    assert said(again) == said(error)


def test_every_fault_is_an_error_of_its_own() -> None:
    """None is forgotten on the way back."""
    classes = {type(Ending(EndingKind.GAVE_UP, fault).error()) for fault in ErrorKind}

    assert classes == {type(error) for error in ERRORS}
    assert {ending_of(error).fault for error in ERRORS} == set(ErrorKind)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *((error, EndingKind.TRANSIENT) for error in ERRORS[:2]),
        (ERRORS[2], EndingKind.GAVE_UP),
        (ERRORS[3], EndingKind.TRANSIENT),
        *((error, EndingKind.GAVE_UP) for error in ERRORS[4:]),
        (ZeroDivisionError("a bug"), EndingKind.TRANSIENT),
    ],
    ids=lambda value: str(value) or type(value).__name__,
)
def test_whether_another_replica_may_fare_better(error: Exception, kind: EndingKind) -> None:
    """With a connection of its own, or after a bug: not where upstream had its say."""
    assert ending_of(error).kind is kind


def test_a_bug_has_no_words() -> None:
    """Nobody knows what they would hold."""
    assert ending_of(KeyError("Bearer secret")) == Ending(EndingKind.TRANSIENT)


def test_nothing_of_a_body_is_told() -> None:
    """What is wrong with one may be said in its own words."""
    ending = ending_of(InvalidPayload(InvalidReason.WRONG_ID, "the body has a wrong id: secret"))

    assert "secret" not in str(ending)


def test_long_words_are_cut() -> None:
    """An ending stays a small message."""
    error = UpstreamError("x" * 9_000, FailureReason.STATUS_5XX, status=500)

    assert len(ending_of(error).what) == 200


@pytest.mark.parametrize(
    "fault", [ErrorKind.BUDGET_EXHAUSTED, ErrorKind.CIRCUIT_OPEN, ErrorKind.GATE_CLOSED]
)
def test_what_was_withheld_says_when_to_come_back(fault: ErrorKind) -> None:
    """Also where an ending from outside forgot it."""
    error = Ending(EndingKind.GAVE_UP, fault).error()

    assert isinstance(error, CallWithheld)
    assert error.retry_after > 0.0
