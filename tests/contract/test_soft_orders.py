"""SharedStore: soft orders, which rule out what is stored and leave it for rescue."""

from __future__ import annotations

import pytest

from gateway.core.cache.entry import Entry, Key
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import SharedStore
from tests.contract.test_shared_store import KEY, fetch, floor_of
from tests.doubles.stored import entry_of, version

ELSEWHERE = Key("p2", "trn_1")


async def rescue(store: SharedStore, key: Key = KEY) -> Entry | None:
    """The response that rescues while the upstream fails, which is always asked first."""
    found = await store.lookup(key)
    assert found.floor is not None
    assert found.entry is None or found.entry.is_below(found.floor)
    return found.entry


async def test_what_was_stored_is_below_the_floor(shared_store: SharedStore) -> None:
    """In every partition, and where bodies are kept they are left for rescue."""
    tickets = {key: await shared_store.begin(key) for key in (KEY, ELSEWHERE)}
    for key, ticket in tickets.items():
        await fetch(shared_store, key=key, ticket=ticket)

    await shared_store.invalidate("trn_1", None, soft=True)

    for key, ticket in tickets.items():
        assert entry_of(ticket).is_below(await floor_of(shared_store, key))
        assert (await rescue(shared_store, key) is not None) is shared_store.holds_bodies


async def test_the_next_fetch_renews_it(shared_store: SharedStore) -> None:
    """The version is not forgotten: the same one is no change, and an older one is refused."""
    await fetch(shared_store, version(5))

    await shared_store.invalidate("trn_1", None, soft=True)

    assert (await fetch(shared_store, version(4))).verdict is StoreVerdict.OLDER
    ticket = await shared_store.begin(KEY)
    stored = await fetch(shared_store, version(5), ticket=ticket)
    assert stored.verdict is StoreVerdict.UNCHANGED
    assert not entry_of(ticket, version(5)).is_below(await floor_of(shared_store))


async def test_a_fetch_in_flight_is_refused(shared_store: SharedStore) -> None:
    """It began before the order, and what it brought is still proof of its version."""
    await fetch(shared_store, version(5))
    ticket = await shared_store.begin(KEY)

    await shared_store.invalidate("trn_1", None, soft=True)

    late = await fetch(shared_store, version(6), ticket=ticket)
    assert late.verdict is StoreVerdict.INVALIDATED
    assert (await fetch(shared_store, version(5))).verdict is StoreVerdict.OLDER


async def test_each_fetch_that_fails_leaves_it_for_rescue(shared_store: SharedStore) -> None:
    """However many readers asked in vain, and however often it is ordered again."""
    await fetch(shared_store)

    for _ in range(3):
        await shared_store.invalidate("trn_1", None, soft=True)
        await shared_store.begin(KEY)

    assert (await rescue(shared_store) is not None) is shared_store.holds_bodies


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("order", ["soft first", "hard first"])
async def test_an_order_that_leaves_nothing_wins(
    shared_store: SharedStore, order: str, begun: bool
) -> None:
    """In either order, and whether or not a fetch began between them."""
    await fetch(shared_store)
    for soft in (order == "soft first", order != "soft first"):
        await shared_store.invalidate("trn_1", None, soft=soft)
        if begun:
            await shared_store.begin(KEY)

    assert await rescue(shared_store) is None


async def test_what_was_fetched_between_two_orders_is_left(shared_store: SharedStore) -> None:
    """The first one left nothing, the second is soft and about what came after it."""
    await fetch(shared_store, version(5))
    await shared_store.invalidate("trn_1", None)
    await fetch(shared_store, version(6))

    await shared_store.invalidate("trn_1", None, soft=True)

    left = await rescue(shared_store)
    assert (left is not None) is shared_store.holds_bodies
    assert left is None or left.updated_at == version(6)


@pytest.mark.parametrize(("held", "is_below"), [(9, True), (10, False), (11, False)])
async def test_a_bound_spares_what_is_no_older(
    shared_store: SharedStore, held: int, is_below: bool
) -> None:
    """What is older rescues, an entry of that version or a later one stays fresh."""
    ticket = await shared_store.begin(KEY)
    await fetch(shared_store, version(held), ticket=ticket)

    await shared_store.invalidate("trn_1", version(10), soft=True)

    entry, found = entry_of(ticket, version(held)), await shared_store.lookup(KEY)
    assert found.floor is not None
    assert entry.is_below(found.floor) is is_below
    assert (found.entry is not None) is shared_store.holds_bodies


@pytest.mark.parametrize(
    ("brought", "verdict"),
    [(9, StoreVerdict.OLDER), (10, StoreVerdict.CHANGED), (11, StoreVerdict.CHANGED)],
)
async def test_a_bound_judges_fetches(
    shared_store: SharedStore, brought: int, verdict: StoreVerdict
) -> None:
    """Those in flight as well as later ones; a refused one leaves the rescue as it was."""
    await fetch(shared_store, version(1))
    ticket = await shared_store.begin(KEY)

    await shared_store.invalidate("trn_1", version(10), soft=True)

    assert (await fetch(shared_store, version(brought), ticket=ticket)).verdict is verdict
    if verdict is StoreVerdict.OLDER:
        assert (await fetch(shared_store, version(brought))).verdict is verdict
        left = await rescue(shared_store)
        assert (left is not None) is shared_store.holds_bodies


@pytest.mark.parametrize("later", [9, 10, 11])
async def test_a_bound_that_leaves_nothing_wins(shared_store: SharedStore, later: int) -> None:
    """Also where the soft one asked for the same version, or for a later one."""
    await fetch(shared_store, version(5))
    await shared_store.invalidate("trn_1", version(10), soft=True)

    await shared_store.invalidate("trn_1", version(later))

    assert await rescue(shared_store) is None
    assert (await floor_of(shared_store)).updated_at == version(max(later, 10))


@pytest.mark.parametrize("first", [9, 10])
async def test_a_soft_bound_brings_nothing_back(shared_store: SharedStore, first: int) -> None:
    """What an earlier order left nothing of stays ruled out."""
    await fetch(shared_store, version(5))
    await shared_store.invalidate("trn_1", version(first))

    await shared_store.invalidate("trn_1", version(10), soft=True)
    await shared_store.begin(KEY)
    await shared_store.invalidate("trn_1", None, soft=True)

    assert await rescue(shared_store) is None


async def test_a_hard_order_after_a_soft_purge_leaves_nothing(shared_store: SharedStore) -> None:
    """What the purge kept for rescue goes with the order, before anybody fetches."""
    await fetch(shared_store, version(5))
    await shared_store.purge(None, soft=True)

    await shared_store.invalidate("trn_1", None)

    assert await rescue(shared_store) is None


@pytest.mark.parametrize(("bound", "is_left"), [(4, True), (5, True), (6, False)])
async def test_a_bound_after_a_soft_purge_leaves_what_is_no_older(
    shared_store: SharedStore, bound: int, is_left: bool
) -> None:
    """The purge forgot the version, and the order names one."""
    await fetch(shared_store, version(5))
    await shared_store.purge(None, soft=True)

    await shared_store.invalidate("trn_1", version(bound))

    left = await rescue(shared_store)
    assert (left is not None) is (is_left and shared_store.holds_bodies)
