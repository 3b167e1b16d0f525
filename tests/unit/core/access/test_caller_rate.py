"""A caller's own rate: never exceeded, never withheld from who keeps to it."""

from __future__ import annotations

import math
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.access.registry import Allowance
from gateway.core.budget.window_log import Rate

rates = st.builds(Rate, st.integers(1, 300), st.sampled_from([0.25, 1.0, 6.0, 60.0, 3600.0]))
# Pauses as shares of the window, most of them short, so that limits are met.
pauses = st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.003, 0.01, 0.1, 0.5, 1.0]), max_size=500)


@given(rates, pauses, st.floats(0.0, 1e6))
def test_no_window_has_more_than_twice_the_quota(
    rate: Rate, pauses: list[float], start: float
) -> None:
    """Whatever the rhythm, and wherever the window begins."""
    allowance, now = Allowance(rate), start
    granted: list[float] = []
    for pause in pauses:
        now += pause * rate.window
        if allowance.take(now) == 0.0:
            granted.append(now)

    for place, first in enumerate(granted):
        inside = bisect_left(granted, first + allowance.seconds * (1 - 1e-9)) - place
        assert inside <= 2 * allowance.quota


@given(rates, st.floats(0.0, 1e6))
def test_who_keeps_to_the_rate_is_never_refused(rate: Rate, start: float) -> None:
    """One each `window / limit`, for ever."""
    allowance = Allowance(rate)
    spacing = rate.window / rate.limit

    assert [allowance.take(start + n * spacing) for n in range(400)] == [0.0] * 400


@given(rates, pauses)
def test_who_waits_as_told_is_granted(rate: Rate, pauses: list[float]) -> None:
    """The time told is enough, and what is refused costs nothing."""
    allowance, now = Allowance(rate), 1000.0
    for pause in pauses:
        now += pause * rate.window
        wait = allowance.take(now)
        if wait:
            assert allowance.take(now) == wait
            now += wait
            assert allowance.take(now) == 0.0


@given(rates, pauses)
def test_what_remains_is_what_is_granted_at_once(rate: Rate, pauses: list[float]) -> None:
    """Exactly so many, then none."""
    allowance, now = Allowance(rate), 1000.0
    for pause in pauses[:50]:
        now += pause * rate.window
        allowance.take(now)

    remaining = allowance.remaining(now)

    assert [allowance.take(now) == 0.0 for _ in range(remaining + 1)] == [True] * remaining + [
        False
    ]
    assert allowance.remaining(now) == 0


@pytest.mark.parametrize(
    ("rate", "quota"),
    [
        (Rate(1, 60.0), 1),
        (Rate(20, 1.0), 20),
        (Rate(1000, 60.0), 1000),
        (Rate(3, 0.5), 6),
        (Rate(3, 1.5), 4),
    ],
)
def test_all_that_the_policy_states_is_granted_at_once(rate: Rate, quota: int) -> None:
    """A page that asks for forty things at once needs a quota of forty, and nothing else."""
    allowance = Allowance(rate)

    granted = sum(allowance.take(1000.0) == 0.0 for _ in range(2 * quota))

    assert (allowance.quota, granted) == (quota, quota)


def test_the_quota_comes_back_with_time() -> None:
    """`full_in` tells when all of it is there."""
    allowance = Allowance(Rate(60, 60.0))
    assert (allowance.full_in(1000.0), allowance.remaining(1000.0)) == (0.0, 60)

    for _ in range(60):
        allowance.take(1000.0)

    assert math.isclose(allowance.full_in(1000.0), 60.0)
    assert allowance.remaining(1003.0) == 3
    assert allowance.full_in(1061.0) == 0.0
    assert allowance.remaining(1061.0) == 60
