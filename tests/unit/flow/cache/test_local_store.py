"""LocalStore: bounded in bytes, least recently used first; what an entry costs."""

from __future__ import annotations

import gc

import pytest

from gateway.core.cache.entry import Key
from gateway.flow.cache.local_store import LocalStore, cost
from tests.doubles.stored import entry_of, held_of

A, B = Key("p1", "trn_1"), Key("p1", "trn_2")
OTHER = Key("p2", "trn_1")


@pytest.mark.parametrize("size", [1_600, 4_000, 40_000])
def test_an_entry_costs_little_more_than_its_body(size: int) -> None:
    """Half as much again and 1,350 bytes at most."""
    fields = tuple((b"x-header-%d" % n, b"some value %d" % n) for n in range(3))
    entry = entry_of(body=b"x" * size, headers=fields)

    assert cost(Key("0" * 32, "trn_0123456789"), held_of(entry)) <= 1.5 * size + 1350


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
    store = LocalStore(20_000, lambda: evicted.append(1))
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
    key, store = Key("p", "t"), LocalStore(20_000, lambda: None)
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
    store = LocalStore(10_000_000, lambda: None)
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


@pytest.fixture
def local_store() -> LocalStore:
    """L1 with room for a few entries."""
    return LocalStore(20_000, lambda: None)


def fill(store: LocalStore, *keys: Key) -> None:
    """Hold something small under each."""
    for key in keys:
        store.put(key, held_of(entry_of()))


def test_an_empty_store_holds_nothing(local_store: LocalStore) -> None:
    """Nothing is found, nothing counted."""
    assert local_store.get(A) is None
    assert local_store.peek(A) is None
    assert (local_store.entries, local_store.size, local_store.keys()) == (0, 0, [])


def test_what_was_put_is_found_as_it_is(local_store: LocalStore) -> None:
    """The same object comes back, by both ways of asking."""
    held = held_of(entry_of())

    local_store.put(A, held)

    assert local_store.get(A) is held
    assert local_store.peek(A) is held
    assert local_store.get(OTHER) is None


def test_a_second_put_replaces_the_first(local_store: LocalStore) -> None:
    """One key holds one entry, and only that one is accounted for."""
    local_store.put(A, held_of(entry_of(body=b"x" * 5_000)))
    local_store.put(A, held_of(entry_of(body=b"")))

    assert local_store.entries == 1
    assert local_store.size < 5_000


def test_the_size_never_exceeds_the_bound(local_store: LocalStore) -> None:
    """However much is put, the account stays below what was allowed."""
    for number in range(100):
        local_store.put(Key("p1", f"trn_{number}"), held_of(entry_of(body=b"x" * 900)))
        assert local_store.size <= 20_000

    assert 0 < local_store.entries < 100


def test_the_least_recently_used_goes_first(local_store: LocalStore) -> None:
    """What was read lately stays, what was merely put earlier goes."""
    fill(local_store, A, B)
    local_store.get(A)

    while local_store.peek(B) is not None:
        fill(local_store, Key("p3", f"trn_{local_store.entries}"))

    assert local_store.peek(A) is not None


def test_peeking_changes_no_order(local_store: LocalStore) -> None:
    """An entry that was only peeked at is as old as before."""
    fill(local_store, A, B)
    local_store.peek(A)

    while A in local_store.keys(A.partition):
        fill(local_store, Key("p3", f"trn_{local_store.entries}"))

    assert local_store.peek(B) is not None


def test_what_exceeds_the_bound_alone_is_not_held(local_store: LocalStore) -> None:
    """Nor is what it was to replace, which is old; the others stay."""
    fill(local_store, A, B)

    local_store.put(A, held_of(entry_of(body=b"x" * 30_000)))

    assert local_store.keys() == [B]


def test_dropping_tells_whether_anything_was_held(local_store: LocalStore) -> None:
    """True once, then False; the bytes are given back."""
    fill(local_store, A)

    assert local_store.drop(A) is True
    assert local_store.drop(A) is False
    assert local_store.size == 0


def test_keys_are_narrowed_down(local_store: LocalStore) -> None:
    """By partition, by training, by both."""
    fill(local_store, A, B, OTHER)

    assert set(local_store.keys()) == {A, B, OTHER}
    assert set(local_store.keys(partition="p1")) == {A, B}
    assert set(local_store.keys(training_ids={"trn_1"})) == {A, OTHER}
    assert set(local_store.keys(training_ids={"trn_1", "trn_2"})) == {A, B, OTHER}
    assert local_store.keys("p2", {"trn_1"}) == [OTHER]


def test_what_takes_another_s_place_is_as_recently_used_as_that(local_store: LocalStore) -> None:
    """To renew is not to read: the one that nobody asked for goes first all the same."""
    fill(local_store, A, B)
    held = held_of(entry_of())

    local_store.replace(A, held)

    assert local_store.peek(A) is held
    while local_store.peek(B) is not None:
        assert local_store.entries > 1
        local_store.put(Key("p1", f"trn_{local_store.entries}x"), held_of(entry_of()))
        if local_store.peek(A) is None:
            break
    assert local_store.peek(A) is None


def test_what_exceeds_the_bound_does_not_take_a_place(local_store: LocalStore) -> None:
    """What was there is gone too, since it is outdated."""
    fill(local_store, A, B)

    local_store.replace(A, held_of(entry_of(body=b"x" * 30_000)))

    assert (local_store.peek(A), local_store.entries) == (None, 1)


def test_reads_are_counted_on_for_the_key(local_store: LocalStore) -> None:
    """Whatever takes its place."""
    fill(local_store, A)
    held = local_store.get(A)
    assert held is not None
    held.reads = 7

    local_store.put(A, held_of(entry_of()))
    again = held_of(entry_of())
    local_store.replace(A, again)

    assert again.reads == 7


def test_what_is_offered_is_held_where_there_is_room(local_store: LocalStore) -> None:
    """It pushes nobody out, takes nobody's place, and is the first to go."""
    fill(local_store, A)

    assert local_store.offer(B, held_of(entry_of()))
    assert not local_store.offer(A, held_of(entry_of()))
    assert not local_store.offer(OTHER, held_of(entry_of(body=b"x" * 18_500)))
    while local_store.peek(B) is not None:
        local_store.put(Key("p1", f"trn_x{local_store.entries}"), held_of(entry_of()))
    assert local_store.peek(A) is not None


def test_the_last_used_come_first(local_store: LocalStore) -> None:
    """So many as are asked for."""
    fill(local_store, A, B, OTHER)
    local_store.get(A)

    assert local_store.last_used(2) == [A, OTHER]
    assert local_store.last_used(9) == [A, OTHER, B]
