"""progress: where a sweep stands, and which ones saw everybody."""

from __future__ import annotations

from gateway.core.sweep.progress import Progress, is_last
from gateway.core.upstream.list_page import Page
from gateway.core.upstream.training import Training
from tests.doubles.stored import VERSION


def page(*ids: str, total: int = 4, more: bool = True, bad: int = 0) -> Page:
    """A page with these trainings."""
    items = tuple(Training(each, VERSION, "", b"") for each in ids)
    return Page(items, (), len(ids) + bad, total, more)


def swept(*pages: Page, start: Progress = Progress()) -> Progress:  # noqa: B008 - a value
    """Where it stands after these, ten seconds apart."""
    progress = start
    for number, each in enumerate(pages):
        progress = progress.after(each, 100.0 + 10.0 * number)
    return progress


def test_pages_follow_each_other() -> None:
    """By the rows that came, whether they could be read or not."""
    progress = swept(page("a", "b", bad=1), page("c"))

    assert progress.offset == 4
    assert progress.last_id == "c"
    assert progress.pages == (100.0, 110.0)


def test_a_sweep_that_agrees_with_itself_is_complete() -> None:
    """As many different trainings as there are, and as many all the while."""
    progress = swept(page("a", "b"), page("c", "d", more=False))

    assert progress.is_complete(4)
    assert not progress.is_complete(3)
    ended = progress.ended(complete=True)
    assert (ended.sweeps, ended.offset) == (1, 0)
    assert not ended.is_warm


def test_a_total_that_moved_leaves_it_open_who_was_missed() -> None:
    """Even if it moved back."""
    progress = swept(page("a", "b"), page("c", total=3), page("d", more=False))

    assert not progress.is_complete(4)
    after = progress.ended(complete=False)
    assert swept(page("a", "b"), page("c", "d", more=False), start=after).is_complete(4)


def test_an_item_that_could_not_be_read_does_too() -> None:
    """It may be anybody."""
    from dataclasses import replace

    from gateway.core.errors import InvalidPayload
    from gateway.core.vocabulary import InvalidReason

    bad = InvalidPayload(InvalidReason.NOT_JSON, "no")
    spoilt = replace(page("a", "b"), rejected=(bad,))

    assert not swept(spoilt, page("c", "d", more=False)).is_complete(4)


def test_the_oldest_confirmation_is_of_the_page_that_is_next() -> None:
    """What this sweep has not reached, the one before vouched for."""
    assert Progress().oldest is None
    first = swept(page("a", "b"), page("c", "d", more=False)).ended(complete=True)
    assert first.oldest == 100.0

    second = first.after(page("a", "b"), 120.0)
    assert second.oldest == 110.0

    assert second.after(page("c", "d", more=False), 130.0).oldest == 120.0


def test_a_list_that_shrank_leaves_nothing_behind() -> None:
    """Pages that are no more are nobody's."""
    long = swept(page("a"), page("b"), page("c", more=False)).ended(complete=True)
    short = long.after(page("a", more=False), 130.0).ended(complete=True)

    assert short.oldest == 130.0


def test_off_it_vouches_for_nothing() -> None:
    """And remembers why, for whoever leads next."""
    off = swept(page("a")).off("status 403", 3_700.0)

    assert off.oldest is None
    assert (off.off_why, off.off_until, off.offset) == ("status 403", 3_700.0, 0)
    refused = off.off("status 403", 3_700.0, refused_at=100.0)
    assert (refused.refused_at, refused.after(page("a"), 130.0).refused_at) == (100.0, 0.0)


def test_two_sweeps_in_a_row_prove_that_the_list_vouches_for_all() -> None:
    """Those of a cold start do not count; one that missed somebody, or a list that was left
    alone, begins anew."""
    cold = Progress().ended(complete=True).ended(complete=True)
    once = cold.ended(complete=True)
    twice = once.ended(complete=True)

    assert [each.is_proven for each in (cold, once, twice)] == [False, False, True]
    assert not twice.ended(complete=False).ended(complete=True).is_proven
    assert not twice.off("status 403", 3_700.0).is_proven


def test_a_sweep_ends_where_nothing_more_comes() -> None:
    """An upstream that promises more and gives nothing is not asked for ever."""
    assert is_last(page("a", more=False))
    assert is_last(page(more=True))
    assert not is_last(page("a", more=True))
