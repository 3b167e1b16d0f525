from __future__ import annotations

import tracemalloc

from gateway.adapters.telemetry.event_log import (
    EVENTS_OF_ONE,
    EVERYBODY,
    MOST_BYTES,
    Journal,
    Trail,
)
from gateway.core.cache.entry import Key
from gateway.core.sweep.list_item import ListVerdict
from gateway.core.vocabulary import Purpose, StoreVerdict
from tests.unit.adapters.telemetry.stand_ins import ManualClock


def told(journal: Journal, training_id: str, partition: str | None = None) -> list[str]:
    """The events' names, the newest first."""
    return [noted.event for noted in journal.of(training_id, partition)]


def test_the_last_events_are_told_the_newest_first() -> None:
    """Twenty of them, with what was said and when."""
    clock = ManualClock()
    journal = Journal(clock)

    for number in range(EVENTS_OF_ONE + 5):
        clock.time += 1.0
        journal.note("a", "entry.fetched", "p", status=number, reason=None)

    found = journal.of("a")
    assert [noted.fields for noted in found] == [{"status": n} for n in range(24, 4, -1)]
    assert (found[0].first, found[0].partition) == (1_025.0, "p")


def test_what_repeats_is_counted() -> None:
    """A training revalidated all day keeps room for what is news."""
    clock = ManualClock()
    journal = Journal(clock)
    for _ in range(100):
        clock.time += 1.0
        journal.note("a", "entry.fetched", "p", verdict="unchanged")
    journal.note("a", "entry.fetched", "p", verdict="changed")

    last, before = journal.of("a")

    assert last.times == 1
    assert (before.times, before.first, before.last) == (100, 1_001.0, 1_100.0)


def test_another_partition_is_another_story() -> None:
    """Where one is named, the others' events are left out, and what concerns all is not."""
    journal = Journal(ManualClock())
    journal.note("a", "entry.fetched", "p")
    journal.note("a", "fetch.failed", "q")
    journal.note(EVERYBODY, "entry.invalidated")

    assert sorted(told(journal, "a", "p")) == ["entry.fetched", "entry.invalidated"]
    assert len(told(journal, "a")) == 3
    assert told(journal, "b") == ["entry.invalidated"]


def test_the_training_that_nothing_happens_to_is_forgotten_first() -> None:
    """Not more trainings than it may remember."""
    journal = Journal(ManualClock(), most_ids=2)
    for each in ("a", "b", "a", "c"):
        journal.note(each, "entry.fetched")

    assert (len(journal._trainings), told(journal, "b")) == (2, [])
    assert journal.knows_or_has_room("a")
    assert not journal.knows_or_has_room("b")


def test_bytes_are_bounded_whatever_is_said() -> None:
    """Long words count; what is forgotten gives its bytes back."""
    journal = Journal(ManualClock(), most_bytes=100_000)

    for number in range(2_000):
        journal.note(f"id-{number % 500}", "fetch.failed", why=f"{number}" * 100)

    assert 0 < journal.size <= 100_000
    assert 10 < len(journal._trainings) < 500
    assert journal.size == sum(kept.cost for kept in journal._trainings.values())


def test_a_sweep_displaces_no_training() -> None:
    """A sweep meets more trainings than there are bytes for. The events of a fetch stay."""
    trail = Trail(ManualClock())
    trail.fetched(Key("p", "read"), Purpose.MISS, 200, StoreVerdict.FIRST)

    for number in range(20_000):
        trail.swept(Key("p", f"id-{number}"), ListVerdict.CONFIRMED)

    assert told(trail.journal, "read") == ["entry.fetched"]
    assert trail.journal.size > 0.99 * MOST_BYTES
    assert told(trail.journal, "id-0") == ["entry.swept"]


def test_a_sweep_keeps_no_training_in_the_journal() -> None:
    """A purge is still told when trainings of the list had only sweeps since."""
    trail = Trail(ManualClock())
    for number in range(10):
        trail.swept(Key("p", f"id-{number}"), ListVerdict.CONFIRMED)
    trail.note(EVERYBODY, "entry.purged", None)
    for number in range(10):
        trail.swept(Key("p", f"id-{number}"), ListVerdict.CONFIRMED)

    assert list(trail.journal._trainings)[-1] == EVERYBODY
    assert trail.journal.of("id-0")[0].times == 2


def test_what_it_counts_is_what_it_takes() -> None:
    """The estimate is not below the truth, nor twice as much."""
    journal = Journal(ManualClock())
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1_000):
            for status in range(EVENTS_OF_ONE):
                journal.note(
                    f"id-{number}", "fetch.failed", "p", status=status, why=f"{number}!" * 9
                )
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert taken <= journal.size <= 2 * taken


def test_no_credential_is_remembered() -> None:
    """An error's text may quote one."""
    journal = Journal(ManualClock())

    journal.note("a", "fetch.failed", why="https://user:secret@host said Bearer abc")

    assert "secret" not in str(journal.of("a"))
    assert "abc" not in str(journal.of("a"))
