"""Both tiers: what they find, store, promote and refuse."""

from __future__ import annotations

import pytest

from gateway.core.cache.entry import Entry, Key
from gateway.core.instant import Instant
from gateway.core.vocabulary import NoticeKind, StoreVerdict, Tier
from gateway.flow.singleflight import Course
from gateway.ports import Notice, Stored
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


@pytest.mark.parametrize("order", ["no order", "a soft order"])
@pytest.mark.parametrize("successor", ["a 404", "another body"])
async def test_what_was_replaced_without_a_new_version_does_not_return(
    replica: Replica, other: Replica, redis: Redis, successor: str, order: str
) -> None:
    """Not even for rescue, after Redis has lost the body that replaced it."""
    await put(replica)
    replica.clock.advance(1.0)
    if order == "a soft order":
        await redis.store.invalidate(KEY.training_id, None, soft=True)
    await (put(other, None) if successor == "a 404" else put(other, body=b"another one"))

    redis.memory.lose_body(KEY)
    replica.clock.advance(5.0)

    assert await replica.tiers.lookup(KEY, Course()) is None
    assert in_l1(replica) is None


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


@pytest.mark.parametrize("is_ordered", [True, False], ids=["by an order", "given, not kept"])
async def test_a_redis_that_forgot_brings_nothing_older(
    replica: Replica, other: Replica, redis: Redis, clock: FakeClock, is_ordered: bool
) -> None:
    """Than what this replica answered, though an order took it from L1, and Redis lost the order;
    an older fetch of another one is its first version then."""
    await put(replica, version(2))
    if is_ordered:
        replica.apply(Notice(NoticeKind.INVALIDATED, (KEY.training_id,)))
    else:
        replica.local.drop(KEY)
        await put(replica, version(2), flight=outdated())
        assert in_l1(replica) is None
    redis.memory.flush()
    clock.advance(1.0)
    assert (await put(other, version(1))).verdict is StoreVerdict.FIRST

    assert await replica.tiers.lookup(KEY, Course()) is None

    replica.tiers.purge_local(None, soft=False)
    assert (await find(replica)).held.entry.updated_at == version(1)


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
    """Nor is what L1 had, which is older than what was given."""
    if before is not None:
        await put(alone, before)
    course, taken = Course(), alone.shared.store

    async def store(key: Key, entry: Entry, keep: float) -> Stored:
        course.outdate(known=True)
        return await taken(key, entry, keep)

    monkeypatch.setattr(alone.shared, "store", store)
    stored = await put(alone, version(2), flight=course)

    assert not stored.verdict.is_refusal
    assert in_l1(alone) is None


async def test_what_a_look_up_promoted_meanwhile_is_not_overwritten(
    replica: Replica, other: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica's later version came into L1 while this one was on its way to Redis."""
    taken = replica.shared.store

    async def store(key: Key, entry: Entry, keep: float) -> Stored:
        stored = await taken(key, entry, keep)
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

    monkeypatch.setattr(replica.shared, "drop", promote)
    monkeypatch.setattr(replica.shared, "invalidate_partition", promote)

    await replica.tiers.drop(KEY)
    assert in_l1(replica) is None
    await replica.invalidation.refused("p1")
    assert in_l1(replica) is None


async def test_a_key_is_dropped_in_both_tiers(replica: Replica, redis: Redis) -> None:
    """And a fetch in flight is ruled out."""
    await put(replica)

    await replica.tiers.drop(KEY)

    assert in_l1(replica) is None
    found = await redis.store.lookup(KEY)
    assert found.entry is None
    assert found.floor is not None
    assert found.floor.generation > 0


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

    async def store(key: Key, entry: Entry, keep: float) -> Stored:
        stored = await taken(key, entry, keep)
        monkeypatch.setattr(replica.shared, "store", taken)
        clock.advance(1.0)
        await put(replica, version(2))
        clock.step(-100.0)
        return stored

    monkeypatch.setattr(replica.shared, "store", store)
    older = older.but(confirmed_at=older.confirmed_at - 100.0)
    await replica.tiers.store(KEY, replica.tiers.render(older, 1000.0), Course())

    assert version_in_l1(replica) == version(2)
