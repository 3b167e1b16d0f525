"""What was answered with is followed by no older rescue, whatever Redis forgets or refuses."""

from __future__ import annotations

import pytest

from gateway.core.http.fields import Reply
from gateway.core.instant import Instant
from gateway.core.vocabulary import NotStoredReason, Outcome, Purpose, StoreVerdict
from gateway.flow.fill.fetch import Want
from gateway.flow.singleflight import Course
from tests.doubles.clock import FakeClock
from tests.doubles.stored import entry_of, version
from tests.unit.flow.house import (
    CALLER,
    KEY,
    Redis,
    Replica,
    minute_of,
    ok,
    says,
    serve_stale,
)
from tests.unit.flow.offering import in_l1, put


async def hears_of_newer(redis: Redis) -> None:
    """A soft order names a version after the one that is known."""
    floor = (await redis.memory.lookup(KEY)).floor
    assert floor is not None
    assert floor.updated_at is not None
    newer = Instant(floor.updated_at + 1)
    await redis.memory.invalidate(KEY.training_id, newer, soft=True)


def lose_all(replica: Replica, redis: Redis) -> None:
    """Redis is gone, and its memory; the API fails."""
    redis.memory.flush()
    redis.switch.is_up = False
    replica.upstream.always = says(500)


@pytest.fixture
async def outdated(replica: Replica, other: Replica, redis: Redis, clock: FakeClock) -> None:
    """L1 holds the first version, Redis a later one, and that is outdated too."""
    await serve_stale(replica)
    other.upstream.then(ok(8))
    await other.fetch(Want(KEY, CALLER, Purpose.SWEEP))
    clock.advance(1.0)
    await hears_of_newer(redis)
    replica.upstream.always = says(500)


@pytest.mark.usefixtures("outdated")
async def test_what_redis_gave_to_rescue_outlives_it(replica: Replica, redis: Redis) -> None:
    """The older body is none to go back to."""
    replica.clock.advance(6.0)
    first = await replica.get()
    lose_all(replica, redis)

    second = await replica.get()

    for answer in (first, second):
        assert (minute_of(answer), answer.outcome) == (8, Outcome.STALE_ERROR)


@pytest.mark.usefixtures("outdated")
async def test_it_does_nothing_but_rescue(replica: Replica, redis: Redis) -> None:
    """It was known to be outdated: nobody gets it unasked, though it is fresh by its age."""
    replica.clock.advance(6.0)
    await replica.get()
    lose_all(replica, redis)
    replica.upstream.always = ok(9)

    assert replica.peek() is None
    assert minute_of(await replica.get()) == 9


async def test_what_an_order_refused_takes_the_older_with_it(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """Redis forgets the order; this replica, which did not hear of it, gave something later."""
    await serve_stale(replica)
    redis.memory.flush()
    clock.advance(400.0)

    async def order_comes(call: object) -> Reply:
        await redis.memory.invalidate(KEY.training_id, None)
        return ok(8)

    replica.upstream.then(order_comes)
    first = await replica.get()
    lose_all(replica, redis)

    assert minute_of(first) == 8
    assert first.handling.not_stored is NotStoredReason.INVALIDATED
    assert in_l1(replica) is None


async def test_what_was_fetched_after_the_order_stays(replica: Replica, redis: Redis) -> None:
    """Whatever its version: the upstream may have gone back, and been believed."""
    early = entry_of(await replica.tiers.begin(KEY), version(5))
    await redis.memory.drop(KEY)
    await put(replica, version(1))

    stored = await replica.tiers.store(KEY, replica.tiers.render(early, 1000.0), Course())

    entry = in_l1(replica)
    assert stored.verdict is StoreVerdict.INVALIDATED
    assert entry is not None
    assert entry.updated_at == version(1)
