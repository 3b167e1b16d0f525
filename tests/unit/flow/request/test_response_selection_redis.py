from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import BudgetExhausted
from gateway.core.http.cache_status import Handling
from gateway.core.vocabulary import Detail, Outcome, Purpose, Tier
from gateway.flow.fill.fetch import Want
from gateway.flow.request.response_selection import Answer
from gateway.ports import Held
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    CALLER,
    KEY,
    SOFT,
    Redis,
    Replica,
    marks,
    minute_of,
    ok,
    says,
    settle,
)


async def fetch(replica: Replica, minute: int) -> None:
    """Let a replica fetch that version, whatever is stored."""
    replica.upstream.then(ok(minute))
    await replica.fetch(Want(KEY, CALLER, Purpose.SWEEP))


async def test_a_hit_in_redis_is_promoted(replica: Replica, other: Replica) -> None:
    """The second answer awaits nothing; neither costs a call."""
    filled = await other.fill(1)

    answer = await replica.get()

    assert isinstance(filled.content, Held)
    once_read = filled.content.but(reads=1)
    assert answer == Answer(once_read, Outcome.FRESH, Tier.L2, Handling(Detail.L2))
    second = replica.peek()
    assert second is not None
    assert (second.outcome, second.tier) == (Outcome.FRESH, Tier.L1)
    assert replica.upstream.count == 0


async def test_redis_is_asked_once_for_all(replica: Replica, other: Replica, redis: Redis) -> None:
    """All who come while the question is on its way wait for the one answer."""
    await other.fill(1)
    before = redis.store.lookups
    redis.switch.hold()
    waiting = [asyncio.create_task(replica.get()) for _ in range(50)]
    await settle()

    waiting[0].cancel()
    await settle()
    redis.switch.release()
    answers = await asyncio.gather(*waiting[1:])

    assert {answer.tier for answer in answers} == {Tier.L2}
    assert redis.store.lookups == before + 1


async def test_a_404_in_redis_is_told(replica: Replica, other: Replica) -> None:
    """It is known to all replicas."""
    other.upstream.then(says(404))
    await other.get()

    answer = await replica.get()

    assert (answer.outcome, answer.tier) == (Outcome.NEGATIVE, Tier.L2)
    assert answer.handling == Handling(Detail.NEGATIVE)


async def test_a_new_version_of_another_replica_shows_within_l1s_lifetime(
    replica: Replica, other: Replica, clock: FakeClock
) -> None:
    """Though what L1 holds is fresh still."""
    await replica.fill(1)
    await fetch(other, 2)
    clock.advance(4.9)
    assert minute_of(await replica.get()) == 1
    clock.advance(0.1)

    answer = await replica.get()

    assert (minute_of(answer), answer.outcome, answer.tier) == (2, Outcome.FRESH, Tier.L2)


async def test_what_landed_while_redis_was_asked_is_taken(replica: Replica, redis: Redis) -> None:
    """Redis had nothing, but by then L1 has something: that costs no second call."""
    redis.switch.hold()
    waiter = asyncio.create_task(replica.get())
    await settle()
    await fetch(replica, 1)

    redis.switch.release()

    assert minute_of(await waiter) == 1
    assert replica.upstream.count == 1


async def test_a_read_that_asked_redis_counts(replica: Replica, clock: FakeClock) -> None:
    """Or what is read every few seconds would seem never to be read."""
    await replica.fill(1)
    for _ in range(3):
        clock.advance(6.0)
        assert replica.peek() is None
        await replica.get()

    held = replica.local.peek(KEY)
    assert held is not None
    assert held.reads_since == 3


async def test_redis_away_changes_nothing_for_what_l1_holds(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """It is fresh as long as it says itself, then stale and refreshed."""
    await replica.fill(1)
    redis.switch.is_up = False
    clock.advance(29.0)
    assert marks(await replica.get())[:2] == (1, Outcome.FRESH)

    clock.advance(2.0)
    replica.upstream.then(ok(2))
    assert marks(await replica.get())[:2] == (1, Outcome.STALE_REFRESHING)
    await replica.land()

    assert marks(await replica.get())[:2] == (2, Outcome.FRESH)


async def test_redis_away_lets_a_miss_be_filled(clock: FakeClock) -> None:
    """Paid from the reserve, and held in L1."""
    redis = Redis(clock, limit=40)
    replica = Replica(clock, redis, limit=40)
    replica.budget.view("default")
    clock.advance(61.0)
    redis.switch.is_up = False

    answer = await replica.fill(1)

    assert (minute_of(answer), answer.outcome) == (1, Outcome.FILLED)
    assert marks(await replica.get())[:2] == (1, Outcome.FRESH)
    assert redis.budget.view("default").available == 40
    clock.advance(SOFT)
    await replica.fill(2)
    with pytest.raises(BudgetExhausted):
        await replica.get(KEY._replace(training_id="trn_2"))


async def test_redis_back_shows_what_others_stored_meanwhile(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """An entry that was fetched without it hides nothing, fresh as it may be."""
    redis.switch.is_up = False
    await replica.fill(1)
    redis.switch.is_up = True
    await other.fill(2)

    answer = await replica.get()

    assert (minute_of(answer), answer.outcome, answer.tier) == (2, Outcome.FRESH, Tier.L2)


async def test_redis_back_does_not_bring_an_older_version_back(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """The later one is asked for again. The older one only rescues, because it may not be served
    after the later one."""
    await other.fill(1)
    redis.switch.is_up = False
    await replica.fill(2)
    redis.switch.is_up = True

    replica.upstream.then(says(500))
    failing = await replica.get()
    replica.clock.advance(1.0)
    healed = await replica.fill(2)

    assert (minute_of(failing), failing.outcome) == (1, Outcome.STALE_ERROR)
    assert (minute_of(healed), healed.outcome) == (2, Outcome.FILLED)
    assert marks(await replica.get())[:2] == (2, Outcome.FRESH)
    other.clock.advance(5.0)
    assert minute_of(await other.get()) == 2


async def test_a_flushed_redis_is_filled_again(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """What L1 holds is asked about, since an order may be lost: that makes floor and body anew."""
    await replica.fill(1)
    redis.memory.flush()
    clock.advance(6.0)
    replica.upstream.then(ok(1))

    assert marks(await replica.get())[:2] == (1, Outcome.FILLED)

    assert (await redis.store.lookup(KEY)).entry is not None
    assert marks(await replica.get())[:2] == (1, Outcome.FRESH)
