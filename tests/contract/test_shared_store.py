"""SharedStore: what is stored, and what is refused; the ledger and Redis alike."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.cache.entry import Floor, Key, Ticket
from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import SharedStore, Stored
from tests.doubles.stored import VERSION, entry_of, version

KEY = Key("p1", "trn_1")
KEEP = 60.0


async def fetch(
    store: SharedStore,
    updated_at: Instant | None = VERSION,
    *,
    key: Key = KEY,
    body: bytes | None = None,
    ticket: Ticket | None = None,
) -> Stored:
    """Store what a fetch brought that began with the ticket, or now."""
    if ticket is None:
        ticket = await store.begin(key)
    return await store.store(key, entry_of(ticket, updated_at, body), KEEP)


async def floor_of(store: SharedStore, key: Key = KEY) -> Floor:
    """The floor, which must be known."""
    floor = (await store.lookup(key)).floor
    assert floor is not None
    return floor


async def test_it_is_up(shared_store: SharedStore) -> None:
    """A store that answers says so."""
    assert shared_store.is_up


async def test_a_key_never_seen_is_unknown(shared_store: SharedStore) -> None:
    """No body, and no floor either: unknown is not zero."""
    found = await shared_store.lookup(KEY)

    assert found.entry is None
    assert found.floor is None


async def test_a_fetch_that_begins_makes_the_floor(shared_store: SharedStore) -> None:
    """The floor has the ticket's epoch and generation, and no version yet."""
    ticket = await shared_store.begin(KEY)

    floor = await floor_of(shared_store)

    assert (floor.epoch, floor.generation) == (ticket.epoch, ticket.generation)
    assert (floor.updated_at, floor.digest, floor.started) == (None, "", 0.0)


async def test_fetches_share_the_generation_and_differ_in_time(shared_store: SharedStore) -> None:
    """Two fetches at once may both store; which began later is known."""
    one, two = await shared_store.begin(KEY), await shared_store.begin(KEY)

    assert (one.epoch, one.generation) == (two.epoch, two.generation)
    assert one.started < two.started


async def test_epochs_differ_from_key_to_key(shared_store: SharedStore) -> None:
    """A ticket for one key is no ticket for another."""
    one, two = await shared_store.begin(KEY), await shared_store.begin(Key("p1", "trn_2"))

    assert one.epoch != two.epoch


async def test_the_first_version_is_stored(shared_store: SharedStore) -> None:
    """The floor knows it, and where bodies are held it is found, byte for byte."""
    ticket = await shared_store.begin(KEY)
    entry = entry_of(ticket, version())

    stored = await shared_store.store(KEY, entry, KEEP)

    found = await shared_store.lookup(KEY)
    assert stored == Stored(StoreVerdict.FIRST, found.floor)
    assert found.entry == (entry if shared_store.holds_bodies else None)
    assert found.floor == Floor(
        ticket.epoch, ticket.generation, version(), entry.digest, ticket.started
    )


async def test_the_same_version_renews(shared_store: SharedStore) -> None:
    """Same version, same body, later fetch: unchanged, and confirmed later."""
    first = await fetch(shared_store)
    second = await fetch(shared_store)

    assert second.verdict is StoreVerdict.UNCHANGED
    assert first.floor is not None
    assert second.floor is not None
    assert second.floor.started > first.floor.started


async def test_a_slow_confirmation_takes_nothing_back(shared_store: SharedStore) -> None:
    """The answer of an earlier fetch does not make an entry older that a later one confirmed."""
    slow = await shared_store.begin(KEY)
    quick = await fetch(shared_store)

    late = await fetch(shared_store, ticket=slow)

    found = await shared_store.lookup(KEY)
    assert late == Stored(StoreVerdict.UNCHANGED, quick.floor)
    assert quick.floor is not None
    assert found.entry is None or found.entry.confirmed_at == quick.floor.started


async def test_a_later_version_replaces_by_a_nanosecond(shared_store: SharedStore) -> None:
    """Versions are compared exactly."""
    await fetch(shared_store, version(0))

    stored = await fetch(shared_store, version(1))

    assert stored.verdict is StoreVerdict.CHANGED
    assert (await floor_of(shared_store)).updated_at == version(1)


async def test_an_older_version_is_refused_by_a_nanosecond(shared_store: SharedStore) -> None:
    """It neither replaces the body nor lowers the floor."""
    first = await fetch(shared_store, version(1))

    stored = await fetch(shared_store, version(0))

    found = await shared_store.lookup(KEY)
    assert stored == Stored(StoreVerdict.OLDER, first.floor)
    assert found.entry is None or found.entry.updated_at == version(1)


async def test_of_two_bodies_with_one_version_the_later_fetch_wins(
    shared_store: SharedStore,
) -> None:
    """Order is that of the fetches' beginnings."""
    await fetch(shared_store, body=b'{"a":1}')

    assert (await fetch(shared_store, body=b'{"a":2}')).verdict is StoreVerdict.CHANGED


async def test_of_two_bodies_with_one_version_the_earlier_fetch_loses(
    shared_store: SharedStore,
) -> None:
    """Even where it is the one that ends last."""
    slow = await shared_store.begin(KEY)
    await fetch(shared_store, body=b'{"a":2}')

    stored = await fetch(shared_store, body=b'{"a":1}', ticket=slow)

    assert stored.verdict is StoreVerdict.OLDER


async def test_a_ticket_for_an_unknown_floor_is_worth_nothing(shared_store: SharedStore) -> None:
    """Whatever ruled the fetch out may have been forgotten with the floor."""
    stored = await fetch(shared_store, ticket=Ticket("0" * 16, 0, 1_700_000_000.0))

    assert stored == Stored(StoreVerdict.INVALIDATED, None)


async def test_a_ticket_of_another_epoch_is_worth_nothing(shared_store: SharedStore) -> None:
    """The floor was lost meanwhile and made anew: its generation proves nothing."""
    ticket = await shared_store.begin(KEY)

    for epoch in ("0" * 16, ""):
        other = Ticket(epoch, ticket.generation, ticket.started)
        assert (await fetch(shared_store, ticket=other)).verdict is StoreVerdict.INVALIDATED


async def test_dropping_refuses_the_fetch_in_flight(shared_store: SharedStore) -> None:
    """What began before the drop is not stored after it; what begins after it is."""
    ticket = await shared_store.begin(KEY)
    await shared_store.drop(KEY)

    assert (await fetch(shared_store, ticket=ticket)).verdict is StoreVerdict.INVALIDATED
    assert (await fetch(shared_store)).verdict is StoreVerdict.FIRST


async def test_dropping_forgets_the_version(shared_store: SharedStore) -> None:
    """It is the exit for an upstream that went back in time."""
    await fetch(shared_store, version(5))
    await shared_store.drop(KEY)

    assert (await fetch(shared_store, version(1))).verdict is StoreVerdict.FIRST


async def test_dropping_what_is_unknown_is_nothing(shared_store: SharedStore) -> None:
    """It makes no floor."""
    await shared_store.drop(KEY)

    assert (await shared_store.lookup(KEY)).floor is None


async def test_a_purge_covers_one_partition(shared_store: SharedStore) -> None:
    """It counts its keys, rules them out with their fetches in flight, and spares the rest."""
    mine = [Key("p1", f"trn_{n}") for n in range(3)]
    other = Key("p2", "trn_0")
    tickets = {key: await shared_store.begin(key) for key in (*mine, other)}
    for key, ticket in tickets.items():
        await fetch(shared_store, key=key, ticket=ticket)

    assert await shared_store.purge("p1", soft=False) == 3

    for key in mine:
        assert entry_of(tickets[key]).is_below(await floor_of(shared_store, key))
        assert (await shared_store.lookup(key)).entry is None
    assert not entry_of(tickets[other]).is_below(await floor_of(shared_store, other))


async def test_a_purge_of_everything_covers_every_partition(shared_store: SharedStore) -> None:
    """Also a key whose first fetch is still in flight."""
    await fetch(shared_store, key=Key("p2", "trn_9"))
    flying = await shared_store.begin(KEY)

    assert await shared_store.purge(None, soft=False) == 2

    assert (await fetch(shared_store, ticket=flying)).verdict is StoreVerdict.INVALIDATED


async def test_a_partition_name_is_no_pattern(shared_store: SharedStore) -> None:
    """A partition called `*` is one partition."""
    await fetch(shared_store)
    await fetch(shared_store, key=Key("*", "trn_1"))

    assert await shared_store.purge("*", soft=False) == 1


async def test_a_soft_purge_leaves_the_body_for_rescue(shared_store: SharedStore) -> None:
    """What is left is below the floor."""
    await fetch(shared_store)

    await shared_store.purge(None, soft=True)

    found = await shared_store.lookup(KEY)
    assert found.floor is not None
    assert (found.entry is not None) == shared_store.holds_bodies
    assert found.entry is None or found.entry.is_below(found.floor)


async def test_a_strike_covers_one_partition(shared_store: SharedStore) -> None:
    """What was fetched before it is ruled out, fetches in flight included; later ones are not."""
    mine, other = Key("p1", "trn_1"), Key("p2", "trn_1")
    tickets = {key: await shared_store.begin(key) for key in (mine, other)}
    flying = await shared_store.begin(Key("p1", "trn_2"))
    for key, ticket in tickets.items():
        await fetch(shared_store, key=key, ticket=ticket)

    await shared_store.invalidate_partition("p1")
    await fetch(shared_store, key=Key("p1", "trn_2"), ticket=flying)

    for name in ("trn_1", "trn_2"):
        found = await shared_store.lookup(Key("p1", name))
        assert found.entry is None
        assert found.struck_at >= max(tickets[mine].started, flying.started)
    spared = await shared_store.lookup(other)
    assert (spared.entry is not None) == shared_store.holds_bodies
    assert spared.struck_at < tickets[other].started


async def test_a_strike_spares_what_is_fetched_after_it(shared_store: SharedStore) -> None:
    """The credential may be good again; the same version comes back whole."""
    await fetch(shared_store)
    await shared_store.invalidate_partition(KEY.partition)
    struck_at = (await shared_store.lookup(KEY)).struck_at
    ticket = await shared_store.begin(KEY)
    while ticket.started <= struck_at:
        ticket = replace(ticket, started=struck_at + 1.0)

    await fetch(shared_store, ticket=ticket)

    found = await shared_store.lookup(KEY)
    assert (found.entry is not None) == shared_store.holds_bodies
    assert found.struck_at < ticket.started


async def test_a_confirmation_tells_of_a_strike(shared_store: SharedStore) -> None:
    """Whoever holds an entry learns that it is ruled out without reading a body."""
    ticket = await shared_store.begin(KEY)
    await fetch(shared_store, ticket=ticket)
    before = (await shared_store.confirm([KEY]))[KEY]

    await shared_store.invalidate_partition(KEY.partition)

    after = (await shared_store.confirm([KEY]))[KEY]
    assert before is not None
    assert after is not None
    assert before.struck_at < ticket.started <= after.struck_at or not shared_store.holds_bodies
