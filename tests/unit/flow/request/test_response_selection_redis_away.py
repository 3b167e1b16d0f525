from __future__ import annotations

import pytest

from gateway.core.errors import BudgetExhausted
from gateway.core.vocabulary import Outcome, Tier
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    KEY,
    SOFT,
    Redis,
    Replica,
    marks,
    minute_of,
    ok,
    says,
)


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
    """The later one is asked for again; it rescues where upstream fails or lags."""
    await other.fill(1)
    redis.switch.is_up = False
    await replica.fill(2)
    redis.switch.is_up = True

    replica.upstream.then(ok(1))
    lagging = await replica.get()
    replica.upstream.then(says(500))
    failing = await replica.get()
    replica.clock.advance(1.0)
    healed = await replica.fill(2)

    assert [minute_of(answer) for answer in (lagging, failing, healed)] == [2, 2, 2]
    assert healed.outcome is Outcome.FILLED
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


async def test_what_a_flushed_redis_cannot_confirm_rescues(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """While the upstream fails."""
    await replica.fill(1)
    redis.memory.flush()
    clock.advance(6.0)
    replica.upstream.always = says(500)

    assert marks(await replica.get())[:2] == (1, Outcome.STALE_ERROR)
