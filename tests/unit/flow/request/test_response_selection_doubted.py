"""Versions that went back, or are far ahead: what callers get, and when they are believed."""

from __future__ import annotations

import pytest

from gateway.core.cache.policy import Windows
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Cause, Detail, NotStoredReason, Outcome
from tests.doubles.bus import Hub
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import KEY, STALE, Redis, Replica, minute_of, ok

SEEN = 13
FAR = 59  # more than 5 minutes ahead, as long as no test takes half an hour
BELIEVED_BY = 70


async def keep_asking(replica: Replica, seconds: int) -> int:
    """A caller each second; how many calls that made."""
    before = replica.upstream.count
    for _ in range(seconds):
        replica.clock.advance(1.0)
        await replica.get()
        await replica.land()
    return replica.upstream.count - before


async def doubted(replica: Replica, minute: int) -> None:
    """The known version is stale, and upstream tells another one from now on."""
    await replica.fill(SEEN)
    replica.clock.advance(STALE)
    replica.upstream.always = ok(minute)


@pytest.fixture(params=["alone", "redis"])
def either(request: pytest.FixtureRequest) -> Replica:
    """A replica, both ways."""
    name = "alone" if request.param == "alone" else "replica"
    made = request.getfixturevalue(name)
    assert isinstance(made, Replica)
    return made


@pytest.mark.parametrize("minute", [1, FAR])
async def test_it_is_believed_after_a_minute(either: Replica, minute: int) -> None:
    """Until then callers get what is stored, and few calls are made."""
    await doubted(either, minute)

    calls = await keep_asking(either, 58)
    assert minute_of(await either.get()) == SEEN
    assert 3 <= calls <= 8

    await keep_asking(either, BELIEVED_BY - 58)
    answer = await either.get()
    assert (minute_of(answer), answer.outcome) == (minute, Outcome.FRESH)
    assert either.observer.of("invalidated") == [(Cause.UPDATED_AT, "trn_1", 1)]
    assert either.observer.of("lagged") == []


async def test_it_is_believed_without_redis(replica: Replica, redis: Redis) -> None:
    """L1 is what is known then."""
    redis.switch.is_up = False
    await doubted(replica, 1)

    await keep_asking(replica, 58)
    assert minute_of(await replica.get()) == SEEN
    await keep_asking(replica, BELIEVED_BY - 58)
    assert minute_of(await replica.get()) == 1


async def test_what_l1_kept_of_a_lost_redis_gives_way(replica: Replica, redis: Redis) -> None:
    """Its version is none that the new floor knows of; it does not freeze the training."""
    await doubted(replica, 1)
    redis.memory.flush()

    await keep_asking(replica, BELIEVED_BY)

    assert minute_of(await replica.get()) == 1


@pytest.mark.parametrize("minute", [1, FAR])
async def test_the_others_follow_at_once(clock: FakeClock, redis: Redis, minute: int) -> None:
    """What they hold is disbelieved, though its version is no lower."""
    hub = Hub()
    one, other = (Replica(clock, redis, hub=hub) for _ in range(2))
    await doubted(one, minute)
    assert minute_of(await other.get(only_if_cached=True)) == SEEN

    for _ in range(BELIEVED_BY):
        clock.advance(1.0)
        await one.get()
        await one.land()
        if minute_of(await one.get()) == minute:
            break
        assert minute_of(await other.get(only_if_cached=True)) == SEEN

    assert minute_of(await other.get(only_if_cached=True)) == minute


@pytest.mark.parametrize(("minute", "window"), [(1, 0.0), (FAR, 0.0), (1, 300.0), (FAR, 300.0)])
async def test_asking_again_backs_off(clock: FakeClock, minute: int, window: float) -> None:
    """Also where callers would wait for the answer."""
    windows = Windows(soft_wait=60.0, stale_while_revalidate=window, believe_after=1e6)
    alone = Replica(clock, windows=windows)
    await doubted(alone, minute)

    assert await keep_asking(alone, 60) <= 7


async def test_a_date_far_ahead_is_answered_where_nothing_is_stored(either: Replica) -> None:
    """And not kept."""
    answer = await either.fill(FAR)

    assert (minute_of(answer), answer.outcome) == (FAR, Outcome.FILLED)
    assert answer.handling.not_stored is NotStoredReason.FUTURE_VERSION
    assert either.observer.of("not_stored") == [(KEY, NotStoredReason.FUTURE_VERSION)]
    assert either.observer.of("regressed") == []
    assert either.peek() is None


async def test_a_date_far_ahead_does_not_replace(either: Replica) -> None:
    """The stored one rescues, and says why."""
    await either.fill(SEEN)
    either.clock.advance(400.0)

    answer = await either.fill(FAR)

    assert (minute_of(answer), answer.outcome) == (SEEN, Outcome.STALE_ERROR)
    assert answer.handling.not_stored is NotStoredReason.FUTURE_VERSION


@pytest.mark.parametrize("minute", [1, FAR])
async def test_a_purge_believes_at_once(either: Replica, minute: int) -> None:
    """The operator knows."""
    await doubted(either, minute)
    await keep_asking(either, 3)

    await either.invalidation.purge(None, soft=False)

    answer = await either.get()
    assert (minute_of(answer), answer.handling.stored) == (minute, True)
    assert minute_of(await either.get()) == minute


async def test_a_flapping_upstream_is_never_believed(alone: Replica) -> None:
    """One of its two servers was restored: each true answer ends the doubt."""
    await doubted(alone, 1)

    for _ in range(20):
        await keep_asking(alone, 40)
        alone.upstream.then(ok(SEEN))
        alone.clock.advance(40.0)
        await alone.get()
        await alone.land()

    assert minute_of(await alone.get()) == SEEN


async def test_a_true_answer_ends_the_doubt_without_redis(replica: Replica, redis: Redis) -> None:
    """As it does with Redis."""
    redis.switch.is_up = False
    await doubted(replica, 1)
    await keep_asking(replica, 40)
    replica.upstream.always = ok(SEEN)
    await keep_asking(replica, 40)

    replica.upstream.always = ok(1)
    await keep_asking(replica, 50)

    assert minute_of(await replica.get()) == SEEN


async def test_who_waits_is_told_of_the_change(clock: FakeClock) -> None:
    """A belief is a change like any."""
    windows = Windows(soft_wait=60.0, stale_while_revalidate=0.0, believe_after=0.0)
    alone = Replica(clock, windows=windows)
    await doubted(alone, 1)

    details = []
    for _ in range(3):
        clock.advance(2.0)
        details.append((await alone.get()).handling.detail)

    assert details == [None, None, Detail.CHANGED]


async def test_nobody_asks_for_what_nobody_reads(alone: Replica, clock: FakeClock) -> None:
    """A doubt makes no calls of its own."""
    await doubted(alone, 1)
    await keep_asking(alone, 2)
    before = alone.upstream.count

    clock.advance(3600.0)
    await alone.land()

    assert alone.upstream.count == before


async def test_an_overtaken_fetch_is_no_regression(
    replica: Replica, other: Replica, clock: FakeClock
) -> None:
    """Upstream went on while it was under way, and another replica saw it."""

    async def be_late(call: object) -> Reply:
        clock.advance(0.1)
        await other.fill(2)
        return ok(1)

    replica.upstream.then(be_late)
    await replica.get()

    assert replica.observer.of("regressed") == []
