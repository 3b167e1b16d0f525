"""Orders to invalidate: nobody gets what they ruled out, or something older than before."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import UpstreamError
from gateway.core.http.cache_control import request_directives_of
from gateway.core.instant import Instant, parse_instant
from gateway.core.vocabulary import NotStoredReason, Outcome, Purpose
from gateway.flow.answer import Ask
from gateway.flow.fill.fetch import Want
from gateway.flow.request.response_selection import Answer
from tests.doubles.bus import Hub
from tests.doubles.clock import FakeClock
from tests.doubles.stored import version
from tests.unit.flow.house import (
    CALLER,
    KEY,
    SOFT,
    Redis,
    Replica,
    gateway_of,
    minute_of,
    ok,
    says,
    serve_stale,
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


async def test_what_redis_does_not_know_it_is_not_offered(replica: Replica, redis: Redis) -> None:
    """A write was done while Redis was away: what was asked before it is kept nowhere."""
    task = await asking(replica, 8)
    replica.invalidation.written_here((KEY.training_id,), KEY.partition)

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
    handler = gateway_of(replica)
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


async def hears_of_newer(redis: Redis) -> None:
    """A soft order names a version after the one that is known."""
    stored = (await redis.memory.lookup(KEY)).stored
    assert stored is not None
    assert stored.version is not None
    newer = Instant(stored.version + 1)
    await redis.memory.order(KEY.training_id, None, newer, is_hard=False)


DATE = b"Tue, 14 Nov 2023 22:01:00 GMT"


def minute(number: int) -> Instant:
    """The version of that minute."""
    return parse_instant(f"2023-11-14T22:{number:02d}:00Z")


async def order(replica: Replica, number: int = 3) -> None:
    """An operator tells of the version of that minute."""
    await replica.invalidation.invalidate((KEY.training_id,), minute(number))


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


async def test_a_refused_version_is_for_its_request_alone(behind: Replica) -> None:
    """Each request costs a call, and gets what the upstream says. Nothing is stored until the
    upstream has the version."""
    answers = [await behind.get() for _ in range(3)]

    assert behind.upstream.count == 4
    for each in answers:
        assert (minute_of(each), each.outcome) == (1, Outcome.FILLED)
        assert each.handling.not_stored is NotStoredReason.OLDER_VERSION
    behind.upstream.always = ok(3)
    assert minute_of(await behind.get()) == 3
    assert behind.peek() is not None


@pytest.mark.parametrize("told_by", ["a soft order", "a soft bound", "another replica"])
async def test_what_is_only_for_rescue_is_asked_for_without_validators(
    replica: Replica, redis: Redis, clock: FakeClock, told_by: str
) -> None:
    """A 304 would renew it: a date counts whole seconds, and a tag may stay the same."""
    await replica.fill(1, KEY, (b"etag", b'W/"1"'), (b"last-modified", DATE))
    clock.advance(6.0)
    if told_by == "another replica":
        await hears_of_newer(redis)
    else:
        bound = minute(3) if told_by == "a soft bound" else None
        await replica.invalidation.invalidate((KEY.training_id,), bound, soft=True)

    await replica.fill(3)

    call = replica.upstream.calls[-1]
    assert (replica.upstream.count, call.etag, call.last_modified) == (2, None, None)


async def test_it_is_no_rescue(behind: Replica) -> None:
    """An order leaves nothing to answer with once the upstream fails."""
    await behind.get()
    behind.upstream.always = says(500)
    behind.clock.advance(10.0)

    for _ in range(2):
        with pytest.raises(UpstreamError):
            await behind.get()


async def fetch(replica: Replica, minute: int) -> None:
    """Let a replica fetch that version, whatever is stored."""
    replica.upstream.then(ok(minute))
    await replica.fetch(Want(KEY, CALLER, Purpose.SWEEP))


async def ask(replica: Replica) -> asyncio.Task[Answer]:
    """Somebody asks, and waits."""
    task = asyncio.create_task(replica.get())
    await settle()
    return task


@pytest.mark.parametrize("bound", [None, version(10**15)])
async def test_an_order_not_heard_outlives_the_mark(
    replica: Replica, redis: Redis, bound: Instant | None
) -> None:
    """Redis lost the mark and nothing else: what the order ruled out may not even rescue."""
    await replica.fill(1)
    await redis.memory.order("trn_1", None, bound, is_hard=True)
    redis.memory.lose_mark("trn_1")
    replica.clock.advance(5.0)
    replica.upstream.always = says(500)

    with pytest.raises(UpstreamError):
        await replica.get()

    assert in_l1(replica) is None


async def test_a_look_up_that_a_fetch_overtook_is_kept(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """What it brought was answered with, and Redis may lose it."""
    await serve_stale(replica)
    replica.upstream.then(ok(1))
    replica.upstream.hold()
    await replica.get()  # and a refresh is under way
    await fetch(other, 3)
    replica.tiers.doubt(KEY)
    redis.switch.hold()
    early = await ask(replica)
    replica.upstream.release()
    await settle()
    assert replica.serving.fills.under_way(KEY) is None
    redis.switch.release()
    assert minute_of(await early) == 3
    redis.memory.flush()

    assert minute_of(await replica.get()) == 3
