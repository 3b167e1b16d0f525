"""Ledger: what is its own beside the contract: memory is bounded, and nothing is held."""

from __future__ import annotations

import itertools

import pytest

from gateway.adapters.ledger import Ledger
from gateway.core.cache.entry import Key
from gateway.core.vocabulary import StoreVerdict
from tests.doubles.clock import FakeClock
from tests.doubles.stored import entry_of, version

KEYS = [Key("p1", f"trn_{number}") for number in range(4)]


def ledger(max_floors: int = 100) -> Ledger:
    """One whose epochs count up."""
    counter = itertools.count()
    return Ledger(FakeClock(), lambda: f"{next(counter):016x}", max_floors)


async def test_the_least_recently_used_floor_is_forgotten() -> None:
    """It is unknown again, the others are not."""
    floors = ledger(max_floors=2)
    await floors.begin(KEYS[0])
    await floors.begin(KEYS[1])
    await floors.lookup(KEYS[0])

    await floors.begin(KEYS[2])

    known = [(await floors.lookup(key)).floor is not None for key in KEYS[:3]]
    assert known == [True, False, True]


async def test_a_fetch_under_a_forgotten_floor_is_refused() -> None:
    """Also when the floor was made anew meanwhile, with the same generation."""
    floors = ledger(max_floors=1)
    ticket = await floors.begin(KEYS[0])
    await floors.begin(KEYS[1])
    await floors.begin(KEYS[0])

    stored = await floors.store(KEYS[0], entry_of(ticket), 60.0)

    assert stored.verdict is StoreVerdict.INVALIDATED


async def test_an_event_does_not_touch_the_order() -> None:
    """Trainings that it is not about are as old as before."""
    floors = ledger(max_floors=3)
    for key in KEYS[:3]:
        await floors.begin(key)
    await floors.invalidate(KEYS[0].training_id, None)

    await floors.begin(KEYS[3])

    assert (await floors.lookup(KEYS[1])).floor is None
    assert (await floors.lookup(KEYS[0])).floor is not None


async def test_an_event_looks_at_no_other_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """An order may name 1,000 trainings, and no request is answered while all floors are read."""
    floors = ledger()
    for key in KEYS:
        await floors.begin(key)
    monkeypatch.setattr(type(floors._floors), "__iter__", lambda _: pytest.fail("all are read"))

    await floors.invalidate(KEYS[0].training_id, version(5))

    found = [(await floors.lookup(key)).floor for key in KEYS]
    assert [each and each.updated_at for each in found] == [version(5), None, None, None]


async def test_a_forgotten_floor_of_a_training_leaves_the_others() -> None:
    """An event still finds those that are left."""
    floors = ledger(max_floors=2)
    one, two, three = (Key(partition, "trn_1") for partition in ("p1", "p2", "p3"))
    for key in (one, two, three, one):
        await floors.begin(key)

    await floors.invalidate("trn_1", version(5))

    found = [(await floors.lookup(key)).floor for key in (one, two, three)]
    assert [each and each.updated_at for each in found] == [version(5), None, version(5)]


async def test_bounds_of_events_are_bounded_too() -> None:
    """The oldest is forgotten: then a partition never seen is bound by nothing."""
    floors = ledger(max_floors=1)
    await floors.invalidate("a", version(5))
    await floors.invalidate("b", version(5))

    verdicts = []
    for training_id in ("a", "b"):
        key = Key("p1", training_id)
        entry = entry_of(await floors.begin(key), version(1))
        verdicts.append((await floors.store(key, entry, 60.0)).verdict)

    assert verdicts == [StoreVerdict.FIRST, StoreVerdict.OLDER]
