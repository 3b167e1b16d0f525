"""Until when what was held in a gap may be answered without Redis' word."""

from __future__ import annotations

import math

from gateway.flow.cache.l1_revalidation import MissedOrders
from tests.doubles.clock import FakeClock


def test_what_was_confirmed_before_the_end_of_a_gap_has_its_time() -> None:
    """What came later has none."""
    clock = FakeClock()
    missed = MissedOrders(clock)
    before, over = clock.now() - 1.0, clock.now()

    missed.note(clock.monotonic() + 10.0)

    assert missed.until(before) == missed.until(over) == clock.monotonic() + 10.0
    assert missed.until(over + 1e-6) == math.inf


def test_the_first_of_two_gaps_counts() -> None:
    """For what was held in both."""
    clock = FakeClock()
    missed = MissedOrders(clock)
    first = clock.now()
    missed.note(clock.monotonic() + 10.0)
    clock.advance(5.0)

    missed.note(clock.monotonic() + 10.0)

    assert missed.until(first) == clock.monotonic() + 5.0
    assert missed.until(first + 1.0) == clock.monotonic() + 10.0


def test_gaps_whose_time_has_come_are_one() -> None:
    """However many there were, nothing held in them comes back."""
    clock = FakeClock()
    missed = MissedOrders(clock)
    for _ in range(1_000):
        missed.note(clock.monotonic() + 1.0)
        clock.advance(2.0)
    last = clock.now()
    missed.note(clock.monotonic() + 1.0)

    assert missed.until(last - 2.0) <= clock.monotonic()
    assert missed.until(last) == clock.monotonic() + 1.0
    assert len(missed._gaps) == 2
