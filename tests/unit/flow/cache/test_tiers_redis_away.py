"""What L1 alone answers and judges while Redis is away or has lost what it knew."""

from __future__ import annotations

import pytest

from gateway.core.cache.entry import Entry
from gateway.core.cache.marks import Facts
from gateway.core.vocabulary import StoreVerdict
from gateway.flow.singleflight import Course
from tests.doubles.clock import FakeClock
from tests.doubles.stored import entry_of, version
from tests.unit.flow.house import KEY, Redis, Replica
from tests.unit.flow.offering import find, in_l1, put


async def test_l1_answers_alone_for_as_long_as_orders_count_with_it(
    replica: Replica, redis: Redis, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From then on what is held may rescue, and nothing else, though it is fresh."""
    await put(replica)
    redis.switch.is_up = False
    monkeypatch.setattr(replica.bus, "listed_until", clock.monotonic() + 10.0)

    clock.advance(9.9)
    assert replica.tiers.peek(KEY) is not None
    assert not (await find(replica)).only_rescue

    clock.advance(0.1)
    assert replica.tiers.peek(KEY) is None
    assert (await find(replica)).only_rescue


async def test_what_was_held_in_a_gap_only_rescues_in_the_next_absence(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """Though nobody asked for it between the two. What comes later is served."""
    await put(replica)
    clock.advance(1.0)
    replica.invalidation.gap()
    clock.advance(1.0)
    redis.switch.is_up = False

    assert replica.tiers.peek(KEY) is None
    assert (await find(replica)).only_rescue

    await put(replica, version(2))
    assert replica.tiers.peek(KEY) is not None


async def test_not_alive_l1_asks_redis_each_time(
    replica: Replica, redis: Redis, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No order waits for this replica, whenever Redis agreed last."""
    await put(replica)
    monkeypatch.setattr(replica.bus, "alive_until", clock.monotonic() + 1.0)
    assert replica.tiers.peek(KEY) is not None
    clock.advance(1.0)

    for asked in (1, 2):
        assert replica.tiers.peek(KEY) is None
        assert not (await find(replica)).only_rescue
        assert redis.store.confirmed == [1] * asked


async def test_l1_judges_what_comes_without_redis(replica: Replica, redis: Redis) -> None:
    """As Redis would: a later version and a 404 replace, an older version does not."""
    redis.switch.is_up = False

    stored = [await put(replica, version(number)) for number in (1, 2, 2, 1)]
    stored += [await put(replica, None, body) for body in (b"gone", b"still gone")]

    first, changed, unchanged = StoreVerdict.FIRST, StoreVerdict.CHANGED, StoreVerdict.UNCHANGED
    expected = [first, changed, unchanged, StoreVerdict.OLDER, changed, unchanged]
    assert [each.verdict for each in stored] == expected
    assert stored[3].facts is not None
    assert stored[3].facts.version == version(2)


async def test_what_redis_did_not_store_is_still_known_after_an_order(
    replica: Replica, redis: Redis
) -> None:
    """Callers got it, so the older response that Redis has is no current answer to them."""
    begun = await replica.tiers.begin(KEY)
    await redis.memory.order(KEY.training_id, None, None, is_hard=True)
    await redis.memory.store(KEY, *await offered(redis), 60.0)
    redis.switch.is_up = False
    later = replica.tiers.render(entry_of(begun, version(2)), replica.clock.monotonic())
    assert (await replica.tiers.store(KEY, later, Course())).verdict is StoreVerdict.FIRST
    redis.switch.is_up = True

    seen = await find(replica)

    assert (seen.held.entry.updated_at, seen.only_rescue) == (version(), True)


async def test_what_redis_did_not_store_rescues_before_what_is_older(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """Callers got it. No hard order came since the older response, so none came since it."""
    await put(replica)
    clock.advance(1.0)
    redis.switch.is_up = False
    await put(replica, version(2))
    redis.switch.is_up = True

    seen = await find(replica)

    assert (seen.held.entry.updated_at, seen.only_rescue) == (version(2), True)
    await redis.memory.order(None, KEY.partition, None, is_hard=True)
    assert await replica.tiers.lookup(KEY, Course()) is None


async def test_a_fetch_that_began_without_redis_is_judged_without_it(
    replica: Replica, redis: Redis
) -> None:
    """Its callers got it. Redis cannot say whether an order came meanwhile."""
    redis.switch.is_up = False
    begun = await replica.tiers.begin(KEY)
    redis.switch.is_up = True
    held = replica.tiers.render(entry_of(begun, version(2)), replica.clock.monotonic())

    assert (await replica.tiers.store(KEY, held, Course())).verdict is StoreVerdict.FIRST
    assert replica.tiers.peek(KEY) is None
    assert await replica.tiers.lookup(KEY, Course()) is None


async def test_a_refusal_whose_fetch_began_without_redis_ends_what_redis_has(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """For example a 403. What an earlier fetch brings later is refused, too."""
    await put(replica)
    early = await offered(redis)
    clock.advance(1.0)
    redis.switch.is_up = False
    begun = await replica.tiers.begin(KEY)
    redis.switch.is_up = True

    await replica.tiers.drop(KEY, Facts(None, begun.ticket, begun.started, begun.started))

    assert (await redis.memory.store(KEY, *early, 60.0)).verdict is StoreVerdict.INVALIDATED
    assert await replica.tiers.lookup(KEY, Course()) is None


async def offered(redis: Redis) -> tuple[Facts, Entry]:
    """What another replica's fetch, which begins now, brings."""
    entry = entry_of(await redis.memory.begin(KEY))
    return entry.facts, entry


async def test_what_redis_lost_is_gone(replica: Replica, redis: Redis) -> None:
    """An order may have been lost with it."""
    await put(replica)
    redis.memory.flush()

    assert await replica.tiers.lookup(KEY, Course()) is None
    assert in_l1(replica) is None
