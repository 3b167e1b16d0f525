"""holes: what is missing shows, what is merely late, repeated or under way does not."""

from __future__ import annotations

import pytest

from gateway.adapters.redis.messages import Holes


@pytest.fixture
def holes() -> Holes:
    """A receiver that began when seven notices had been told."""
    holes = Holes()
    holes.start(7)
    return holes


def test_the_next_number_is_no_hole(holes: Holes) -> None:
    """Nor the one after it."""
    for number in (8, 9):
        assert not holes.is_after_hole(number)
        holes.hear(number)


def test_a_number_left_out_is_a_hole(holes: Holes) -> None:
    """Noticed once: from there on all is heard again."""
    assert holes.is_after_hole(9)
    holes.hear(9)

    assert not holes.is_after_hole(10)


@pytest.mark.parametrize("number", [1, 6, 7])
def test_what_is_late_or_repeated_is_no_hole(holes: Holes, number: int) -> None:
    """And does not move the place from which the next is counted."""
    assert not holes.is_after_hole(number)
    holes.hear(number)

    assert holes.heard == 7


def test_what_may_be_under_way_is_not_yet_missed(holes: Holes) -> None:
    """Until the comparison after: by then it must have come."""
    assert not holes.catch_up(8, holes.heard)
    assert holes.catch_up(8, holes.heard)

    assert not holes.catch_up(8, holes.heard)


def test_what_came_in_between_is_not_missed(holes: Holes) -> None:
    """Though Redis has told more by then."""
    holes.catch_up(8, holes.heard)
    holes.hear(8)

    assert not holes.catch_up(12, holes.heard)


def test_a_count_that_began_anew_is_a_hole(holes: Holes) -> None:
    """Numbers are counted from there."""
    assert holes.catch_up(2, holes.heard)

    assert not holes.is_after_hole(3)
    assert holes.is_after_hole(4)


def test_what_is_heard_while_the_count_is_asked_for_is_no_new_beginning(holes: Holes) -> None:
    """The reply is older than the notice that overtook it."""
    before = holes.heard
    holes.hear(8)

    assert not holes.catch_up(7, before)
    assert holes.heard == 8


def test_a_forged_number_costs_one_gap(holes: Holes) -> None:
    """After the next comparison holes are noticed as before."""
    holes.hear(10**15)

    assert holes.catch_up(8, holes.heard)
    assert holes.is_after_hole(10)
