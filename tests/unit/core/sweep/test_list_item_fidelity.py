"""likeness: when the list's bytes may stand for a single answer's."""

from __future__ import annotations

from gateway.core.sweep.list_item import CHECK_EVERY, ENOUGH, UNPROVEN, Likeness


def after(same: int, likeness: Likeness = UNPROVEN) -> Likeness:
    """So many comparisons that found the same."""
    for _ in range(same):
        likeness = likeness.compared(same=True)
    return likeness


def test_twenty_in_a_row_prove_it() -> None:
    """Nineteen do not."""
    assert not UNPROVEN.is_proven
    assert not after(ENOUGH - 1).is_proven
    assert after(ENOUGH).is_proven
    assert after(ENOUGH + 5).is_proven


def test_a_difference_before_that_begins_anew() -> None:
    """Nothing was relied upon yet."""
    differed = after(ENOUGH - 1).compared(same=False)

    assert not differed.stopped
    assert not after(ENOUGH - 1, differed).is_proven
    assert after(ENOUGH, differed).is_proven


def test_a_difference_after_that_ends_it() -> None:
    """For good: what holds for some trainings does not hold for all."""
    stopped = after(ENOUGH).compared(same=False)

    assert stopped.stopped
    assert not after(2 * ENOUGH, stopped).is_proven


def test_one_in_fifty_is_checked() -> None:
    """Counted over all pages."""
    likeness, due = UNPROVEN.after_filling(CHECK_EVERY - 1)
    assert due == 0
    likeness, due = likeness.after_filling(1)
    assert due == 1
    likeness, due = likeness.after_filling(100)
    assert due == 2
    assert likeness.filled == CHECK_EVERY + 100
