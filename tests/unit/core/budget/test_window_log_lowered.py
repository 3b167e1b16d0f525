"""A lowered limit: how low, for how long, and how slowly it comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.budget.window_log import Lowered, after_refusal


def test_a_refusal_leaves_the_rest_to_whoever_spends_it() -> None:
    """Four fifths of what was spent when it came; not below a tenth of the limit."""
    assert after_refusal(100, 100, 60) == 48
    assert after_refusal(100, 40, 60) == 40
    assert after_refusal(100, 100, 3) == 10
    assert after_refusal(3, 3, 1) == 1


def test_the_way_back_is_slow() -> None:
    """Ten windows at the least, then a twentieth of the limit in each."""
    lowered = Lowered(40, since=0.0)
    assert [lowered.now(100, 60.0, 60.0 * n) for n in (0, 10, 11, 12, 22, 90)] == [
        *(40, 40, 45, 50),
        *(100, 100),
    ]


@given(
    st.integers(1, 1000),
    st.integers(1, 1000),
    st.integers(0, 2000),
    st.floats(-1e3, 1e6),
)
def test_it_is_never_above_what_was_set_nor_nothing(
    full: int, holds: int, spent: int, later: float
) -> None:
    """Whatever was spent, and whenever one asks, a clock that went back included."""
    limit = after_refusal(full, holds, spent)
    assert 1 <= limit <= holds
    assert 1 <= Lowered(limit, since=0.0).now(full, 60.0, later) <= full
