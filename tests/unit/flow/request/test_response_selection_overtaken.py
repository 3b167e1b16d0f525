"""Orders overtake fetches that bring something later: nobody gets something older after that."""

from __future__ import annotations

import asyncio
import math

import pytest

from gateway.core.cache.lease_result import Ending, ErrorKind
from gateway.core.cache.policy import Windows
from gateway.core.cache.write_invalidation import Written
from gateway.core.errors import BudgetExhausted, UpstreamError
from gateway.core.http.cache_control import request_directives_of
from gateway.core.http.fields import Reply
from gateway.core.instant import parse_instant
from gateway.core.vocabulary import EndingKind, NoticeKind, NotStoredReason, Outcome, Tier
from gateway.flow.answer import Ask
from gateway.flow.request.response_selection import Answer
from gateway.ports import Notice
from tests.doubles.bus import Hub
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    CALLER,
    KEY,
    Redis,
    Replica,
    directive_handler_of,
    minute_of,
    ok,
    says,
    settle,
)
from tests.unit.flow.leases import Town, leader_of
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
        replica.tiers.suspect()
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


async def test_a_replica_that_no_order_knows_of_gives_nobody_what_was_asked_for_before(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It started without Redis: an order may have been confirmed since the call began. Those who
    came meanwhile have one call together."""
    monkeypatch.setattr(replica.bus, "on_roll_until", -math.inf)
    monkeypatch.setattr(replica.bus, "alone_until", -math.inf)
    first = await asking(replica, 1)
    replica.upstream.then(ok(2))
    others = [asyncio.create_task(replica.get()) for _ in range(3)]
    await settle()

    assert minute_of(await answered(replica, first)) == 1
    assert [minute_of(await each) for each in others] == [2, 2, 2]
    assert replica.upstream.count == 2


@pytest.mark.parametrize("soft", [False, True])
async def test_a_failure_brings_back_nothing_that_an_order_ruled_out(
    replica: Replica, other: Replica, soft: bool
) -> None:
    """It waited for the API meanwhile. After a soft order the response may rescue, marked so."""
    await replica.fill(1)
    replica.clock.advance(400.0)
    replica.upstream.then(says(503))
    replica.upstream.hold()
    task = asyncio.create_task(replica.get())
    await settle()
    await other.invalidation.invalidate((KEY.training_id,), None, soft=soft)

    if soft:
        assert (await answered(replica, task)).handling.outdated
    else:
        with pytest.raises(UpstreamError):
            await answered(replica, task)


@pytest.mark.parametrize("ordered", [KEY.training_id, "trn_9"])
async def test_patience_brings_back_nothing_that_an_order_ruled_out(
    redis: Redis, clock: FakeClock, ordered: str
) -> None:
    """Who waited softly asks as if it came after the order. Another training's order changes
    nothing."""
    replica = Replica(clock, redis, windows=Windows(soft_wait=0.05))
    await replica.fill(1)
    clock.advance(400.0)
    never = asyncio.Event()

    async def slowly(call: object) -> Reply:
        await never.wait()
        return ok(1)

    replica.upstream.then(slowly, ok(2))
    task = asyncio.create_task(replica.get())
    await settle()
    await replica.invalidation.invalidate((ordered,), None)

    assert minute_of(await task) == (2 if ordered == KEY.training_id else 1)
    assert replica.upstream.count == (3 if ordered == KEY.training_id else 2)
    never.set()
    await replica.land()


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("soft_wait", [0.05, 60.0])
async def test_what_was_stored_after_the_order_is_the_answer(
    redis: Redis, clock: FakeClock, gone: bool, soft_wait: float
) -> None:
    """Another replica has fetched it. It is no rescue, and no stale response."""
    hub = Hub()
    replica, other = (
        Replica(clock, redis, windows=Windows(soft_wait=soft_wait), hub=hub) for _ in range(2)
    )
    await replica.fill(1)
    clock.advance(400.0)
    fails = asyncio.Event()

    async def slowly(call: object) -> Reply:
        await fails.wait()
        return says(503)

    replica.upstream.then(slowly)
    task = asyncio.create_task(replica.get())
    await settle()
    await other.invalidation.invalidate((KEY.training_id,), None)
    other.upstream.then(says(404) if gone else ok(2))
    await other.get()
    if soft_wait > 1.0:
        fails.set()

    answer = await answered(replica, task) if soft_wait > 1.0 else await task

    assert answer.outcome is (Outcome.NEGATIVE if gone else Outcome.FRESH)
    fails.set()
    await replica.land()


async def test_a_refresh_that_got_no_call_brings_back_nothing_either() -> None:
    """A request joined it, and asks again when it has ended."""
    town = Town()
    here = town.replica()
    await here.fill(1)
    town.clock.advance(40.0)
    leader = await leader_of(town)
    await here.get()  # begins a refresh, which follows the other replica
    await settle()
    handler = directive_handler_of(here)
    ask = Ask(KEY, CALLER, directives=request_directives_of(b"no-cache"))
    task = asyncio.create_task(handler.get(ask))
    await settle()
    await here.invalidation.invalidate((KEY.training_id,), None)
    here.upstream.then(says(503))
    await leader.end(Ending(EndingKind.GAVE_UP, ErrorKind.BUDGET_EXHAUSTED, "spent"))
    await town.pass_time(1.5)

    with pytest.raises((BudgetExhausted, UpstreamError)):
        await task


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


@pytest.mark.parametrize("ordered", [KEY.training_id, "trn_9"])
async def test_an_order_ends_the_rescue_of_its_own_training_alone(
    alone: Replica, ordered: str
) -> None:
    """Without Redis, also if L1 evicts the stale response while its request waits."""
    await alone.fill(1)
    alone.clock.advance(400.0)
    alone.upstream.then(says(503))
    alone.upstream.hold()
    task = asyncio.create_task(alone.get())
    await settle()
    alone.local.drop(KEY)
    await alone.invalidation.invalidate((ordered,), None)

    if ordered == KEY.training_id:
        with pytest.raises(UpstreamError):
            await answered(alone, task)
    else:
        assert (await answered(alone, task)).outcome is Outcome.STALE_ERROR


async def test_an_order_just_after_the_fetch_failed_ends_the_rescue(alone: Replica) -> None:
    """The fetch has ended, but the request that waits for it has not run yet."""
    await alone.fill(1)
    alone.clock.advance(400.0)
    alone.upstream.then(says(503))
    alone.upstream.hold()
    task = asyncio.create_task(alone.get())
    await settle()
    flight = alone.serving.fills.under_way(KEY)
    assert flight is not None
    order = Notice(NoticeKind.INVALIDATED, (KEY.training_id,))
    flight.when_ended(lambda: alone.invalidation.apply(order))

    with pytest.raises(UpstreamError):
        await answered(alone, task)
    await settle()
    assert alone.serving.fills._flying == {}


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("tier", "is_late"), [(Tier.L2, False), (Tier.L2, True), (Tier.L1, True)])
async def test_an_order_during_the_look_up_ends_the_rescue(
    replica: Replica, other: Replica, redis: Redis, tier: Tier, *, is_late: bool, soft: bool
) -> None:
    """Redis has answered before the order, and the fetch fails after it. `is_late`: the look-up has
    ended, but the request that waits for it has not run yet. After a soft order the response may
    rescue, marked so."""
    await (replica if tier is Tier.L1 else other).fill(1)
    replica.clock.advance(400.0)
    replica.upstream.then(says(503))
    redis.switch.hold()
    task = asyncio.create_task(replica.get())
    await settle()
    look_up = replica.serving.lookups.under_way(KEY)
    assert look_up is not None
    order = Notice(NoticeKind.INVALIDATED, (KEY.training_id,), soft=soft)
    await redis.memory.invalidate(KEY.training_id, None, soft=soft)
    if is_late:
        look_up.when_ended(lambda: replica.apply(order))
    else:
        replica.apply(order)
    redis.switch.release()

    if soft:
        assert (await task).handling.outdated
    else:
        with pytest.raises(UpstreamError):
            await task
    await settle()
    assert replica.serving.lookups._flying == {}


async def test_an_order_for_another_training_during_the_look_up_costs_no_further_one(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """The stored response may rescue, and Redis is not asked again whether it may."""
    await other.fill(1)
    replica.clock.advance(400.0)
    replica.upstream.then(says(503))
    before = redis.store.lookups
    redis.switch.hold()
    task = asyncio.create_task(replica.get())
    await settle()
    await other.invalidation.invalidate(("trn_9",), None)
    redis.switch.release()

    assert (await task).outcome is Outcome.STALE_ERROR
    assert (redis.store.lookups, redis.store.confirmed) == (before + 1, [])


async def test_an_order_during_the_first_of_two_fetches_ends_the_rescue(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that perhaps misses orders makes a second call for a request that joined the first.
    The second call fails."""
    await replica.fill(1)
    replica.clock.advance(400.0)
    monkeypatch.setattr(replica.bus, "on_roll_until", -math.inf)
    monkeypatch.setattr(replica.bus, "alone_until", -math.inf)
    first = await asking(replica, 2)
    second = asyncio.create_task(replica.get())
    await settle()
    await replica.invalidation.invalidate((KEY.training_id,), None)
    replica.upstream.then(says(503))

    assert minute_of(await answered(replica, first)) == 2
    with pytest.raises(UpstreamError):
        await second
    assert replica.upstream.count == 3


@pytest.mark.parametrize("name", ["alone", "replica"])
@pytest.mark.parametrize("soft", [False, True])
async def test_a_version_that_went_back_brings_back_nothing_that_an_order_ruled_out(
    request: pytest.FixtureRequest, name: str, soft: bool
) -> None:
    """The order names a version above that of the stored response, which is above that of the
    answer. After a soft order the stored response may be used, marked as outdated."""
    either = request.getfixturevalue(name)
    assert isinstance(either, Replica)
    await either.fill(5)
    either.clock.advance(400.0)
    task = await asking(either, 3)
    bound = parse_instant("2023-11-14T22:08:00Z")
    await either.invalidation.invalidate((KEY.training_id,), bound, soft=soft)

    answer = await answered(either, task)

    assert minute_of(answer) == (5 if soft else 3)
    assert answer.handling.not_stored is NotStoredReason.OLDER_VERSION
    assert answer.handling.outdated is soft
