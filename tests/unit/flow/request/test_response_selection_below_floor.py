"""Trainings of which a later version is known than the upstream tells: callers get what it told a
moment ago, and few calls are made."""

from __future__ import annotations

import pytest

from gateway.core.errors import UpstreamError, VersionNotReached
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Reply
from gateway.core.instant import Instant, parse_instant
from gateway.core.vocabulary import NotStoredReason, Outcome, Tier
from gateway.flow.answer import Ask
from gateway.flow.request.min_version import Reaching
from gateway.ports import Call
from tests.doubles.bus import Hub, HubBus
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import CALLER, KEY, Redis, Replica, minute_of, ok, says, share_of
from tests.unit.flow.request.test_response_selection_rescued import hears_of_newer

FAR = 59
DATE = b"Tue, 14 Nov 2023 22:01:00 GMT"


def minute(number: int) -> Instant:
    """The version of that minute."""
    return parse_instant(f"2023-11-14T22:{number:02d}:00Z")


async def order(replica: Replica, number: int = 3) -> None:
    """An operator tells of the version of that minute."""
    await replica.invalidation.invalidate((KEY.training_id,), minute(number))


async def read(replica: Replica, seconds: int, each: float = 0.1) -> tuple[set[int], int]:
    """A caller each tenth of a second, for so long: the versions given, and the calls made."""
    before, given = replica.upstream.count, set()
    for _ in range(round(seconds / each)):
        given.add(minute_of(await replica.get()))
        replica.clock.advance(each)
    await replica.land()
    return given, replica.upstream.count - before


@pytest.fixture(params=["alone", "redis"])
async def behind(request: pytest.FixtureRequest) -> Replica:
    """An order told of the third version, the upstream has the first; with Redis and without."""
    name = "alone" if request.param == "alone" else "replica"
    made = request.getfixturevalue(name)
    assert isinstance(made, Replica)
    await made.fill(1)
    made.upstream.always = ok(1)
    made.clock.advance(1.0)
    await order(made)
    return made


async def test_requests_after_an_order_cost_few_calls(behind: Replica) -> None:
    """110 of them in eleven seconds, each answered with what the upstream says."""
    assert await read(behind, 11) == ({1}, 4)


async def test_it_is_asked_again_each_ten_seconds(clock: FakeClock, behind: Replica) -> None:
    """However often it failed before; the first waits are shorter."""
    await read(behind, 31)

    _, calls = await read(behind, 20)

    assert 1 <= calls <= 2


async def test_what_is_told_says_that_it_only_stands_in(behind: Replica) -> None:
    """The first answer is the upstream's; neither is stored, here or by the caller."""
    first, second = await behind.get(), await behind.get()

    assert (first.outcome, first.handling.forward_status) == (Outcome.FILLED, 200)
    assert (second.outcome, second.tier) == (Outcome.STALE_ERROR, Tier.L1)
    told = Handling(not_stored=NotStoredReason.OLDER_VERSION)
    assert second.handling == told
    assert behind.peek() is None


async def test_requests_after_a_raise_by_the_list_cost_few_calls(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """What is stored is below the version that the list claims."""
    await replica.fill(1)
    replica.upstream.always = ok(1)
    clock.advance(6.0)
    await hears_of_newer(redis, clock)

    given, calls = await read(replica, 11)

    assert given == {1}
    assert calls <= 5


@pytest.mark.parametrize("told", [1, FAR])
async def test_what_is_stored_is_given_where_it_is_the_better_one(
    replica: Replica, redis: Redis, clock: FakeClock, told: int
) -> None:
    """It is later than what the upstream tells, or that is far ahead."""
    await replica.fill(2)
    replica.upstream.always = ok(told)
    clock.advance(6.0)
    await hears_of_newer(redis, clock)

    given, calls = await read(replica, 11)

    assert given == {2}
    assert calls <= 5


async def test_a_date_far_ahead_costs_few_calls(alone: Replica) -> None:
    """It is not stored, and nothing else is there."""
    alone.upstream.always = ok(FAR)

    given, calls = await read(alone, 11)

    assert given == {FAR}
    assert calls <= 5


async def test_it_heals_by_itself(behind: Replica) -> None:
    """Ten seconds after the upstream has the version, at most."""
    await read(behind, 11)
    behind.upstream.always = ok(3)
    await read(behind, 10)

    answer = await behind.get()

    assert (minute_of(answer), answer.outcome) == (3, Outcome.FRESH)


@pytest.mark.parametrize("told_by", ["a soft order", "a soft bound", "the list"])
async def test_what_is_below_the_floor_is_asked_for_without_validators(
    replica: Replica, redis: Redis, clock: FakeClock, told_by: str
) -> None:
    """A 304 would renew it: a date counts whole seconds, and a tag may stay the same."""
    await replica.fill(1, KEY, (b"etag", b'W/"1"'), (b"last-modified", DATE))
    clock.advance(6.0)
    if told_by == "the list":
        await hears_of_newer(redis, clock)
    else:
        bound = minute(3) if told_by == "a soft bound" else None
        await replica.invalidation.invalidate((KEY.training_id,), bound, soft=True)

    await replica.fill(3)

    call = replica.upstream.calls[-1]
    assert (replica.upstream.count, call.etag, call.last_modified) == (2, None, None)


@pytest.mark.parametrize("number", [3, 4])
async def test_another_order_ends_the_wait(behind: Replica, number: int) -> None:
    """Also one for the same version: what was told before it is given no more."""
    await read(behind, 4)
    behind.upstream.always = ok(number)
    await order(behind, number)

    assert minute_of(await behind.get()) == number


async def test_what_an_order_overtook_is_not_given_again(behind: Replica) -> None:
    """The call began before it, though the version that it names was known."""

    async def overtaken(call: Call) -> Reply:
        await order(behind)
        return ok(1)

    behind.upstream.then(overtaken)
    await behind.get()
    behind.upstream.always = ok(3)

    assert minute_of(await behind.get()) == 3


async def test_a_purge_ends_the_wait(behind: Replica) -> None:
    """The next answer is taken, whatever its version."""
    await read(behind, 4)
    behind.upstream.always = ok(2)
    await behind.invalidation.purge(None, soft=False)

    answer = await behind.get()

    assert (minute_of(answer), answer.handling.stored) == (2, True)


async def test_an_order_not_heard_ends_it_too(replica: Replica, redis: Redis) -> None:
    """Redis knows it."""
    replica.upstream.always = ok(1)
    await order(replica)
    await read(replica, 4)
    replica.upstream.always = ok(4)
    await redis.store.invalidate(KEY.training_id, minute(4))

    assert minute_of(await replica.get()) == 4


async def test_nothing_is_given_again_where_orders_do_not_wait(
    clock: FakeClock, redis: Redis
) -> None:
    """A replica that was stopped may have missed one that changed nothing of the floor."""
    hub = Hub()
    replica = Replica(clock, redis, hub=hub)
    assert isinstance(replica.bus, HubBus)
    replica.upstream.always = ok(1)
    await order(replica)
    await read(replica, 4)
    replica.bus.on_roll_until = clock.monotonic()
    replica.upstream.always = ok(3)

    assert minute_of(await replica.get()) == 3


async def test_what_redis_lost_ends_it(replica: Replica, redis: Redis) -> None:
    """With the floor an order may be lost."""
    replica.upstream.always = ok(1)
    await order(replica)
    await read(replica, 4)
    redis.memory.lose_floor(KEY)
    replica.upstream.always = ok(3)

    assert minute_of(await replica.get()) == 3


async def test_what_another_replica_stored_is_not_followed_by_it(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """Although Redis lost the body by then."""
    replica.upstream.always = ok(1)
    await order(replica)
    await read(replica, 4)
    await other.fill(3)
    redis.memory.lose_body(KEY)
    replica.upstream.always = ok(3)

    assert minute_of(await replica.get()) == 3


async def test_it_is_no_rescue(behind: Replica) -> None:
    """An order leaves nothing to answer with once the upstream fails."""
    await read(behind, 4)
    behind.upstream.always = says(500)
    behind.clock.advance(10.0)

    for _ in range(2):
        with pytest.raises(UpstreamError):
            await behind.get()


async def test_versions_that_it_reaches_cost_no_call(behind: Replica) -> None:
    """A later one does, for whoever just wrote it."""
    reaching = Reaching(behind.serving, behind.clock, share_of(behind.clock, None))
    wants = [Ask(KEY, CALLER, at_least=minute(each)) for each in (1, 3)]
    await reaching.get(wants[0], behind.serving)
    before = behind.upstream.count

    answers = [await reaching.get(wants[0], behind.serving) for _ in range(5)]
    assert {minute_of(each) for each in answers} == {1}
    assert behind.upstream.count == before

    with pytest.raises(VersionNotReached):
        await reaching.get(wants[1], behind.serving)
    assert behind.upstream.count == before + 1
