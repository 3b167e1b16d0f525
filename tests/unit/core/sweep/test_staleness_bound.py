"""bound: the arithmetic of the paper."""

from __future__ import annotations

from dataclasses import replace

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


@pytest.mark.parametrize(
    ("pace", "total", "seconds"),
    [
        # 48 calls in 60.5 s, with the margin that the budget keeps: ten are 12.6 s.
        (PACE, 1_000, 10 * 60.5 / 48),
        (PACE, 2_000, 20 * 60.5 / 48),
        # A third of the lifetime, or what the setting says: nobody needs to know earlier.
        (PACE, 100, 20.0 / 3.0),
        (replace(PACE, interval=5.0), 100, 5.0),
        # A setting cannot make calls that are not there.
        (replace(PACE, interval=5.0), 1_000, 10 * 60.5 / 48),
        # Without a limit, at most twenty calls a second.
        (replace(PACE, rate=None), 10_000, 20.0 / 3.0),
        (replace(PACE, rate=None), 100_000, 50.0),
    ],
)
def test_a_sweep_takes_as_long_as_its_share_allows_and_no_shorter_than_needed(
    pace: Pace, total: int, seconds: float
) -> None:
    """Its pages come at an even pace."""
    assert pace.interval_of(total) == pytest.approx(seconds)
    assert pace.gap(total) == pytest.approx(seconds / pages(total))


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
