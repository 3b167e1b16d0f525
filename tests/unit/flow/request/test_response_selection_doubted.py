"""Versions that went back are believed in the end, those that are far ahead never."""

from __future__ import annotations

import pytest

from gateway.core.cache.policy import Windows
from gateway.core.vocabulary import Cause, NotStoredReason, Outcome
from tests.doubles.bus import Hub
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import KEY, STALE, Redis, Replica, minute_of, ok

OLDER, SEEN = 1, 13
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


async def test_it_is_believed_after_a_minute(either: Replica) -> None:
    """Until then callers get what is stored, and few calls are made."""
    await doubted(either, OLDER)

    calls = await keep_asking(either, 58)
    assert minute_of(await either.get()) == SEEN
    assert 3 <= calls <= 8

    await keep_asking(either, BELIEVED_BY - 58)
    answer = await either.get()
    assert (minute_of(answer), answer.outcome) == (OLDER, Outcome.FRESH)
    assert either.observer.of("invalidated") == [(Cause.UPDATED_AT, "trn_1", 1)]
    assert either.observer.of("lagged") == []


async def test_the_others_follow_at_once(clock: FakeClock, redis: Redis) -> None:
    """What they hold is disbelieved, though its version is no lower."""
    hub = Hub()
    one, other = (Replica(clock, redis, hub=hub) for _ in range(2))
    await doubted(one, OLDER)
    assert minute_of(await other.get(only_if_cached=True)) == SEEN

    for _ in range(BELIEVED_BY):
        clock.advance(1.0)
        await one.get()
        await one.land()
        if minute_of(await one.get()) == OLDER:
            break
        assert minute_of(await other.get(only_if_cached=True)) == SEEN

    assert minute_of(await other.get(only_if_cached=True)) == OLDER


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


async def test_a_date_far_ahead_is_never_believed(either: Replica) -> None:
    """Callers get what is stored, and few calls are made."""
    await doubted(either, FAR)

    assert await keep_asking(either, BELIEVED_BY) <= 8

    assert minute_of(await either.get()) == SEEN
