"""The list held against floors in memory: what the contract suite cannot see."""

from __future__ import annotations

from gateway.adapters.ledger import Ledger, LedgerLists
from gateway.core.cache.entry import Key
from gateway.core.sweep.list_item import Listed, ListVerdict
from tests.doubles.clock import FakeClock
from tests.doubles.stored import VERSION, entry_of, version

KEY = Key("p1", "trn_1")


async def test_a_forgotten_floor_is_unknown() -> None:
    """The ledger is bounded; the list does not fill it."""
    clock = FakeClock()
    ledger = Ledger(clock, lambda: "0" * 16, max_floors=1)
    await ledger.store(KEY, entry_of(await ledger.begin(KEY)), 1.0)
    await ledger.begin(Key("p1", "trn_2"))
    item = Listed("trn_1", VERSION, "0" * 32, "", clock.now(), 0.0, 30.0)

    (compared,) = await LedgerLists(ledger).compare("p1", [item], 1.0)

    assert compared.verdict is ListVerdict.UNKNOWN
    assert ledger.record(KEY) is None


async def test_a_forgotten_soft_order_still_counts() -> None:
    """It stays in the floor that it raised, however many trainings had an order since."""
    ledger = Ledger(FakeClock(), lambda: "0" * 16, max_floors=1)
    await ledger.store(KEY, entry_of(await ledger.begin(KEY)), 1.0)
    await ledger.invalidate("trn_1", version(1), soft=True)
    await ledger.invalidate("trn_2", None)

    assert not await LedgerLists(ledger).take_back(KEY, version(1))

    found = await ledger.lookup(KEY)
    assert found.floor is not None
    assert found.floor.updated_at == version(1)


async def test_a_soft_order_for_an_older_version_lowers_nothing() -> None:
    """Also if the soft order for the later version was forgotten in between."""
    ledger = Ledger(FakeClock(), lambda: "0" * 16, max_floors=1)
    await ledger.store(KEY, entry_of(await ledger.begin(KEY)), 1.0)
    await ledger.invalidate("trn_1", version(2), soft=True)
    await ledger.invalidate("trn_2", None)
    await ledger.invalidate("trn_1", version(1), soft=True)

    assert not await LedgerLists(ledger).take_back(KEY, version(2))

    found = await ledger.lookup(KEY)
    assert found.floor is not None
    assert found.floor.updated_at == version(2)
