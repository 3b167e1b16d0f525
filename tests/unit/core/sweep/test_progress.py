"""How far a sweep has come, and how it ended."""

from __future__ import annotations

import pytest

from gateway.core.errors import InvalidPayload
from gateway.core.sweep.belief import Belief
from gateway.core.sweep.progress import Progress, SweepEnd
from gateway.core.upstream.list_page import Page
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import InvalidReason
from tests.doubles.stored import VERSION

FAULT = InvalidPayload(InvalidReason.WRONG_ID, "no id")


def page(*ids: str, total: int = 4, more: bool = True, bad: int = 0) -> Page:
    """A page with these trainings, and so many rows that are none."""
    items = tuple(Training(each, VERSION, "", b"") for each in ids)
    return Page(items, (FAULT,) * bad, len(ids) + bad, total, more)


def swept(*pages: Page, start: Progress | None = None, repeats: bool = False) -> Progress:
    """The progress after these pages."""
    progress = start or Progress()
    for number, each in enumerate(pages):
        progress = progress.after(each, 100.0 + number, repeats=repeats)
    return progress


@pytest.mark.parametrize(
    ("first", "last", "repeats", "end"),
    [
        (page("a", "b"), page("c", "d", more=False), False, SweepEnd.COMPLETE),
        (page("a", "b"), page("c", "d", total=5, more=False), False, SweepEnd.CHANGED),
        (page("a", "b"), page("c", more=False), False, SweepEnd.CHANGED),
        (page("a", "b"), page("b", "c", more=False), True, SweepEnd.REPEATED),
        (page("a", "b", bad=1), page("c", more=False), False, SweepEnd.INVALID),
        (page("a", "b"), page("c", "d"), False, None),
        (page("a", "b"), page(), False, SweepEnd.CHANGED),
        (page("a", "b", bad=2), page("c"), False, SweepEnd.ENDLESS),
    ],
)
def test_a_sweep_is_complete_if_it_met_each_training_once(
    first: Page, last: Page, end: SweepEnd | None, *, repeats: bool
) -> None:
    """Any other end is named. It goes on while pages come, but not beyond the total."""
    assert swept(first, last, repeats=repeats).end(last) is end


def test_the_next_sweep_begins_with_the_first_row() -> None:
    """What spoilt the last one is forgotten; its pages count where there are none yet."""
    ended = swept(page("a", "b", bad=1), page("c")).ended(SweepEnd.INVALID)

    assert (ended.sweeps, ended.offset, ended.spoilt, ended.is_first) == (1, 0, None, False)
    assert (ended.is_complete, swept().ended(SweepEnd.COMPLETE).is_complete) == (False, True)
    assert ended.oldest == 100.0
    assert swept(page("a", "b"), start=ended).oldest == 100.0
    assert swept(page("a"), page("b"), page("c")).oldest == 100.0
    assert Progress().oldest is None


def test_a_refused_list_is_asked_for_again_after_a_minute_and_then_ever_later() -> None:
    """Up to an hour; a page that comes ends it. What looks have shown is kept."""
    progress, pauses = Progress(sweeps=3, failures=2, belief=Belief(agreed=5)), []
    for _ in range(8):
        progress = progress.failed(1_000.0, "status 403")
        pauses.append(progress.next_at - 1_000.0)

    assert pauses == [60.0, 120.0, 240.0, 480.0, 960.0, 1_920.0, 3_600.0, 3_600.0]
    assert (progress.sweeps, progress.belief.agreed) == (3, 5)
    again = swept(page("a"), start=progress)
    assert (again.failures, again.off_why) == (0, "")
