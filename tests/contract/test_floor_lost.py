"""SharedStore: an order outlives the floor of a key, for who missed the notice of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from gateway.adapters.ledger import Ledger
from gateway.core.entry import Entry, Key
from gateway.core.instant import Instant
from gateway.core.status import StoreVerdict
from gateway.ports import SharedStore
from tests.cluster_servers import client_of
from tests.contract.conftest import URLS, epochs, store_on
from tests.contract.test_shared_store import KEEP, KEY
from tests.doubles.clocks import TickingClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.shared import InMemoryShared
from tests.doubles.stored import VERSION, entry_of, version


@dataclass
class Forgetful:
    """A store, and a way to take the floor of the key from it."""

    store: SharedStore
    lose_floor: Callable[[], object]

    async def fetch(self, updated_at: Instant | None = VERSION) -> Entry:
        """Store what a fetch brought that began now."""
        entry = entry_of(await self.store.begin(KEY), updated_at)
        assert not (await self.store.store(KEY, entry, KEEP)).verdict.is_refusal
        return entry

    async def rules_out(self, entry: Entry) -> tuple[bool, bool]:
        """Whether a copy of it may not be fresh, nor stand in; a confirmation says the same."""
        found = await self.store.lookup(KEY)
        standing = (await self.store.confirm([KEY]))[KEY]
        assert found.entry is None
        assert found.floor is not None
        assert standing is not None
        assert (standing.floor, standing.struck_at) == (found.floor, found.struck_at)
        assert standing.last() is None
        assert found.floor.epoch == ""
        below, struck = entry.is_below(found.floor), entry.confirmed_at <= found.struck_at
        assert (entry.confirmed_by(standing.floor, None) is None) == below
        return below, struck


@pytest.fixture(params=["ledger", "in memory", *URLS])
async def forgetful(
    request: pytest.FixtureRequest, observer: RecordingObserver
) -> AsyncIterator[Forgetful]:
    """Each SharedStore, empty."""
    if request.param == "ledger":
        ledger = Ledger(TickingClock(), epochs())
        yield Forgetful(ledger, lambda: ledger._floors.pop(KEY))
        return
    if request.param == "in memory":
        shared = InMemoryShared(TickingClock(), epochs())
        yield Forgetful(shared, lambda: shared.lose_floor(KEY))
        return
    url = request.getfixturevalue(URLS[request.param])
    async with store_on(url, observer) as store:
        with client_of(url) as client:
            yield Forgetful(store, lambda: client.delete(store._names.floor(KEY)))


async def test_it_rules_out_all_that_was_there(forgetful: Forgetful) -> None:
    """What was fetched before the order may not even rescue; what came after it may."""
    before = await forgetful.fetch()
    await forgetful.store.invalidate(KEY.training_id, None)
    after = await forgetful.fetch()
    forgetful.lose_floor()

    assert await forgetful.rules_out(before) == (False, True)
    assert await forgetful.rules_out(after) == (False, False)


async def test_it_rules_out_what_is_below_its_bound(forgetful: Forgetful) -> None:
    """And a 404 of a fetch that began before it."""
    gone = await forgetful.fetch(None)
    await forgetful.store.invalidate(KEY.training_id, version(5))
    forgetful.lose_floor()

    assert await forgetful.rules_out(gone) == (True, False)
    for later, is_below in ((4, True), (5, False), (6, False)):
        entry = entry_of(updated_at=version(later))
        assert await forgetful.rules_out(entry) == (is_below, False)


async def test_orders_of_both_kinds_count(forgetful: Forgetful) -> None:
    """Whichever came last."""
    before = await forgetful.fetch(version(4))
    await forgetful.store.invalidate(KEY.training_id, version(5))
    await forgetful.store.invalidate(KEY.training_id, None)
    await forgetful.store.invalidate(KEY.training_id, version(3))
    forgetful.lose_floor()

    assert await forgetful.rules_out(before) == (True, True)


async def test_a_strike_counts_beside_it(forgetful: Forgetful) -> None:
    """The later one of the two."""
    await forgetful.store.invalidate(KEY.training_id, None)
    between = await forgetful.fetch()
    await forgetful.store.strike(KEY.partition)
    forgetful.lose_floor()

    assert await forgetful.rules_out(between) == (False, True)


async def test_without_an_order_nothing_is_known(forgetful: Forgetful) -> None:
    """Also where there was one for another training."""
    await forgetful.fetch()
    await forgetful.store.invalidate("trn_2", None)
    forgetful.lose_floor()

    assert (await forgetful.store.lookup(KEY)).floor is None
    assert await forgetful.store.confirm([KEY]) == {KEY: None}


async def test_the_next_fetch_makes_a_floor_again(forgetful: Forgetful) -> None:
    """Under which the order counts as before, in each partition."""
    await forgetful.store.invalidate(KEY.training_id, version(5))
    ticket = await forgetful.store.begin(Key("p2", KEY.training_id))

    older = await forgetful.store.store(
        Key("p2", KEY.training_id), entry_of(ticket, version(4)), KEEP
    )
    taken = await forgetful.fetch(version(5))

    assert older.verdict is StoreVerdict.OLDER
    floor = (await forgetful.store.lookup(KEY)).floor
    assert floor is not None
    assert (floor.epoch, floor.updated_at) == (taken.epoch, version(5))
