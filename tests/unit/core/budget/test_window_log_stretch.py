"""Stretches: what is kept is bounded, and no window has more than its rate allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.budget.window_log import MOST_KEPT, Rate, Stretch


@pytest.mark.parametrize("limit", [1, 100, MOST_KEPT])
def test_an_ordinary_rate_is_one_stretch(limit: int) -> None:
    """The window itself and its margin."""
    assert Stretch.of(Rate(limit, 60.0)) == Stretch(limit, 61.0, 1)


@given(st.integers(1, 10**9), st.floats(0.1, 86_400.0))
def test_a_window_of_stretches_never_has_more(limit: int, window: float) -> None:
    """Together they are the window with its margin, and at most its calls; little is lost."""
    stretch = Stretch.of(Rate(limit, window))

    assert 1 <= stretch.limit <= MOST_KEPT
    assert stretch.span * stretch.parts >= window
    assert limit * 0.999 - 1 <= stretch.limit * stretch.parts <= limit


def test_all_of_a_stretch_is_all_of_the_window() -> None:
    """Also what could not be divided; a part is a part."""
    rate = Rate(100_001, 60.0)
    stretch = Stretch.of(rate)

    assert stretch.whole(stretch.limit, rate) == 100_001
    assert stretch.whole(10, rate) == 10 * stretch.parts
    assert stretch.whole(0, rate) == 0
