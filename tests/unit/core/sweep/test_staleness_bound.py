"""bound: the arithmetic of the paper."""

from __future__ import annotations

import pytest

from gateway.core.budget.window_log import Rate
from gateway.core.sweep.staleness_bound import Pace, pages, without_sweep

# The report's own example: 60 a minute, a share of 0.8.
PACE = Pace(Rate(60, 60.0), 0.8, None, 20.0, 5.0)


@pytest.mark.parametrize(
    ("total", "calls"), [(None, 1), (0, 1), (1, 1), (100, 1), (101, 2), (1_000, 10), (20_000, 200)]
)
def test_a_hundred_are_one_call(total: int | None, calls: int) -> None:
    """And none at all are still one, to learn that."""
    assert pages(total) == calls


def test_a_sweep_takes_as_long_as_its_share_allows() -> None:
    """48 calls in 60.5 s, with the margin that the budget keeps: ten are 12.6 s."""
    assert PACE.interval_of(1_000) == pytest.approx(10 * 60.5 / 48)
    assert PACE.gap(1_000) == pytest.approx(60.5 / 48)
    assert PACE.interval_of(2_000) == pytest.approx(20 * 60.5 / 48)


def test_or_half_a_lifetime_whichever_is_longer() -> None:
    """Few trainings are not asked about more often than anybody needs."""
    assert PACE.interval_of(100) == 10.0
    assert PACE.gap(150) == 5.0


def test_or_as_long_as_it_was_told_if_the_share_allows() -> None:
    """A setting cannot make calls that are not there."""
    told = Pace(Rate(60, 60.0), 0.8, 5.0, 20.0, 5.0)

    assert told.interval_of(100) == 5.0
    assert told.interval_of(1_000) == PACE.interval_of(1_000)


def test_without_a_limit_only_the_lifetime_counts() -> None:
    """But never more than twenty calls a second."""
    unlimited = Pace(None, 0.5, None, 20.0, 5.0)

    assert unlimited.interval_of(20_000) == 10.0
    assert unlimited.gap(20_000) == 0.05
    assert unlimited.interval_of(100_000) == 50.0


def test_the_bound_has_all_its_parts() -> None:
    """A look, room for a caller, the call, and a notice that was lost. A deletion counts from the
    last page, so the bound is never below the lifetime."""
    bound = PACE.bound(1_000)

    edits = bound.interval + bound.gap + bound.call + bound.notice
    assert edits == pytest.approx(11 * 60.5 / 48 + 1.0 + 5.0)
    assert bound.seconds == bound.deletion == 20.0
    assert PACE.bound(2_000).seconds == pytest.approx(21 * 60.5 / 48 + 1.0 + 5.0)


def test_without_a_sweep_readers_are_the_ones_who_look() -> None:
    """After both windows nobody is answered unasked."""
    assert without_sweep(30.0, 300.0) == 330.0
