"""How far a sweep has come, and how it ended."""

from __future__ import annotations

import pytest

from gateway.core.errors import InvalidPayload
from gateway.core.sweep.belief import Belief
from gateway.core.sweep.progress import Progress, SweepEnd, is_last
from gateway.core.upstream.list_page import Page
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import InvalidReason
from tests.doubles.stored import VERSION

FAULT = InvalidPayload(InvalidReason.WRONG_ID, "no id")


def page(*ids: str, total: int = 4, more: bool = True, bad: int = 0) -> Page:
    """A page with these trainings, and so many rows that are none."""
    items = tuple(Training(each, VERSION, "", b"") for each in ids)
    return Page(items, (FAULT,) * bad, len(ids) + bad, total, more)


def swept(*pages: tuple[Page, int], start: Progress | None = None) -> Progress:
    """The progress after these pages; beside each, how many trainings are new."""
    progress = start or Progress()
    for number, (each, new) in enumerate(pages):
        progress = progress.after(each, 100.0 + number, new)
    return progress


@pytest.mark.parametrize(
    ("pages", "end"),
    [
        ([(page("a", "b"), 2), (page("c", "d"), 2)], SweepEnd.COMPLETE),
        ([(page("a", "b"), 2), (page("c", "d", total=5), 2)], SweepEnd.CHANGED),
        ([(page("a", "b"), 2), (page("c"), 1)], SweepEnd.CHANGED),
        ([(page("a", "b"), 2), (page("b", "c"), 1)], SweepEnd.REPEATED),
        ([(page("a", "b", bad=1), 2), (page("c"), 1)], SweepEnd.INVALID),
    ],
)
def test_a_sweep_is_complete_if_it_met_each_training_once(
    pages: list[tuple[Page, int]], end: SweepEnd
) -> None:
    """Any other end is named."""
    progress = swept(*pages)

    assert progress.end() is end
    assert progress.ended(end).is_complete is (end is SweepEnd.COMPLETE)


def test_the_next_sweep_begins_with_the_first_row() -> None:
    """What spoilt the last one is forgotten; its pages count where there are none yet."""
    ended = swept((page("a", "b", bad=1), 2), (page("c"), 1)).ended(SweepEnd.INVALID)

    assert (ended.sweeps, ended.offset, ended.spoilt, ended.is_first) == (1, 0, None, False)
    assert ended.oldest == 100.0
    assert swept((page("a", "b"), 2), start=ended).oldest == 100.0
    assert swept((page("a"), 1), (page("b"), 1), (page("c"), 1)).oldest == 100.0
    assert Progress().oldest is None


@pytest.mark.parametrize(
    ("offset", "more", "new", "is_endless"),
    [(100, page("a"), 0, True), (100, page("a"), 1, False), (10_000, page("b"), 1, True)],
)
def test_a_list_without_an_end_is_left(offset: int, more: Page, new: int, is_endless: bool) -> None:
    """If a page brings nothing new, or if there are far more rows than the list states."""
    assert Progress(offset=offset, met=1).is_endless(more, new) is is_endless


def test_a_refused_list_is_asked_for_again_after_a_minute_and_then_ever_later() -> None:
    """Up to an hour; a page that comes ends it. What looks have shown is kept."""
    progress, pauses = Progress(sweeps=3, belief=Belief(agreed=5)), []
    for _ in range(8):
        progress = progress.off("status 403", 1_000.0)
        pauses.append(progress.off_until - 1_000.0)

    assert pauses == [60.0, 120.0, 240.0, 480.0, 960.0, 1_920.0, 3_600.0, 3_600.0]
    assert (progress.sweeps, progress.belief.agreed) == (3, 5)
    again = swept((page("a"), 1), start=progress)
    assert (again.refusals, again.off_until, again.off_why) == (0, 0.0, "")


def test_the_last_page_says_so_or_has_no_rows() -> None:
    """The offset would not change any more."""
    assert is_last(page("a", more=False))
    assert is_last(page(more=True))
    assert not is_last(page("a", more=True))
