"""Both tiers: what they find, store, promote and refuse."""

from __future__ import annotations

import pytest

from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.marks import Facts
from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict, Tier
from gateway.flow.singleflight import Course
from gateway.ports import Stored
from tests.doubles.clock import FakeClock
from tests.doubles.stored import entry_of, version
from tests.unit.flow.house import KEY, Redis, Replica
from tests.unit.flow.offering import find, in_l1, outdated, put, version_in_l1


async def test_what_was_stored_is_in_both_tiers(replica: Replica, redis: Redis) -> None:
    """The first version is answered with at once, and found by others."""
    assert (await put(replica)).verdict is StoreVerdict.FIRST

    held = replica.tiers.peek(KEY)

    assert held is not None
    assert held.entry == (await redis.store.lookup(KEY)).entry


async def test_l1_asks_redis_again_after_its_lifetime(replica: Replica, clock: FakeClock) -> None:
    """Five seconds after it was confirmed it answers no more, and again once it is confirmed."""
    await put(replica)
    clock.advance(4.9)
    assert replica.tiers.peek(KEY) is not None
    clock.advance(0.1)
    assert replica.tiers.peek(KEY) is None

    seen = await find(replica)

    assert seen.tier is Tier.L1
    assert replica.tiers.peek(KEY) is seen.held


async def test_a_renewed_body_does_not_end_what_l1_has(
    replica: Replica, other: Replica, redis: Redis, clock: FakeClock
) -> None:
    """The same bytes were confirmed later, and Redis has lost them."""
    await put(replica)
    clock.advance(1.0)
    await put(other)

    redis.memory.lose_body(KEY)
    clock.advance(5.0)

    assert (await find(replica)).tier is Tier.L1


async def test_an_outdated_look_up_does_not_promote(replica: Replica, other: Replica) -> None:
    """It answers those who asked before."""
    await put(other)

    assert await replica.tiers.lookup(KEY, outdated()) is not None

    assert in_l1(replica) is None


def test_the_compressed_form_is_made_once_and_counted(alone: Replica) -> None:
    """Beside the entry, which takes more from then on."""
    tiers, local = alone.tiers, alone.local
    held = tiers.render(entry_of(body=b'{"a":"' + b"again " * 500 + b'"}'), 1.0)
    local.put(KEY, held)
    before = local.size

    coded = tiers.coded(KEY, held)

    assert coded is held.coded
    assert coded is tiers.coded(KEY, held)
    assert b"content-encoding: gzip\r\n" in coded.head
    assert local.size > before


def test_what_gains_nothing_is_left_as_it_is(alone: Replica) -> None:
    """And not tried again."""
    held = alone.tiers.render(entry_of(body=bytes(range(256)) * 8), 1.0)

    assert alone.tiers.coded(KEY, held) in (held, held.coded)
    assert held.checked_at == 1.0
    assert b"vary: Authorization\r\n" in held.head


@pytest.mark.parametrize("before", [None, version(1)])
async def test_a_flight_outdated_while_it_stores_is_not_held(
    alone: Replica, monkeypatch: pytest.MonkeyPatch, before: Instant | None
) -> None:
    """The next request looks it up."""
    if before is not None:
        await put(alone, before)
    course, taken = Course(), alone.shared.store

    async def store(key: Key, facts: Facts, entry: Entry, keep: float) -> Stored:
        course.outdate(known=True)
        return await taken(key, facts, entry, keep)

    monkeypatch.setattr(alone.shared, "store", store)
    stored = await put(alone, version(2), flight=course)

    assert not stored.verdict.is_refusal
    assert version_in_l1(alone) == before


async def test_what_a_look_up_promoted_meanwhile_is_not_overwritten(
    replica: Replica, other: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica's later version came into L1 while this one was on its way to Redis."""
    taken = replica.shared.store

    async def store(key: Key, facts: Facts, entry: Entry, keep: float) -> Stored:
        stored = await taken(key, facts, entry, keep)
        monkeypatch.undo()
        await put(other, version(3))
        await find(replica)
        return stored

    monkeypatch.setattr(replica.shared, "store", store)
    await put(replica, version(2))

    assert version_in_l1(replica) == version(3)


async def test_what_is_promoted_while_it_is_dropped_is_dropped(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look-up read it before Redis forgot it, one key or a partition."""
    await put(replica)
    held = replica.local.peek(KEY)
    assert held is not None

    async def promote(*_: object, **__: object) -> None:
        replica.local.put(KEY, held)

    monkeypatch.setattr(replica.shared, "store", promote)
    monkeypatch.setattr(replica.shared, "order", promote)

    await replica.tiers.forget(KEY)
    assert in_l1(replica) is None
    await replica.invalidation.refused("p1")
    assert in_l1(replica) is None


async def test_an_entry_from_before_the_clock_was_set_back_is_replaced(
    replica: Replica, clock: FakeClock
) -> None:
    """Its age is not known, so it answers no request."""
    await put(replica)
    clock.step(-3_600.0)

    await put(replica)

    entry = in_l1(replica)
    assert entry is not None
    assert entry.confirmed_at == clock.now()


async def test_a_later_version_from_before_the_clock_was_set_back_stays(
    replica: Replica, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis accepted the older version first, but this replica hears of it last."""
    older, taken = entry_of(await replica.tiers.begin(KEY), version(1)), replica.shared.store

    async def store(key: Key, facts: Facts, entry: Entry, keep: float) -> Stored:
        stored = await taken(key, facts, entry, keep)
        monkeypatch.setattr(replica.shared, "store", taken)
        clock.advance(1.0)
        await put(replica, version(2))
        clock.step(-100.0)
        return stored

    monkeypatch.setattr(replica.shared, "store", store)
    started = older.started - 100.0
    older = older.but(confirmed_at=started, started=started)
    await replica.tiers.store(KEY, replica.tiers.render(older, 1000.0), Course())

    assert version_in_l1(replica) == version(2)


async def test_what_is_dropped_is_not_brought_back(replica: Replica) -> None:
    """By a fetch from before it. A later fetch is stored."""
    early = entry_of(await replica.tiers.begin(KEY), version(5))
    await put(replica)
    replica.clock.advance(1.0)

    await replica.tiers.forget(KEY)

    assert in_l1(replica) is None
    assert await replica.tiers.lookup(KEY, Course()) is None
    held = replica.tiers.render(early, replica.clock.monotonic())
    assert (await replica.tiers.store(KEY, held, Course())).verdict.is_refusal
    assert not (await put(replica)).verdict.is_refusal


async def test_what_was_fetched_without_redis_outlives_no_absence(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """And what Redis has is only for rescue, if it is older."""
    await put(other, version(1))
    redis.switch.is_up = False
    await put(replica, version(2))
    redis.switch.is_up = True

    seen = await find(replica)

    assert (seen.held.entry.updated_at, seen.only_rescue) == (version(1), True)
    assert replica.tiers.peek(KEY) is None
