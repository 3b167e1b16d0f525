"""Record: eras, which tell apart what orders ruled out and what was forgotten or taken back."""

from __future__ import annotations

import pytest

from gateway.adapters.ledger.floors import Record
from gateway.core.cache.entry import ERA, Entry, Ticket
from gateway.core.instant import Instant
from tests.doubles.stored import entry_of, version

EPOCH = "e" * 16
KNOWN, LATER = version(2), version(8)
FAR = Instant(200_000_000_000_000_000_000)  # in the year 8307


def record(generation: int) -> Record:
    """One that knows the second version."""
    return Record(epoch=EPOCH, generation=generation, updated_at=KNOWN)


def brought(generation: int, updated_at: Instant | None = LATER, epoch: str = EPOCH) -> Entry:
    """What a fetch brought that began then."""
    return entry_of(Ticket(epoch, generation, 1_700_000_000.0), updated_at)


@pytest.mark.parametrize(
    ("entry", "known"),
    [
        (brought(ERA), LATER),
        (brought(ERA, version(1)), KNOWN),
        (brought(ERA, None), KNOWN),
        (brought(ERA - 1), KNOWN),
        (brought(ERA, epoch="f" * 16), KNOWN),
        (brought(ERA, FAR), KNOWN),
    ],
)
def test_what_proves_a_version(entry: Entry, known: Instant) -> None:
    """A later one of the same era and epoch, unless it is far ahead."""
    one = record(ERA + 3)

    one.learn_of(entry)

    assert one.updated_at == known


def test_forgetting_begins_an_era() -> None:
    """Whatever the generation was."""
    one = record(ERA + 3)

    one.forget(0.0)

    assert (one.generation, one.updated_at) == (2 * ERA, None)
