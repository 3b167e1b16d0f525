from __future__ import annotations

import pytest

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.core.cache.policy import Windows
from gateway.core.errors import UpstreamError, UpstreamRefused
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Cause, NotStoredReason, Purpose
from gateway.core.vocabulary import StoreVerdict as Verdict
from gateway.flow.fill.fetch import Filled, Passed, Want
from gateway.ports import Call
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import CALLER, KEY, OURS, Redis, Replica, ok, says, training

NO_STORE = (b"cache-control", b"private, no-store")
SECOND = Key("p1", "trn_2")


async def fetch(
    replica: Replica, reply: Reply, caller: Caller = CALLER, key: Key = KEY
) -> Filled | Passed:
    """Fetch a key, revalidating what is held."""
    replica.upstream.then(reply)
    want = Want(key, caller, Purpose.REVALIDATION, replica.local.peek(key))
    return await replica.fetch(want)


async def in_l2(redis: Redis, key: Key = KEY) -> bool:
    """Whether Redis holds a body."""
    return (await redis.store.lookup(key)).entry is not None


async def test_a_401_drops_all_that_the_credential_stored(replica: Replica, redis: Redis) -> None:
    """In both tiers; the caller gets upstream's own words."""
    await fetch(replica, ok(1))
    await fetch(replica, ok(1, training_id="trn_2"), key=SECOND)

    passed = await fetch(replica, says(401))

    assert passed == Passed(says(401))
    assert replica.local.entries == 0
    assert not await in_l2(redis)
    assert not await in_l2(redis, SECOND)


async def test_a_401_for_our_own_token_is_our_fault(alone: Replica) -> None:
    """Nothing is dropped, and no caller gets to see it."""
    await fetch(alone, ok(1), OURS)

    with pytest.raises(UpstreamRefused):
        await fetch(alone, says(401), OURS)

    assert alone.local.entries == 1


async def test_a_403_drops_that_one_training(replica: Replica, redis: Redis) -> None:
    """In both tiers; the caller gets upstream's own words."""
    await fetch(replica, ok(1))
    await fetch(replica, ok(1, training_id="trn_2"), key=SECOND)

    passed = await fetch(replica, says(403))

    assert passed == Passed(says(403))
    assert replica.local.keys() == [SECOND]
    assert not await in_l2(redis)
    assert await in_l2(redis, SECOND)


async def test_another_4xx_passes_and_touches_nothing(alone: Replica) -> None:
    """It says nothing of what is stored."""
    await fetch(alone, ok(1))

    assert await fetch(alone, says(422)) == Passed(says(422))

    assert alone.local.entries == 1


async def test_a_5xx_touches_nothing(alone: Replica) -> None:
    """What is stored may rescue."""
    await fetch(alone, ok(1))

    with pytest.raises(UpstreamError):
        await fetch(alone, says(500))

    assert alone.local.entries == 1


async def test_no_store_is_respected(replica: Replica, redis: Redis) -> None:
    """The answer is given and kept nowhere."""
    filled = await fetch(replica, ok(1, NO_STORE))

    assert isinstance(filled, Filled)
    assert filled.held.entry.body == training(1)
    assert (filled.verdict, filled.not_stored) == (None, NotStoredReason.NO_STORE)
    assert replica.local.entries == 0
    assert not await in_l2(redis)
    assert replica.observer.of("not_stored") == [(KEY, NotStoredReason.NO_STORE)]


async def test_no_store_may_be_ignored(clock: FakeClock) -> None:
    """`freshness.no_store` says so."""
    replica = Replica(clock, windows=Windows(respect_no_store=False))

    await fetch(replica, ok(1, NO_STORE))

    assert replica.local.entries == 1


@pytest.mark.parametrize(
    ("reply", "cause"),
    [(ok(2, NO_STORE), Cause.UPDATED_AT), (says(404, NO_STORE), Cause.NOT_FOUND)],
)
async def test_what_must_not_be_stored_still_ends_what_is(
    replica: Replica, redis: Redis, reply: Reply, cause: Cause
) -> None:
    """Else the old version would be served, or would rescue, in place of the new one."""
    await fetch(replica, ok(1))

    await fetch(replica, reply)

    assert replica.local.entries == 0
    assert not await in_l2(redis)
    assert replica.observer.of("invalidated") == [(cause, "trn_1", 1)]


async def test_the_same_with_no_store_is_no_invalidation(alone: Replica) -> None:
    """It is kept no longer, but it has not changed."""
    await fetch(alone, ok(1))

    await fetch(alone, ok(1, NO_STORE))

    assert alone.local.entries == 0
    assert alone.observer.of("invalidated") == []


async def test_an_older_version_with_no_store_ends_nothing(alone: Replica) -> None:
    """What is stored is the later one."""
    await fetch(alone, ok(2))

    await fetch(alone, ok(1, NO_STORE))

    assert alone.local.entries == 1


async def test_an_older_version_is_refused_and_counted(alone: Replica) -> None:
    """It does not overwrite."""
    first = await fetch(alone, ok(2))

    filled = await fetch(alone, ok(1))

    assert isinstance(first, Filled)
    assert isinstance(filled, Filled)
    assert (filled.verdict, filled.not_stored) == (Verdict.OLDER, NotStoredReason.OLDER_VERSION)
    assert alone.local.peek(KEY) is first.held
    assert alone.observer.of("not_stored") == [(KEY, NotStoredReason.OLDER_VERSION)]
    assert alone.observer.of("regressed") == [("trn_1",)]


async def test_an_older_version_is_counted_without_redis_as_well(
    replica: Replica, redis: Redis
) -> None:
    """L1 tells."""
    redis.switch.is_up = False
    await fetch(replica, ok(2))

    await fetch(replica, ok(1))

    assert replica.observer.of("regressed") == [("trn_1",)]


async def test_an_earlier_fetch_of_the_same_version_is_no_regression(
    replica: Replica, other: Replica, clock: FakeClock
) -> None:
    """Another replica was quicker with the other of two bodies; upstream went not back."""

    async def be_late(call: Call) -> Reply:
        clock.advance(0.1)
        await fetch(other, Reply(200, (), training(1, title="Second")))
        return ok(1)

    replica.upstream.then(be_late)
    filled = await replica.fetch(Want(KEY, CALLER, Purpose.MISS))

    assert isinstance(filled, Filled)
    assert filled.verdict is Verdict.OLDER
    assert replica.observer.of("regressed") == []


async def test_a_404_of_an_earlier_fetch_is_no_regression(
    replica: Replica, other: Replica, clock: FakeClock
) -> None:
    """It has no version that could have gone back."""

    async def be_late(call: Call) -> Reply:
        clock.advance(0.1)
        await fetch(other, ok(1))
        return says(404)

    replica.upstream.then(be_late)
    filled = await replica.fetch(Want(KEY, CALLER, Purpose.MISS))

    assert isinstance(filled, Filled)
    assert filled.verdict is Verdict.OLDER
    assert replica.observer.of("regressed") == []


async def test_what_was_invalidated_during_the_fetch_is_not_stored(
    replica: Replica, redis: Redis
) -> None:
    """Those who wait get it all the same."""

    async def be_late(call: Call) -> Reply:
        await redis.store.invalidate("trn_1", None)
        return ok(1)

    replica.upstream.then(be_late)
    filled = await replica.fetch(Want(KEY, CALLER, Purpose.MISS))

    assert isinstance(filled, Filled)
    assert filled.held.entry.body == training(1)
    assert filled.not_stored is NotStoredReason.INVALIDATED
    assert replica.local.entries == 0
    assert not await in_l2(redis)
    assert replica.observer.of("not_stored") == [(KEY, NotStoredReason.INVALIDATED)]
    assert replica.observer.of("regressed") == []
