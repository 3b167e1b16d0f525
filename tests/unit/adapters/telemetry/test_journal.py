from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from gateway.adapters.telemetry.counters import Counters
from gateway.adapters.telemetry.event_log import (
    EVENTS_OF_ONE,
    EVERYBODY,
    MOST_EVENTS,
    Events,
    Journal,
)
from gateway.adapters.telemetry.observer import SweepTelemetry, Telemetry
from gateway.core.cache.entry import Key
from gateway.core.sweep.list_item import ListVerdict
from gateway.core.vocabulary import NotStoredReason, Purpose, StoreVerdict
from tests.unit.adapters.telemetry.stand_ins import ListLog, ManualClock

KEY = Key("p", "a")


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
    """Not more events than it may remember. One that repeats is an event too."""
    journal = Journal(ManualClock(), most=2)
    for each in ("a", "b", "a", "c"):
        journal.note(each, "entry.fetched")

    assert [told(journal, each) for each in "abc"] == [["entry.fetched"], [], ["entry.fetched"]]
    journal.note("c", "fetch.failed")
    assert [told(journal, each) for each in "ac"] == [[], ["fetch.failed", "entry.fetched"]]


def test_a_sweep_displaces_no_training() -> None:
    """A sweep meets more trainings than there is room for. The events of a fetch stay."""
    telemetry = Telemetry(ManualClock())
    telemetry.fetched(Key("p", "read"), Purpose.MISS, 200, StoreVerdict.FIRST)

    for number in range(20_000):
        telemetry.sweeps.swept(Key("p", f"id-{number}"), ListVerdict.CONFIRMED)

    telemetry.sweeps.swept(Key("p", "read"), ListVerdict.CONFIRMED)
    assert told(telemetry.journal, "read") == ["entry.fetched"]
    assert told(telemetry.journal, "id-0") == ["entry.swept"]
    assert told(telemetry.journal, f"id-{MOST_EVENTS - 2}") == ["entry.swept"]
    assert told(telemetry.journal, f"id-{MOST_EVENTS - 1}") == []


def test_a_sweep_keeps_no_training_in_the_journal() -> None:
    """A purge is still told when trainings of the list had only sweeps since."""
    journal = Journal(ManualClock(), most=11)
    sweeps = SweepTelemetry(Counters(), Events(ManualClock(), ListLog()), journal)
    for number in range(10):
        sweeps.swept(Key("p", f"id-{number}"), ListVerdict.CONFIRMED)
    journal.note(EVERYBODY, "entry.purged")
    for number in range(10):
        sweeps.swept(Key("p", f"id-{number}"), ListVerdict.CONFIRMED)
    assert [each.times for each in journal.of("id-0") if each.partition] == [2]

    for number in range(10):
        journal.note(f"new-{number}", "entry.fetched", "p")

    assert told(journal, "id-9") == ["entry.purged"]


def test_a_full_journal_takes_some_ten_million_bytes() -> None:
    """Whether each training has one event, or some have many."""
    for of_one in (1, EVENTS_OF_ONE):
        journal = Journal(ManualClock())
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(MOST_EVENTS):
            said = f"{number}!" * 9
            journal.note(f"id-{number // of_one}", "fetch.failed", "p", status=number, why=said)
        taken = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert taken <= 12_000_000


def test_no_credential_is_remembered() -> None:
    """An error's text may quote one."""
    journal = Journal(ManualClock())

    journal.note("a", "fetch.failed", why="https://user:secret@host said Bearer abc")

    assert "secret" not in str(journal.of("a"))
    assert "abc" not in str(journal.of("a"))


VERBS: list[tuple[Callable[[Telemetry], None], str, dict[str, object]]] = [
    (
        lambda it: it.fetched(KEY, Purpose.MISS, 200, StoreVerdict.FIRST),
        "entry.fetched",
        {"purpose": Purpose.MISS, "status": 200, "verdict": StoreVerdict.FIRST},
    ),
    (
        lambda it: it.fetched(KEY, Purpose.MISS, 403, None),
        "entry.fetched",
        {"purpose": Purpose.MISS, "status": 403},
    ),
    (
        lambda it: it.fetched(KEY, Purpose.REFRESH, 200, NotStoredReason.OLDER_VERSION),
        "entry.not-stored",
        {"purpose": Purpose.REFRESH, "status": 200, "reason": NotStoredReason.OLDER_VERSION},
    ),
    (
        lambda it: it.noted(KEY, "fetch.failed", purpose=Purpose.MISS, why="status 502"),
        "fetch.failed",
        {"purpose": Purpose.MISS, "why": "status 502"},
    ),
    (lambda it: it.sweeps.swept(KEY, "unchanged"), "entry.swept", {"found": "unchanged"}),
]


@pytest.mark.parametrize(("tell", "event", "fields"), VERBS)
def test_each_verb_is_remembered(
    tell: Callable[[Telemetry], None], event: str, fields: dict[str, object]
) -> None:
    """Under its training, with its partition and what is known; what is not is left out."""
    telemetry = Telemetry(ManualClock())

    tell(telemetry)

    (noted,) = telemetry.journal.of("a")
    assert (noted.event, noted.partition, noted.fields) == (event, "p", fields)
