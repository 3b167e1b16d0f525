"""MemoryStore: what an entry is said to cost, and who is told of evictions."""

from __future__ import annotations

import gc

import pytest

from gateway.adapters.memory import MemoryStore, cost
from gateway.core.cache.entry import Key
from tests.doubles.stored import entry_of, held_of


@pytest.mark.parametrize("size", [1_600, 4_000, 40_000])
def test_an_entry_costs_little_more_than_its_body(size: int) -> None:
    """Half as much again and one KiB at most."""
    fields = tuple((b"x-header-%d" % n, b"some value %d" % n) for n in range(3))
    entry = entry_of(body=b"x" * size, headers=fields)

    assert cost(Key("0" * 32, "trn_0123456789"), held_of(entry)) <= 1.5 * size + 1024


def test_what_all_answers_have_alike_is_not_counted() -> None:
    """One object serves them all; any other field is this entry's own, and stands in its head."""
    key, long = Key("p", "t"), b"v" * 1_000
    bare, alike, own = (
        cost(key, held_of(entry_of(body=b"", headers=fields)))
        for fields in ((), ((b"server", long),), ((b"x", long),))
    )

    assert 1_000 < alike - bare < 1_020
    assert 2_000 < own - bare < 2_200


def test_what_a_request_was_stored_with_is_counted() -> None:
    """With `Vary`, the caller's own fields are kept, and may be as long as a head."""
    bare, long = (
        held_of(entry_of().but(selecting=((b"x-app", each),))) for each in (b"", b"v" * 9_000)
    )

    assert cost(Key("p", "t"), long) - cost(Key("p", "t"), bare) == 9_000


def test_an_eviction_is_told() -> None:
    """Once for each entry that goes for space, and for nothing else."""
    evicted = []
    store = MemoryStore(20_000, lambda: evicted.append(1))
    for number in range(20):
        store.put(Key("p", f"trn_{number}"), held_of(entry_of()))
    assert len(evicted) == 20 - store.entries

    evicted.clear()
    store.put(Key("p", "trn_19"), held_of(entry_of()))
    store.drop(Key("p", "trn_19"))
    for key in list(store.keys()):
        store.drop(key)

    assert evicted == []


@pytest.mark.parametrize("replaces", [False, True])
def test_reads_are_counted_on_and_since_it_was_confirmed(replaces: bool) -> None:
    """Whatever takes its place under the key; what is not confirmed anew goes on as it was."""
    key, store = Key("p", "t"), MemoryStore(20_000, lambda: None)
    store.put(key, first := held_of(entry_of()))
    first.reads = 3
    again = first.but(entry=first.entry.but(date="later"), reads=0)
    later = first.but(entry=first.entry.but(confirmed_at=first.entry.confirmed_at + 1.0), reads=0)
    counts = []

    for held in (again, later):
        (store.replace if replaces else store.put)(key, held)
        counts.append((held.reads, held.reads_since))
        held.reads += 1
    store.put(key, later)

    assert counts == [(3, 3), (4, 0)]
    assert (later.reads, later.reads_since) == (5, 1)


def test_the_collector_of_cycles_sees_nothing_of_what_is_held() -> None:
    """Each full collection would stop everything for as long as it takes to look at it all."""
    store = MemoryStore(10_000_000, lambda: None)
    gc.collect()
    before = len(gc.get_objects())

    for number in range(2_000):
        held = held_of(entry_of(headers=((b"x-number", b"%d" % number),)))
        held.coded = held.but(head=b"")
        store.put(Key("p", f"t{number}"), held)
    del held
    gc.collect()
    more = len(gc.get_objects()) - before

    assert store.entries == 2_000
    assert more < 1_000  # two thousand and more where it sees them; others come and go
