"""A stored response: its age, whether it is fresh, and when the list confirmed it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cache.entry import Entry, FetchStart
from gateway.core.cache.marks import CLOCK_TOLERANCE
from gateway.core.instant import from_seconds
from tests.doubles.stored import START, WORDS, entry_of, version

SENT = 1_000.0


def at(started: float, updated_at: int | None = 0) -> Entry:
    """An entry of that version from a fetch that began then; no version: a negative one."""
    version_then = None if updated_at is None else version(updated_at)
    return entry_of(FetchStart(started, WORDS), version_then)


def aged(lifetime: float, initial_age: float = 0.0) -> Entry:
    """An entry confirmed at SENT with that lifetime, in seconds."""
    return at(SENT).but(freshness_lifetime=lifetime, initial_age=initial_age)


def test_age_counts_from_the_call_that_confirmed_it() -> None:
    """Time since the call was sent, whichever tier it was spent in, and the upstream's Age."""
    assert aged(30.0).age(SENT + 12.5) == 12.5
    assert aged(30.0, initial_age=20.0).age(SENT + 12.5) == 32.5


@given(st.integers(-5, 5), st.integers(0, 5))
def test_age_is_never_below_what_the_upstream_reported(passed: int, reported: int) -> None:
    """A clock that lags makes nothing younger than it was when it came."""
    assert aged(30.0, float(reported)).age(SENT + passed) == max(0, passed) + reported


@pytest.mark.parametrize(("passed", "fresh"), [(0.0, True), (29.75, True), (30.0, False)])
def test_fresh_is_younger_than_its_lifetime(passed: float, fresh: bool) -> None:
    """The lifetime's last moment is not part of it."""
    assert aged(30.0).is_fresh(SENT + passed) is fresh


def test_reported_age_is_part_of_the_lifetime() -> None:
    """What aged in a cache of the upstream is fresh for the rest only."""
    assert aged(30.0, initial_age=29.0).is_fresh(SENT + 0.5)
    assert not aged(30.0, initial_age=29.0).is_fresh(SENT + 1.0)


def test_clocks_may_differ_a_little() -> None:
    """Another replica's entry from the near future is fresh, one from further ahead never."""
    entry = aged(30.0)

    assert entry.is_fresh(SENT - CLOCK_TOLERANCE)
    assert not entry.is_from_the_future(SENT - CLOCK_TOLERANCE)
    assert not entry.is_fresh(SENT - CLOCK_TOLERANCE - 0.25)
    assert entry.is_from_the_future(SENT - CLOCK_TOLERANCE - 0.25)


def test_reported_age_hides_no_clock_set_back() -> None:
    """An entry from an hour ahead is not fresh for the Age that came with it."""
    assert not aged(7200.0, initial_age=3600.0).is_fresh(SENT - 3600.0)


@given(st.floats(-2.0, 2.0))
def test_no_lifetime_is_never_fresh(passed: float) -> None:
    """A lifetime of zero holds in spite of the tolerance for clocks."""
    assert not aged(0.0).is_fresh(SENT + passed)


def test_only_what_has_no_version_is_negative() -> None:
    """The remembered 404 is told by its missing version, not by its status."""
    assert at(SENT, None).is_negative
    assert not at(SENT).is_negative


@pytest.mark.parametrize(("seconds", "is_ahead"), [(-1, False), (300, False), (300.001, True)])
def test_a_version_is_ahead_beyond_five_minutes(seconds: float, is_ahead: bool) -> None:
    """Counted from when the call was sent."""
    entry = entry_of(START, from_seconds(START.started + seconds))

    assert entry.is_ahead is is_ahead


def test_a_negative_entry_is_not_ahead() -> None:
    """It has no version."""
    assert not entry_of(START, None).is_ahead


def test_a_page_of_the_list_renews() -> None:
    """Date and age are those of the page. An earlier page changes nothing."""
    entry = aged(30.0, initial_age=5.0)

    renewed = entry.renewed_by(replace(entry.facts, confirmed=SENT + 20.0))

    assert renewed.age(SENT + 30.0) == 10.0
    assert (renewed.started, renewed.ticket) == (SENT, entry.ticket)
    assert renewed.date == "Thu, 01 Jan 1970 00:17:00 GMT"
    assert entry.renewed_by(replace(entry.facts, confirmed=SENT)) is entry
