"""Orders overtake fetches that bring something later: nobody gets something older after that."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.cache.write_invalidation import Written
from gateway.core.errors import UpstreamError
from gateway.core.http.cache_control import request_directives_of
from gateway.core.instant import parse_instant
from gateway.core.vocabulary import NotStoredReason, Outcome, Tier
from gateway.flow.answer import Ask
from gateway.flow.request.response_selection import Answer
from tests.doubles.bus import Hub
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    CALLER,
    KEY,
    SOFT,
    Redis,
    Replica,
    directive_handler_of,
    minute_of,
    ok,
    says,
    settle,
)
from tests.unit.flow.offering import in_l1


async def asking(replica: Replica, minute: int) -> asyncio.Task[Answer]:
    """Somebody asks, and the call that will bring that version is under way."""
    replica.upstream.then(ok(minute))
    replica.upstream.hold()
    task = asyncio.create_task(replica.get())
    await settle()
    return task


async def answered(replica: Replica, task: asyncio.Task[Answer]) -> Answer:
    """What it got in the end."""
    replica.upstream.release()
    return await task


@pytest.fixture
def other(clock: FakeClock, redis: Redis, hub: Hub) -> Replica:
    """Another replica, on the same bus."""
    return Replica(clock, redis, hub=hub)


@pytest.fixture
def replica(clock: FakeClock, redis: Redis, hub: Hub) -> Replica:
    """One with Redis."""
    return Replica(clock, redis, hub=hub)


@pytest.fixture
def hub() -> Hub:
    """Their bus."""
    return Hub()


async def test_what_an_order_overtook_is_not_followed_by_an_older_one(
    replica: Replica, other: Replica
) -> None:
    """Another replica asked after the order, and was answered sooner with less."""
    task = await asking(replica, 8)
    await replica.invalidation.invalidate((KEY.training_id,), None)
    await other.fill(7)

    first = await answered(replica, task)
    replica.upstream.then(ok(8))
    other.upstream.then(ok(8))
    answers = [await replica.get(), await other.get()]

    assert first.handling.not_stored is NotStoredReason.INVALIDATED
    assert [minute_of(each) for each in (first, *answers)] == [8, 8, 8]


async def test_the_others_hear_of_what_it_proved(replica: Replica, other: Replica) -> None:
    """What L1 holds elsewhere was good till then."""
    task = await asking(replica, 8)
    await replica.invalidation.invalidate((KEY.training_id,), None)
    await other.fill(7)

    await answered(replica, task)

    assert other.peek() is None


@pytest.mark.parametrize("is_flushed", [False, True])
async def test_an_order_with_a_bound_keeps_what_is_later(
    replica: Replica, redis: Redis, is_flushed: bool
) -> None:
    """In both tiers: Redis may lose it, and L1 had an older one."""
    await replica.fill(6)
    replica.clock.advance(400.0)
    task = await asking(replica, 8)
    await replica.invalidation.invalidate((KEY.training_id,), parse_instant("2023-11-14T22:05:00Z"))

    first = await answered(replica, task)
    if is_flushed:
        redis.memory.flush()
        replica.tiers.confirming.suspect()
    second = await replica.get()

    assert [minute_of(first), minute_of(second)] == [8, 8]
    assert second.tier is Tier.L1
    assert len(replica.upstream.calls) == 2


async def test_what_redis_does_not_know_it_is_not_offered(replica: Replica, redis: Redis) -> None:
    """A write was done while Redis was away: what was asked before it is kept nowhere."""
    task = await asking(replica, 8)
    replica.invalidation.written_here(Written((KEY.training_id,)), KEY.partition)

    first = await answered(replica, task)

    assert minute_of(first) == 8
    assert in_l1(replica) is None
    assert (await redis.store.lookup(KEY)).entry is None


@pytest.mark.parametrize("gone", [False, True])
async def test_an_order_for_another_training_hides_no_failure(
    replica: Replica, other: Replica, gone: bool
) -> None:
    """What the request refused is a rescue, marked so; a 404 is none."""
    replica.upstream.then(says(404) if gone else ok(1))
    await replica.get()
    replica.clock.advance(1.0)
    handler = directive_handler_of(replica)
    replica.upstream.then(says(503))
    replica.upstream.hold()
    ask = Ask(KEY, CALLER, directives=request_directives_of(b"no-cache"))
    task = asyncio.create_task(handler.get(ask))
    await settle()
    await other.invalidation.invalidate(("trn_9",), None)

    if gone:
        with pytest.raises(UpstreamError):
            await answered(replica, task)
    else:
        assert (await answered(replica, task)).outcome is Outcome.STALE_ERROR


async def test_an_order_concerns_requests_that_begin_after_it(replica: Replica) -> None:
    """A request that waits for the API meanwhile may be answered with what the order ruled out. A
    request that begins after the order joins no fetch from before it, and gets nothing older."""
    await replica.fill(1)
    replica.clock.advance(SOFT)
    replica.upstream.then(says(503), says(503))
    replica.upstream.hold()
    before = asyncio.create_task(replica.get())
    await settle()
    await replica.invalidation.invalidate((KEY.training_id,), None)
    after = asyncio.create_task(replica.get())
    await settle()

    answer = await answered(replica, before)

    assert (minute_of(answer), answer.outcome) == (1, Outcome.STALE_ERROR)
    with pytest.raises(UpstreamError):
        await after
    assert replica.upstream.count == 3
