"""The calls of a window, and the size of a reserve."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.budget.priority import Rank
from gateway.core.budget.window_log import (
    Rate,
    Start,
    WindowLog,
    counts_for,
    reserve_of,
    shared_part,
)


@given(st.integers(1, 100_000), st.integers(1, 200))
def test_reserves_and_the_shared_part_are_the_limit(limit: int, replicas: int) -> None:
    """The reserves together are a fifth of the limit at most, and Redis has a call to hand out."""
    reserves = replicas * reserve_of(limit, replicas)

    assert reserves + shared_part(limit, replicas) == limit
    assert reserves <= limit / 5
    assert shared_part(limit, replicas) >= 1


@pytest.mark.parametrize(
    ("limit", "replicas", "reserve"),
    [(100, 4, 2), (100, 3, 3), (100, 20, 1), (100, 21, 0), (20, 4, 1), (20, 5, 0), (5, 1, 1)],
)
def test_the_size_of_a_reserve(limit: int, replicas: int, reserve: int) -> None:
    """A tenth divided by the replicas, or one call, or none."""
    assert reserve_of(limit, replicas) == reserve


@given(st.integers(1, 1_000_000), st.sampled_from([1.0, 2.5, 60.0, 3600.0]))
def test_the_parts_of_a_window_allow_no_more_than_the_limit(limit: int, window: float) -> None:
    """A part is a second at least, and has at most 2,000 calls unless it is that short."""
    counted = Rate(limit, window).counted()
    parts = round(window / counted.window)

    assert counted.limit * parts <= limit
    assert counted.window * parts == pytest.approx(window)
    assert parts == 1 or counted.window >= 1.0
    assert counted.limit <= 2_000 or counted.window < 2.0


@given(
    st.lists(st.tuples(st.floats(0.0, 3.0), st.sampled_from(Rank)), max_size=60),
    st.sampled_from(Rank),
    st.sampled_from(Start),
)
def test_a_call_is_free_when_it_was_said(
    asked: list[tuple[float, Rank]], rank: Rank, start: Start
) -> None:
    """If nobody else calls meanwhile. Calls that are kept for another rank may delay it once."""
    now = 1_000.0
    log = WindowLog(Rate(30, 10.0), now, start, 0.5)
    for number, (pause, each) in enumerate(asked):
        now += pause
        log.take(f"{number}", each, now)

    for _ in range(40):
        wait = log.take("last", rank, now)
        if wait == 0.0:
            break
        now += wait

    assert wait == 0.0
    assert now <= 1_000.0 + 3.0 * 60 + 2 * counts_for(10.0)
