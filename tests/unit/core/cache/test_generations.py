"""Generations: what they tell of the orders between two of them."""

from __future__ import annotations

import pytest

from gateway.core.cache.entry import ERA, SOFT, era, leaves_nothing, next_era

HARD = 1


@pytest.mark.parametrize(
    ("before", "now", "nothing_left"),
    [
        (0, 0, False),
        (0, HARD, True),
        (0, SOFT, False),
        (0, 3 * SOFT, False),
        (0, SOFT + HARD, True),
        (HARD, HARD + SOFT, False),
        (SOFT + HARD, SOFT + HARD, False),
        (SOFT, 2 * SOFT + HARD, True),
        (HARD, 2 * HARD, True),
        # A copy that takes over may lack the last orders: they are the caller's business.
        (2 * HARD, HARD, False),
        # A purge begins an era; it removes bodies itself, where it leaves none.
        (7, ERA, False),
        (7, ERA + SOFT, False),
        (0, ERA + HARD, True),
        (7, ERA + 7, True),
        (ERA + HARD, ERA + HARD + SOFT, False),
    ],
)
def test_what_two_generations_tell(before: int, now: int, nothing_left: bool) -> None:
    """Whichever order came first, and however many of each."""
    assert leaves_nothing(before, now) is nothing_left


def test_an_era_begins_without_orders() -> None:
    """Whatever was ordered in the one before."""
    for generation in (0, HARD, 5 * SOFT + 3 * HARD):
        assert next_era(generation) == ERA
    assert (era(next_era(ERA + SOFT)), next_era(ERA + SOFT) % SOFT) == (2, 0)
