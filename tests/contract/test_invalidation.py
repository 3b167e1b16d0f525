"""SharedStore: 404s, and events that make a training invalid in every partition."""

from __future__ import annotations

import pytest

from gateway.core.cache.entry import Key
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import SharedStore
from tests.contract.test_shared_store import KEY, fetch, floor_of
from tests.doubles.stored import entry_of, version

ELSEWHERE = Key("p2", "trn_1")


async def test_an_event_covers_every_partition(shared_store: SharedStore) -> None:
    """Held entries are below the floor wherever they are; other trainings are spared."""
    other = Key("p1", "trn_2")
    tickets = {key: await shared_store.begin(key) for key in (KEY, ELSEWHERE, other)}
    for key, ticket in tickets.items():
        await fetch(shared_store, key=key, ticket=ticket)

    await shared_store.invalidate("trn_1", None)

    for key in (KEY, ELSEWHERE):
        assert entry_of(tickets[key]).is_below(await floor_of(shared_store, key))
    assert not entry_of(tickets[other]).is_below(await floor_of(shared_store, other))


async def test_an_event_covers_the_fetch_in_flight(shared_store: SharedStore) -> None:
    """What began before it is refused, what begins after it is stored."""
    ticket = await shared_store.begin(KEY)

    await shared_store.invalidate("trn_1", None)

    assert (await fetch(shared_store, ticket=ticket)).verdict is StoreVerdict.INVALIDATED
    assert (await fetch(shared_store)).verdict is StoreVerdict.CHANGED


async def test_each_of_two_events_counts(shared_store: SharedStore) -> None:
    """What was stored between them is ruled out by the second."""
    await shared_store.invalidate("trn_1", None)
    ticket = await shared_store.begin(KEY)
    await fetch(shared_store, ticket=ticket)

    await shared_store.invalidate("trn_1", None)

    assert entry_of(ticket).is_below(await floor_of(shared_store))


async def test_an_event_does_not_forget_the_version(shared_store: SharedStore) -> None:
    """A replica of the upstream that lags behind is still refused."""
    await fetch(shared_store, version(5))

    await shared_store.invalidate("trn_1", None)

    assert (await fetch(shared_store, version(4))).verdict is StoreVerdict.OLDER
    assert (await fetch(shared_store, version(5))).verdict is StoreVerdict.UNCHANGED


@pytest.mark.parametrize(("held", "is_below"), [(9, True), (10, False), (11, False)])
async def test_a_bound_spares_what_is_no_older(
    shared_store: SharedStore, held: int, is_below: bool
) -> None:
    """An entry of that version or a later one stays usable."""
    ticket = await shared_store.begin(KEY)
    await fetch(shared_store, version(held), ticket=ticket)

    await shared_store.invalidate("trn_1", version(10))

    entry = entry_of(ticket, version(held))
    assert entry.is_below(await floor_of(shared_store)) is is_below


@pytest.mark.parametrize(
    ("brought", "verdict"),
    [(9, StoreVerdict.OLDER), (10, StoreVerdict.CHANGED), (11, StoreVerdict.CHANGED)],
)
async def test_a_bound_judges_the_fetch_in_flight(
    shared_store: SharedStore, brought: int, verdict: StoreVerdict
) -> None:
    """It is stored if it brings a version that is no older."""
    await fetch(shared_store, version(1))
    ticket = await shared_store.begin(KEY)

    await shared_store.invalidate("trn_1", version(10))

    assert (await fetch(shared_store, version(brought), ticket=ticket)).verdict is verdict


async def test_a_bound_holds_for_a_partition_never_seen(shared_store: SharedStore) -> None:
    """What it fetches later must be no older, either."""
    await shared_store.invalidate("trn_1", version(10))

    assert (await fetch(shared_store, version(9), key=ELSEWHERE)).verdict is StoreVerdict.OLDER
    assert (await fetch(shared_store, version(10), key=ELSEWHERE)).verdict is StoreVerdict.CHANGED


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("bound", "is_below"), [(4, False), (5, True), (6, True)])
async def test_a_bound_ends_a_404_unless_a_later_version_is_known(
    shared_store: SharedStore, bound: int, is_below: bool, soft: bool
) -> None:
    """The order tells that this version exists: before and after the next fetch has begun."""
    await fetch(shared_store, version(5))
    ticket = await shared_store.begin(KEY)
    await fetch(shared_store, None, ticket=ticket)

    await shared_store.invalidate("trn_1", version(bound), soft=soft)

    for _ in range(2):
        found = await shared_store.lookup(KEY)
        assert found.floor is not None
        assert entry_of(ticket, None).is_below(found.floor) is is_below
        assert (found.entry is not None) is (shared_store.holds_bodies and not is_below)
        await shared_store.begin(KEY)


@pytest.mark.parametrize("soft", [False, True])
async def test_a_404_counts_after_a_bound_only_if_its_fetch_began_then(
    shared_store: SharedStore, soft: bool
) -> None:
    """Also if the order named the version that was known before the 404."""
    await fetch(shared_store, version(5))
    await fetch(shared_store, None)
    ticket = await shared_store.begin(KEY)

    await shared_store.invalidate("trn_1", version(5), soft=soft)

    assert (await fetch(shared_store, None, ticket=ticket)).verdict is StoreVerdict.OLDER
    assert (await fetch(shared_store, None)).verdict is StoreVerdict.CHANGED


async def test_an_order_for_one_key_leaves_no_404_of_a_known_version(
    shared_store: SharedStore,
) -> None:
    """Nor the knowledge that there was a 404, if the order has no bound."""
    await fetch(shared_store, None)
    await shared_store.invalidate_key(KEY, None)
    assert (await fetch(shared_store, version(5))).verdict is StoreVerdict.CHANGED
    ticket = await shared_store.begin(KEY)
    await fetch(shared_store, None, ticket=ticket)

    await shared_store.invalidate_key(KEY, version(5))

    assert entry_of(ticket, None).is_below(await floor_of(shared_store))


async def test_an_order_for_one_key_spares_the_other_partitions(shared_store: SharedStore) -> None:
    """There the bound rules out no answer, either."""
    tickets = {key: await shared_store.begin(key) for key in (KEY, ELSEWHERE)}
    for key, ticket in tickets.items():
        await fetch(shared_store, version(5), key=key, ticket=ticket)

    await shared_store.invalidate_key(KEY, version(10))

    assert entry_of(tickets[KEY], version(5)).is_below(await floor_of(shared_store))
    assert (await shared_store.lookup(KEY)).entry is None
    spared = entry_of(tickets[ELSEWHERE], version(5))
    assert not spared.is_below(await floor_of(shared_store, ELSEWHERE))
    assert (await fetch(shared_store, version(6), key=ELSEWHERE)).verdict is StoreVerdict.CHANGED


@pytest.mark.parametrize("is_seen", [True, False])
async def test_a_bound_of_one_key_holds(shared_store: SharedStore, is_seen: bool) -> None:
    """Also if nothing was known of the key."""
    if is_seen:
        await fetch(shared_store, version(9))

    await shared_store.invalidate_key(KEY, version(10))

    assert (await fetch(shared_store, version(9))).verdict is StoreVerdict.OLDER
    assert (await fetch(shared_store, version(10))).verdict is StoreVerdict.CHANGED


@pytest.mark.parametrize("brought", [4, 5])
async def test_an_order_for_one_key_covers_its_fetch_in_flight(
    shared_store: SharedStore, brought: int
) -> None:
    """Without a bound the known version stays."""
    await fetch(shared_store, version(5))
    ticket = await shared_store.begin(KEY)

    await shared_store.invalidate_key(KEY, None)

    late = await fetch(shared_store, version(6), ticket=ticket)
    assert late.verdict is StoreVerdict.INVALIDATED
    assert (await fetch(shared_store, version(brought))).verdict is StoreVerdict.OLDER
    assert (await fetch(shared_store, version(6))).verdict is StoreVerdict.CHANGED


async def test_an_earlier_bound_does_not_lower_a_later_one(shared_store: SharedStore) -> None:
    """Events come in any order."""
    await shared_store.invalidate("trn_1", version(10))
    await shared_store.invalidate("trn_1", version(5))

    assert (await fetch(shared_store, version(9))).verdict is StoreVerdict.OLDER


async def test_a_repeated_bound_counts_after_a_purge(shared_store: SharedStore) -> None:
    """A purge forgets the version; the next event with that bound asks for it again."""
    await fetch(shared_store, version(10))
    await shared_store.invalidate("trn_1", version(10))
    await shared_store.purge(None, soft=False)
    assert (await fetch(shared_store, version(9))).verdict is StoreVerdict.FIRST

    await shared_store.invalidate("trn_1", version(10))

    assert (await floor_of(shared_store)).updated_at == version(10)


async def test_a_purged_bound_does_not_come_back(shared_store: SharedStore) -> None:
    """An event without a bound brings none back that an earlier one asked for."""
    await fetch(shared_store, version(5))
    await shared_store.invalidate("trn_1", version(10))
    await shared_store.purge(None, soft=False)

    await shared_store.invalidate("trn_1", None)

    assert (await fetch(shared_store, version(9))).verdict is StoreVerdict.FIRST


async def test_a_soft_purge_brings_back_nothing_that_a_bound_ruled_out(
    shared_store: SharedStore,
) -> None:
    """The purge forgets the bound, and leaves nothing below it for rescue."""
    await fetch(shared_store, version(4))
    await shared_store.invalidate("trn_1", version(5))

    await shared_store.purge(None, soft=True)

    assert (await shared_store.lookup(KEY)).entry is None
    assert (await fetch(shared_store, version(4))).verdict is StoreVerdict.FIRST


async def test_a_404_replaces_and_keeps_the_version(shared_store: SharedStore) -> None:
    """The training is gone now; what its last version was stays known."""
    await fetch(shared_store, version(5))

    stored = await fetch(shared_store, None)

    found = await shared_store.lookup(KEY)
    assert stored.verdict is StoreVerdict.CHANGED
    assert found.floor is not None
    assert found.floor.updated_at == version(5)
    assert found.entry is None or found.entry.is_negative


async def test_a_first_404_and_a_repeated_one(shared_store: SharedStore) -> None:
    """The first is the first that is known, the next confirms it, whatever its words."""
    assert (await fetch(shared_store, None, body=b"a")).verdict is StoreVerdict.FIRST
    assert (await fetch(shared_store, None, body=b"b")).verdict is StoreVerdict.UNCHANGED


async def test_a_404_of_an_earlier_fetch_is_refused(shared_store: SharedStore) -> None:
    """The training was there later than that."""
    slow = await shared_store.begin(KEY)
    await fetch(shared_store)

    assert (await fetch(shared_store, None, ticket=slow)).verdict is StoreVerdict.OLDER


async def test_a_training_made_again_is_stored(shared_store: SharedStore) -> None:
    """With a later version or the same one, as long as the fetch began after the 404's."""
    await fetch(shared_store, version(5))
    await fetch(shared_store, None)

    assert (await fetch(shared_store, version(5))).verdict is StoreVerdict.CHANGED


async def test_a_training_seen_before_the_404_is_refused(shared_store: SharedStore) -> None:
    """Even with a later version: it is gone since."""
    await fetch(shared_store, version(5))
    slow = await shared_store.begin(KEY)
    await fetch(shared_store, None)

    assert (await fetch(shared_store, version(6), ticket=slow)).verdict is StoreVerdict.OLDER


async def test_a_training_made_again_may_not_be_older(shared_store: SharedStore) -> None:
    """A version below the last known one comes from an upstream that lags."""
    await fetch(shared_store, version(5))
    await fetch(shared_store, None)

    assert (await fetch(shared_store, version(4))).verdict is StoreVerdict.OLDER


async def test_a_bound_rules_out_a_404_that_was_held(shared_store: SharedStore) -> None:
    """Somebody wrote the training since: the floor says later, and no body is handed out."""
    ticket = await shared_store.begin(KEY)
    await fetch(shared_store, None, ticket=ticket)

    await shared_store.invalidate("trn_1", version(10))

    found = await shared_store.lookup(KEY)
    assert found.entry is None
    assert found.floor is not None
    assert found.floor.started > ticket.started


async def test_a_bound_rules_out_a_404_in_flight(shared_store: SharedStore) -> None:
    """The call was made before the training was written."""
    ticket = await shared_store.begin(KEY)

    await shared_store.invalidate("trn_1", version(10))

    assert (await fetch(shared_store, None, ticket=ticket)).verdict is StoreVerdict.OLDER
    assert (await fetch(shared_store, None)).verdict is StoreVerdict.CHANGED
