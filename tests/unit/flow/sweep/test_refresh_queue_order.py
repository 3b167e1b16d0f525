"""What a refresh is worth, as a number to compare: the queue has the most wanted first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.instant import from_seconds
from gateway.flow.sweep.refresh_queue import expected_staleness, reads_a_second
from tests.doubles.stored import TICKET, entry_of

SENT = TICKET.started
seconds = st.integers(2, 100_000)
reads = st.integers(1, 1_000)


def worth(reads: int, age: float, unchanged_for: float) -> float:
    """Of what was read so often since it was confirmed, so long ago, and changed before that."""
    entry = entry_of(updated_at=from_seconds(SENT - unchanged_for))
    return expected_staleness(entry, reads, SENT + age)


@given(reads, seconds, seconds)
def test_no_more_reads_are_outdated_than_there_are(reads: int, age: int, unchanged: int) -> None:
    """And what is never read is worth nothing."""
    assert 0.0 < worth(reads, age, unchanged) <= reads / age
    assert worth(0, age, unchanged) == 0.0


@given(reads, seconds, seconds)
def test_what_is_read_more_is_worth_more(reads: int, age: int, unchanged: int) -> None:
    """By as much."""
    assert worth(2 * reads, age, unchanged) == 2 * worth(reads, age, unchanged)


@given(reads, seconds, seconds)
def test_what_changed_later_is_worth_more(reads: int, age: int, unchanged: int) -> None:
    """It changes more often."""
    assert worth(reads, age, unchanged // 2) >= worth(reads, age, unchanged)


@given(seconds, seconds)
def test_at_the_same_pace_of_reads_the_older_one_is_worth_more(age: int, unchanged: int) -> None:
    """It may have changed longer."""
    assert worth(2 * age, 2 * age, unchanged) >= worth(age, age, unchanged)


def test_of_what_has_no_version_nothing_is_known() -> None:
    """It counts as changed; so does a version from the future, which cannot be said to stand."""
    entry = entry_of(updated_at=None)

    assert expected_staleness(entry, 10, SENT + 100.0) == 0.1
    ahead = entry_of(updated_at=from_seconds(SENT + 500.0))
    assert expected_staleness(ahead, 10, SENT + 100.0) > 0.099


@given(reads, seconds, seconds)
def test_what_has_changed_for_sure_is_worth_its_reads(reads: int, age: int, unchanged: int) -> None:
    """And no less than what may have changed."""
    entry = entry_of(updated_at=from_seconds(SENT - unchanged))

    assert reads_a_second(entry, reads, SENT + age) == reads / age
    assert reads_a_second(entry, reads, SENT + age) >= worth(reads, age, unchanged)
