"""The tree of errors: whose fault each is, what it carries, and that none tells a secret."""

from __future__ import annotations

import inspect
import re

import pytest

from gateway.core import errors
from gateway.core.errors import (
    AccessRefused,
    FailedElsewhere,
    GatewayError,
    InvalidPayload,
    UpstreamError,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
    VersionNotReached,
)
from gateway.core.vocabulary import AccessRefusal, FailureReason, InvalidReason

_DRAWN = re.compile(r"([│ ]*)[├└]── (\w+)")

FAILURES: list[UpstreamFailure] = [
    UpstreamUnreachable("no route", FailureReason.CONNECT, sent=False),
    UpstreamTimeout("too late", FailureReason.READ_TIMEOUT, sent=True),
    UpstreamError("teapot", FailureReason.PROTOCOL, status=302),
    UpstreamRateLimited("enough", retry_after=None),
    UpstreamRefused("ours", status=401),
    InvalidPayload(InvalidReason.WRONG_ID, "not that one"),
    FailedElsewhere(FailureReason.READ_TIMEOUT, status=None, retry_after=None),
]


def drawn() -> dict[str, str]:
    """Each error of the module's drawing, and the one that it hangs on."""
    parents: dict[str, str] = {}
    path = ["GatewayError"]
    for bars, name in _DRAWN.findall(errors.__doc__ or ""):
        depth = len(bars) // 4 + 1
        parents[name] = path[depth - 1]
        path[depth:] = [name]
    return parents


def test_the_tree_is_as_drawn() -> None:
    """Each error has its place in the module's docstring, and no other."""
    defined = {
        name: kind.__base__.__name__
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, GatewayError) and kind is not GatewayError and kind.__base__
    }

    assert defined == drawn()


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_each_failure_says_what_and_why(failure: UpstreamFailure) -> None:
    """The words for the log and the reason for the metric; without a hint none is made up."""
    assert str(failure) == failure.what != ""
    assert failure.reason in FailureReason
    assert failure.retry_after is None


def test_every_kind_of_failure_is_tried_here() -> None:
    """A new one comes with an example above."""
    assert {type(failure) for failure in FAILURES} == set(UpstreamFailure.__subclasses__())


def test_a_failure_may_tell_when_to_come_back() -> None:
    """A 429 and a 5xx carry the seconds that the upstream named, zero included."""
    failed = UpstreamError("x", FailureReason.STATUS_5XX, status=503, retry_after=7.0)

    assert (failed.status, failed.retry_after) == (503, 7.0)
    assert UpstreamRateLimited("x", retry_after=0.0).retry_after == 0.0
    assert UpstreamRateLimited("x", retry_after=0.0).reason is FailureReason.RATE_LIMITED


@pytest.mark.parametrize("invalid", InvalidReason)
def test_a_refused_body_has_two_words(invalid: InvalidReason) -> None:
    """One for payloads and one for failures; the latter tells only too large ones apart."""
    too_large = invalid is InvalidReason.TOO_LARGE
    failure = InvalidPayload(invalid, "x")

    assert failure.invalid is invalid
    assert failure.reason is (FailureReason.TOO_LARGE if too_large else FailureReason.INVALID)


@pytest.mark.parametrize("reason", AccessRefusal)
def test_a_refused_caller_hears_a_word_and_no_more(reason: AccessRefusal) -> None:
    """The message is made of the word alone: there is no place for a credential."""
    refused = AccessRefused(reason)

    assert refused.reason is reason
    assert str(refused) == f"the caller was refused: {reason}"


@pytest.mark.parametrize(
    ("reached", "told"),
    [
        ("2025-01-01T00:00:00Z", "the latest known version is 2025-01-01T00:00:00Z"),
        (None, "no version is known"),
    ],
)
def test_a_version_not_reached_names_both(reached: str | None, told: str) -> None:
    """What was wanted, and what there is."""
    error = VersionNotReached("2026-01-01T00:00:00Z", reached, retry_after=1.0)

    assert error.reached == reached
    said = f"the request wants version 2026-01-01T00:00:00Z or a later one; {told}"
    assert str(error) == said
