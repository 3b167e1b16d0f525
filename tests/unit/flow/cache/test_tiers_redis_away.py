from __future__ import annotations

import math

import pytest

from gateway.core.cache.entry import Ticket
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import StoreVerdict
from gateway.flow.singleflight import Course
from tests.doubles.clock import FakeClock
from tests.doubles.stored import entry_of, version
from tests.unit.flow.house import KEY, Redis, Replica
from tests.unit.flow.offering import find, put


async def test_a_ticket_without_redis_has_no_generation(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """It is timed by the clock that stands in for Redis'."""
    redis.switch.is_up = False

    assert await replica.tiers.begin(KEY) == Ticket("", 0, clock.now())


async def test_l1_answers_alone(replica: Replica, redis: Redis, clock: FakeClock) -> None:
    """However long ago it was confirmed."""
    await put(replica)
    redis.switch.is_up = False
    clock.advance(3600.0)

    assert replica.tiers.peek(KEY) is not None
    assert (await find(replica)).held.entry.updated_at == version()


async def test_l1_answers_alone_for_as_long_as_orders_count_with_it(
    replica: Replica, redis: Redis, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From then on what is held may rescue, and nothing else, though it is fresh."""
    await put(replica)
    redis.switch.is_up = False
    monkeypatch.setattr(replica.bus, "vouched_until", clock.monotonic() + 10.0)

    clock.advance(9.9)
    assert replica.tiers.peek(KEY) is not None
    assert not (await find(replica)).below_floor

    clock.advance(0.1)
    assert replica.tiers.peek(KEY) is None
    assert (await find(replica)).below_floor


async def test_what_was_held_in_a_gap_rescues_for_as_long_as_orders_count_with_it(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """Where Redis has lost what it knew: the order may have been lost with it."""
    await put(replica)
    clock.advance(1.0)
    redis.memory.flush()
    replica.invalidation.gap(clock.monotonic() + 10.0)

    clock.advance(9.9)
    assert (await find(replica)).below_floor
    clock.advance(0.1)
    assert await replica.tiers.lookup(KEY, Course()) is None


async def test_what_redis_does_not_know_goes_where_orders_do_not_count_with_it(
    replica: Replica, redis: Redis, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis is back before this replica is a member again: an order was given for 200 since."""
    await put(replica)
    redis.memory.flush()
    monkeypatch.setattr(replica.bus, "counted_until", -math.inf)
    monkeypatch.setattr(replica.bus, "vouched_until", clock.monotonic() + 10.0)

    clock.advance(9.9)
    assert (await find(replica)).below_floor
    clock.advance(0.1)
    assert await replica.tiers.lookup(KEY, Course()) is None


async def test_what_redis_lost_rescues_where_orders_wait_for_the_replica(
    replica: Replica, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in its first two seconds, when it may not answer without Redis yet."""
    await put(replica)
    redis.memory.flush()
    monkeypatch.setattr(replica.bus, "vouched_until", -math.inf)

    assert (await find(replica)).below_floor


async def test_what_redis_lost_goes_in_the_first_seconds_without_notices(
    replica: Replica, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order may have been confirmed without this replica."""
    await put(replica)
    redis.memory.flush()
    monkeypatch.setattr(replica.bus, "vouched_until", -math.inf)
    monkeypatch.setattr(type(replica.bus), "is_connected", False)

    assert not replica.tiers.confirming.hears_orders()
    assert await replica.tiers.lookup(KEY, Course()) is None


async def test_what_redis_knows_outlives_a_gap(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """It knows each order, too."""
    await put(replica)
    clock.advance(1.0)
    replica.invalidation.gap(clock.monotonic() + 10.0)
    clock.advance(11.0)

    assert not (await find(replica)).below_floor


async def test_what_came_after_a_gap_rescues(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """No order was missed since."""
    replica.invalidation.gap(clock.monotonic() + 1.0)
    clock.advance(2.0)
    await put(replica)
    redis.memory.flush()

    assert (await find(replica)).below_floor


async def test_what_was_held_in_a_gap_answers_no_longer_in_the_next_absence(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """Though nobody asked for it between the two."""
    await put(replica)
    clock.advance(1.0)
    replica.invalidation.gap(clock.monotonic() + 10.0)
    redis.switch.is_up = False

    clock.advance(9.9)
    assert replica.tiers.peek(KEY) is not None
    clock.advance(0.1)
    assert replica.tiers.peek(KEY) is None
    assert await replica.tiers.lookup(KEY, Course()) is None


async def test_a_new_replica_without_notices_asks_redis(
    replica: Replica, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis may have lost it before another replica knew it. It does not hear of orders then."""
    await put(replica)
    monkeypatch.setattr(replica.bus, "vouched_until", -math.inf)
    assert replica.tiers.peek(KEY) is not None

    monkeypatch.setattr(type(replica.bus), "is_connected", False)

    assert replica.tiers.peek(KEY) is None
    assert not (await find(replica)).below_floor


async def test_off_the_roll_l1_asks_redis_each_time(
    replica: Replica, redis: Redis, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No order waits for this replica, whenever Redis agreed last."""
    await put(replica)
    monkeypatch.setattr(replica.bus, "counted_until", clock.monotonic() + 1.0)
    assert replica.tiers.peek(KEY) is not None
    clock.advance(1.0)

    for asked in (1, 2):
        assert replica.tiers.peek(KEY) is None
        assert not (await find(replica)).below_floor
        assert redis.store.confirmed == [1] * asked


async def test_a_fetch_is_held_in_l1(replica: Replica, redis: Redis) -> None:
    """The first, a later one and the same again."""
    redis.switch.is_up = False

    verdicts = [(await put(replica, version(n))).verdict for n in (1, 2, 2)]

    assert verdicts == [StoreVerdict.FIRST, StoreVerdict.CHANGED, StoreVerdict.UNCHANGED]
    assert (await find(replica)).held.entry.updated_at == version(2)


async def test_an_older_version_does_not_overwrite(replica: Replica, redis: Redis) -> None:
    """What is known instead is told."""
    redis.switch.is_up = False
    await put(replica, version(2))

    stored = await put(replica, version(1))

    assert stored.verdict is StoreVerdict.OLDER
    assert stored.floor is not None
    assert stored.floor.updated_at == version(2)
    assert (await find(replica)).held.entry.updated_at == version(2)


async def test_a_repeated_404_changes_nothing(replica: Replica, redis: Redis) -> None:
    """Whatever its words."""
    redis.switch.is_up = False
    await put(replica, version(1))

    first, second = await put(replica, None, b"gone"), await put(replica, None, b"still gone")

    assert first.verdict is StoreVerdict.CHANGED
    assert second.verdict is StoreVerdict.UNCHANGED


async def test_a_failed_look_up_confirms_nothing(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """When Redis is back, L1 asks it at the first request."""
    await put(replica)
    clock.advance(6.0)
    redis.switch.is_up = False
    await find(replica)

    redis.switch.is_up = True

    assert replica.tiers.peek(KEY) is None


async def test_a_later_version_in_redis_is_not_hidden(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """An entry fetched while Redis was away gives way as soon as it is back."""
    redis.switch.is_up = False
    await put(replica, version(1))
    redis.switch.is_up = True
    await put(other, version(2))

    assert replica.tiers.peek(KEY) is None

    assert (await find(replica)).held.entry.updated_at == version(2)


async def test_a_fetch_that_redis_missed_the_end_of_is_not_hidden_either(
    replica: Replica, redis: Redis
) -> None:
    """It went away between a fetch's beginning and its end."""
    entry = entry_of(await replica.tiers.begin(KEY))
    redis.switch.is_up = False
    await replica.tiers.store(KEY, replica.tiers.render(entry, 1000.0), Course())
    assert replica.tiers.peek(KEY) is not None

    redis.switch.is_up = True

    assert replica.tiers.peek(KEY) is None


async def test_an_older_version_in_redis_is_not_gone_back_to(
    replica: Replica, redis: Redis
) -> None:
    """What was fetched meanwhile is later: it is asked for again, and rescues until then."""
    await put(replica, version(1))
    redis.switch.is_up = False
    await put(replica, version(2))
    redis.switch.is_up = True

    seen = await replica.tiers.lookup(KEY, Course())

    assert seen is not None
    assert (seen.held.entry.updated_at, seen.below_floor) == (version(2), True)


async def test_an_older_answer_does_not_replace_it_even_where_redis_would_take_it(
    replica: Replica, redis: Redis
) -> None:
    """Redis knows the older version only; this replica knows better."""
    await put(replica, version(1))
    redis.switch.is_up = False
    await put(replica, version(2))
    redis.switch.is_up = True

    stored = await put(replica, version(1))

    assert stored.verdict is StoreVerdict.OLDER
    assert (await find(replica)).held.entry.updated_at == version(2)


async def test_dropping_forgets_what_l1_holds(replica: Replica, redis: Redis) -> None:
    """One key, or a partition."""
    await put(replica)
    redis.switch.is_up = False

    with pytest.raises(RedisUnavailable):
        await replica.tiers.drop(KEY)
    assert replica.local.peek(KEY) is None

    await put(replica)
    await replica.invalidation.refused("p1")
    assert replica.local.peek(KEY) is None
