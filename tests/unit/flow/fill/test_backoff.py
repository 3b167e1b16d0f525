from __future__ import annotations

import pytest

from gateway.core.cache.entry import Key
from gateway.core.errors import (
    BudgetExhausted,
    CircuitOpen,
    GateClosed,
    UpstreamError,
    UpstreamRefused,
    VersionDoubted,
)
from gateway.core.vocabulary import Detail, FailureReason, Outcome
from gateway.flow.fill import backoff
from gateway.flow.fill.backoff import Backoffs, is_news, stale_word
from tests.doubles.clock import FakeClock

KEY = Key("p1", "trn_1")


def failure(retry_after: float | None = None) -> UpstreamError:
    """A 503."""
    reason = FailureReason.STATUS_5XX
    return UpstreamError("failed", reason, status=503, retry_after=retry_after)


@pytest.fixture
def backoffs(clock: FakeClock) -> Backoffs:
    """Nothing failed yet."""
    return Backoffs(clock, believe_after=60.0)


def test_a_key_is_left_alone_for_a_while(backoffs: Backoffs, clock: FakeClock) -> None:
    """From the failure until its time is over; other keys are not concerned."""
    assert backoffs.standing(KEY) is None

    assert backoffs.failed(KEY, failure()) == 1.0

    clock.advance(0.9)
    assert backoffs.standing(KEY) is not None
    assert backoffs.standing(Key("p2", "trn_1")) is None
    clock.advance(0.1)
    assert backoffs.standing(KEY) is None


def test_each_failure_doubles_the_wait_up_to_a_minute(backoffs: Backoffs) -> None:
    """A time that has passed does not forget the failure."""
    waits = [backoffs.failed(KEY, failure()) for _ in range(8)]

    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


@pytest.mark.parametrize(
    ("believe_after", "longest"), [(60.0, 30.0), (600.0, 60.0), (0.0, 1.0), (10.0, 5.0)]
)
def test_what_is_doubted_is_asked_again_in_time(
    clock: FakeClock, believe_after: float, longest: float
) -> None:
    """Three times within what it takes to be believed, whatever failed before."""
    backoffs = Backoffs(clock, believe_after)
    for _ in range(8):
        backoffs.failed(KEY, failure())

    doubted = VersionDoubted("older", FailureReason.PROTOCOL, status=200)

    assert backoffs.failed(KEY, doubted) == longest


def test_jitter_shortens_the_wait(backoffs: Backoffs, clock: FakeClock) -> None:
    """By half at most, so that keys that failed together part."""
    clock.script([0.5])

    assert backoffs.failed(KEY, failure()) == 0.75


def test_a_success_forgets_the_failures(backoffs: Backoffs) -> None:
    """The next failure is a first one again."""
    backoffs.failed(KEY, failure())

    backoffs.succeeded(KEY)

    assert backoffs.standing(KEY) is None
    assert backoffs.failed(KEY, failure()) == 1.0


@pytest.mark.parametrize(("asked", "wait"), [(None, 1.0), (0.5, 1.0), (20.0, 20.0), (900.0, 60.0)])
def test_upstream_is_not_asked_before_it_wants_to_be(
    backoffs: Backoffs, asked: float | None, wait: float
) -> None:
    """Its `Retry-After` holds, for a minute at most."""
    assert backoffs.failed(KEY, failure(asked)) == wait


def test_a_call_withheld_is_not_tried_before_it_can_go(backoffs: Backoffs) -> None:
    """The budget said when."""
    assert backoffs.failed(KEY, BudgetExhausted("spent", retry_after=12.0)) == 12.0


@pytest.mark.parametrize("kind", [BudgetExhausted, GateClosed, CircuitOpen])
def test_a_call_withheld_marks_the_stale_answer_as_shielded(
    backoffs: Backoffs, kind: type[BudgetExhausted | GateClosed | CircuitOpen]
) -> None:
    """Upstream was not asked."""
    backoffs.failed(KEY, kind("withheld", retry_after=5.0))

    standing = backoffs.standing(KEY)

    assert standing is not None
    assert (standing.outcome, standing.detail) == (Outcome.STALE_SHIELDED, Detail.STALE_SHIELDED)


def test_a_failed_call_marks_the_stale_answer_as_an_error() -> None:
    """Upstream was asked in vain."""
    assert stale_word(failure()) == (Outcome.STALE_ERROR, Detail.STALE_ERROR)


def test_what_is_remembered_is_bounded(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that failed longest ago is forgotten."""
    monkeypatch.setattr(backoff, "_MOST", 10)
    backoffs = Backoffs(clock, believe_after=60.0)
    keys = [Key("p1", f"trn_{n}") for n in range(11)]
    for key in keys:
        backoffs.failed(key, failure())

    assert backoffs.standing(keys[0]) is None
    assert all(backoffs.standing(key) is not None for key in keys[1:])


def test_a_refused_token_is_no_news() -> None:
    """It fails every refresh; what else fails is told."""
    assert not is_news(UpstreamRefused("401", status=401))
    assert is_news(failure())
