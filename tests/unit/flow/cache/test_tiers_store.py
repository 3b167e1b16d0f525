from __future__ import annotations

import pytest

from gateway.core.cache.entry import Entry, Key
from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict
from gateway.flow.singleflight import Course
from gateway.ports import Stored
from tests.doubles.clock import FakeClock
from tests.doubles.stored import entry_of, version
from tests.unit.flow.house import KEY, Redis, Replica
from tests.unit.flow.offering import find, in_l1, outdated, put


async def test_a_fetch_that_began_before_an_invalidation_is_stored_nowhere(
    replica: Replica, redis: Redis
) -> None:
    """The generation moved."""
    entry = entry_of(await replica.tiers.begin(KEY))
    await redis.store.invalidate(KEY.training_id, None)

    stored = await replica.tiers.store(KEY, replica.tiers.render(entry, 1000.0), Course())

    assert stored.verdict is StoreVerdict.INVALIDATED
    assert in_l1(replica) is None
    assert (await redis.store.lookup(KEY)).entry is None


async def test_an_outdated_flight_is_stored_nowhere(replica: Replica, redis: Redis) -> None:
    """Redis is not asked, which would take it."""
    assert (await put(replica, flight=outdated())).verdict is StoreVerdict.INVALIDATED

    assert in_l1(replica) is None
    assert (await redis.store.lookup(KEY)).entry is None


async def test_what_redis_takes_after_an_order_is_held(replica: Replica) -> None:
    """It knew the order before this replica did."""
    await put(replica, version(1))
    course = Course()
    course.outdate(known=True)

    stored = await put(replica, version(2), flight=course)

    entry = in_l1(replica)
    assert stored.verdict is StoreVerdict.CHANGED
    assert entry is not None
    assert entry.updated_at == version(2)


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

    entry = in_l1(replica)
    assert entry is not None
    assert entry.updated_at == version(3)


async def test_only_what_is_below_an_event_s_version_is_dropped(replica: Replica) -> None:
    """The version that the event tells of is the one to keep."""
    await put(replica, version(2))

    replica.tiers.give_up_passed({KEY.training_id}, version(2))
    assert in_l1(replica) is not None

    replica.tiers.give_up_passed({KEY.training_id}, version(3))
    assert in_l1(replica) is None


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


async def test_what_redis_refuses_puts_l1_in_doubt(replica: Replica, other: Replica) -> None:
    """Another replica stored a later version: the next request is to find it."""
    await put(replica, version(1))
    await put(other, version(3))

    assert (await put(replica, version(2))).verdict is StoreVerdict.OLDER

    assert replica.tiers.peek(KEY) is None
    assert (await find(replica)).held.entry.updated_at == version(3)


async def test_a_key_is_dropped_in_both_tiers(replica: Replica, redis: Redis) -> None:
    """And a fetch in flight is ruled out."""
    await put(replica)

    await replica.tiers.drop(KEY)

    assert in_l1(replica) is None
    found = await redis.store.lookup(KEY)
    assert found.entry is None
    assert found.floor is not None
    assert found.floor.generation > 0


async def test_a_partition_is_dropped_in_both_tiers(replica: Replica, redis: Redis) -> None:
    """All that this credential stored, and nothing else."""
    await put(replica)
    elsewhere = Key("p2", "trn_1")
    entry = entry_of(await replica.tiers.begin(elsewhere))
    await replica.tiers.store(elsewhere, replica.tiers.render(entry, 1000.0), Course())

    await replica.invalidation.refused("p1")

    assert in_l1(replica) is None
    assert (await redis.store.lookup(KEY)).entry is None
    assert in_l1(replica, elsewhere) == entry
    assert (await redis.store.lookup(elsewhere)).entry == entry


async def test_a_later_version_of_another_epoch_is_not_overwritten(
    replica: Replica, redis: Redis
) -> None:
    """A flushed Redis knows nothing of what L1 holds, and takes anything for the first."""
    await put(replica, version(2))
    redis.memory.flush()

    assert (await put(replica, version(1))).verdict is StoreVerdict.OLDER

    entry = in_l1(replica)
    assert entry is not None
    assert entry.updated_at == version(2)
    assert (await redis.store.lookup(KEY)).entry is None


async def test_after_a_flush_the_same_version_is_stored_anew(
    replica: Replica, redis: Redis
) -> None:
    """L1's copy does not stand in its way."""
    await put(replica, version(2))
    redis.memory.flush()

    assert (await put(replica, version(2))).verdict is StoreVerdict.FIRST

    assert in_l1(replica) == (await redis.store.lookup(KEY)).entry


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

    entry = in_l1(replica)
    assert entry is not None
    assert entry.updated_at == version(2)


async def test_a_purge_lets_an_older_version_in_again(replica: Replica, redis: Redis) -> None:
    """L1 of a replica that did not hear of it does not freeze the entry."""
    await put(replica, version(2))
    await redis.store.purge(None, soft=False)

    assert (await put(replica, version(1))).verdict is StoreVerdict.FIRST

    assert in_l1(replica) == (await redis.store.lookup(KEY)).entry


async def test_the_head_is_rendered_with_what_is_stored(alone: Replica) -> None:
    """Once for all answers, with an ETag of its own where upstream gave none."""
    entry = entry_of().but(headers=((b"x-cluster", b"eu-1"),))

    held = alone.tiers.render(entry, 1000.0)

    assert b'etag: "%s"\r\n' % entry.digest.encode() in held.head
    assert b"x-cluster: eu-1\r\n" in held.head
