"""Redis forgets, or knows of an order first, while fetches and look-ups are under way: no version
that was answered with is followed by an older one."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.cache.entry import Entry, Key
from gateway.core.errors import UpstreamError
from gateway.core.instant import Instant
from gateway.core.vocabulary import NotStoredReason, Outcome, Purpose, StoreVerdict
from gateway.flow.fill.fetch import Want
from gateway.flow.request.response_selection import Answer
from gateway.flow.singleflight import Course
from gateway.ports import Stored
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
    settle,
)
from tests.unit.flow.offering import in_l1, put


async def fetch(replica: Replica, minute: int) -> None:
    """Let a replica fetch that version, whatever is stored."""
    replica.upstream.then(ok(minute))
    await replica.fetch(Want(KEY, CALLER, Purpose.SWEEP))


async def ask(replica: Replica) -> asyncio.Task[Answer]:
    """Somebody asks, and waits."""
    task = asyncio.create_task(replica.get())
    await settle()
    return task


async def offer_late(replica: Replica, redis: Redis, later: int, flight: Course) -> None:
    """Redis loses all it knew while a fetch of that version is on its way."""
    ticket = await replica.tiers.begin(KEY)
    redis.memory.flush()
    held = replica.tiers.render(entry_of(ticket, version(later)), replica.clock.monotonic())
    stored = await replica.tiers.store(KEY, held, flight)
    assert stored.verdict is StoreVerdict.INVALIDATED


async def test_l1_remembers_what_redis_refused_for_its_loss(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """The answer was given, so the older body that Redis has by then is none to go on with."""
    replica.upstream.then(ok(3))
    replica.upstream.hold()
    waiter = await ask(replica)
    redis.memory.flush()
    await fetch(other, 2)
    replica.upstream.release()
    first = await waiter
    replica.upstream.then(ok(3))

    second = await replica.get()

    assert first.handling.not_stored is NotStoredReason.INVALIDATED
    assert (minute_of(first), minute_of(second)) == (3, 3)
    assert second.handling.not_stored is None


async def test_it_is_doubted(replica: Replica, redis: Redis) -> None:
    """Redis may know better by now."""
    await offer_late(replica, redis, 2, Course())

    assert in_l1(replica) is not None
    assert replica.tiers.peek(KEY) is None


async def test_an_older_one_replaces_nothing(replica: Replica, redis: Redis) -> None:
    """L1 holds the later version already."""
    await put(replica, version(2))

    await offer_late(replica, redis, 1, Course())

    entry = in_l1(replica)
    assert entry is not None
    assert entry.updated_at == version(2)


async def test_what_an_order_outdated_is_not_remembered(replica: Replica, redis: Redis) -> None:
    """Redis has lost nothing: it knows better."""
    ticket = await replica.tiers.begin(KEY)
    await redis.memory.invalidate("trn_1", None)
    held = replica.tiers.render(entry_of(ticket), replica.clock.monotonic())

    await replica.tiers.store(KEY, held, Course())

    assert in_l1(replica) is None


async def test_what_was_given_while_an_older_one_is_stored_stays(
    replica: Replica, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch from before the loss lands while one from after it is on its way to Redis, which
    takes that as the first; L1 goes on with what was answered."""
    early = entry_of(await replica.tiers.begin(KEY), version(8))
    redis.memory.flush()
    store = redis.memory.store

    async def slow(key: Key, entry: Entry, keep: float) -> Stored:
        monkeypatch.undo()
        held = replica.tiers.render(early, replica.clock.monotonic())
        late = await replica.tiers.store(KEY, held, Course())
        assert late.verdict is StoreVerdict.INVALIDATED
        return await store(key, entry, keep)

    monkeypatch.setattr(redis.memory, "store", slow)
    stored = await put(replica, version(3))

    entry = in_l1(replica)
    assert stored.verdict is StoreVerdict.FIRST
    assert entry is not None
    assert entry.updated_at == version(8)


async def test_an_order_heard_while_redis_refused_counts(
    replica: Replica, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis had lost that as well; this replica did as told."""
    flight, store = Course(), redis.memory.store

    async def order_comes(key: Key, entry: Entry, keep: float) -> Stored:
        flight.outdate(known=True)
        return await store(key, entry, keep)

    monkeypatch.setattr(redis.memory, "store", order_comes)

    await offer_late(replica, redis, 2, flight)

    assert in_l1(replica) is None


async def test_who_joined_a_fetch_from_before_an_order_heard_asked_before_it(
    replica: Replica, redis: Redis
) -> None:
    """Nobody joins after it, so that one call is enough for those who had."""
    replica.upstream.then(ok(1))
    replica.upstream.hold()
    waiters = [await ask(replica), await ask(replica)]
    await replica.invalidation.invalidate(("trn_1",), None)

    replica.upstream.release()

    assert [minute_of(await waiter) for waiter in waiters] == [1, 1]
    assert replica.upstream.count == 1


@pytest.mark.parametrize("bound", [None, version(10**15)])
async def test_an_order_not_heard_outlives_the_floor(
    replica: Replica, redis: Redis, bound: Instant | None
) -> None:
    """Redis lost the floor and nothing else: what the order ruled out may not even rescue."""
    await replica.fill(1)
    await redis.memory.invalidate("trn_1", bound)
    redis.memory.lose_floor(KEY)
    replica.clock.advance(5.0)
    replica.upstream.always = says(500)

    with pytest.raises(UpstreamError):
        await replica.get()

    assert in_l1(replica) is None


async def test_what_was_fetched_after_an_order_may_rescue_without_the_floor(
    replica: Replica, redis: Redis
) -> None:
    """Whether it was ruled out since is asked first."""
    await redis.memory.invalidate("trn_1", None)
    replica.clock.advance(1.0)
    await replica.fill(1)
    redis.memory.lose_floor(KEY)
    replica.clock.advance(5.0)
    replica.upstream.always = says(500)

    answer = await replica.get()

    assert (minute_of(answer), answer.outcome) == (1, Outcome.STALE_ERROR)
    assert replica.upstream.count == 2


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


async def test_a_look_up_from_before_a_purge_replaces_nothing(
    replica: Replica, redis: Redis
) -> None:
    """L1 holds what was fetched after it, whatever its version."""
    await put(replica, version(3))
    replica.local.drop(KEY)
    redis.switch.hold()
    early = asyncio.create_task(replica.tiers.lookup(KEY, Course()))
    await settle()
    await redis.memory.purge(None, soft=False)
    await put(replica, version(1))
    redis.switch.release()

    await early

    entry = in_l1(replica)
    assert entry is not None
    assert entry.updated_at == version(1)
