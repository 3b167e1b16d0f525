"""How Redis confirms what L1 holds, and what happens meanwhile."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager

import pytest

from gateway.core.cache.entry import Key
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import NoticeKind, Outcome, RedisOperation, Tier
from gateway.ports import AloneBus, Call, Found, Notice
from tests.doubles.clock import FakeClock
from tests.doubles.stored import entry_of, held_of, version
from tests.unit.flow.house import KEY, Redis, Replica, ok, settle
from tests.unit.flow.offering import find, in_l1, put, version_in_l1

KEYS = [Key("p1", f"trn_{number}") for number in range(150)]


@pytest.fixture
def clock() -> FakeClock:
    """A time that nobody moves by sleeping."""
    return FakeClock(waiting=True)


@pytest.fixture
async def confirming(replica: Replica) -> AsyncIterator[asyncio.Task[None]]:
    """The task that confirms what the replica reads."""
    async with running(replica.tiers.confirming.run(replica.observer)) as task:
        yield task


@pytest.fixture
async def catching_up(replica: Replica) -> AsyncIterator[asyncio.Task[None]]:
    """The task that confirms all when all has become unconfirmed."""
    async with running(replica.tiers.confirming.run_catching_up(replica.observer)) as task:
        yield task


@asynccontextmanager
async def running(work: Coroutine[None, None, None]) -> AsyncIterator[asyncio.Task[None]]:
    """A task that outlives what happens inside."""
    task = asyncio.create_task(work)
    await settle()
    yield task
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def pass_time(replica: Replica, seconds: float, keys: Sequence[Key] = (KEY,)) -> None:
    """Read each key four times a second, which L1 must answer unasked."""
    for _ in range(round(seconds * 4)):
        replica.clock.advance(0.25)
        await settle()
        for key in keys:
            assert replica.tiers.peek(key) is not None, key
        await settle()


async def hold_all(replica: Replica) -> None:
    """Every key in both tiers."""
    for key in KEYS:
        entry = entry_of(await replica.tiers.begin(key))
        await replica.shared.store(key, entry.facts, entry, 60.0)
        replica.local.put(key, replica.tiers.render(entry, replica.clock.monotonic()))


async def miss_an_order(replica: Replica, redis: Redis) -> None:
    """Every key in both tiers, a gap after that, and a Redis that does not answer for now."""
    await hold_all(replica)
    replica.clock.advance(0.1)
    redis.switch.hold()
    replica.tiers.confirming.suspect()
    await settle()


@pytest.mark.usefixtures("confirming")
async def test_what_is_read_stays_confirmed(replica: Replica, redis: Redis) -> None:
    """Over twelve lifetimes, a question each 3 s, and no body is read."""
    await put(replica)

    await pass_time(replica, 60.0)

    assert redis.store.lookups == 0
    assert redis.store.confirmed == [1] * 20


@pytest.mark.usefixtures("confirming")
async def test_many_keys_are_few_questions(
    replica: Replica, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many in one as a question may have."""
    monkeypatch.setattr("gateway.flow.cache.l1_revalidation._BATCH", 100)
    await hold_all(replica)

    await pass_time(replica, 6.5, KEYS)

    assert redis.store.confirmed == [100, 50] * 2
    assert redis.store.lookups == 0


@pytest.mark.usefixtures("confirming")
async def test_what_was_just_confirmed_or_is_not_read_is_not_asked(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """Nobody wakes for it either."""
    await put(replica)
    clock.advance(0.9)
    assert replica.tiers.peek(KEY) is not None
    clock.advance(100.0)
    await settle()

    assert clock.slept == []
    assert redis.store.confirmed == []


@pytest.mark.usefixtures("confirming")
async def test_a_later_version_is_found_before_the_lifetime_ends(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """Without a message: Redis does not agree, and the next request reads the body."""
    await put(replica, version(1))
    await put(other, version(2))
    await pass_time(replica, 2.75)
    assert redis.store.confirmed == []
    replica.clock.advance(0.25)
    await settle()

    assert replica.tiers.peek(KEY) is None
    assert (await find(replica)).held.entry.updated_at == version(2)
    assert (redis.store.confirmed, redis.store.lookups) == ([1], 1)


@pytest.mark.parametrize("negative", [False, True])
async def test_what_another_replica_renewed_is_read_again(
    replica: Replica, other: Replica, redis: Redis, negative: bool
) -> None:
    """Once, when Redis is asked about it."""
    updated_at = None if negative else version()
    await put(replica, updated_at)
    other.clock.advance(2.0)
    entry = entry_of(await other.tiers.begin(KEY), updated_at, headers=((b"x-cluster", b"eu-2"),))
    await redis.store.store(KEY, entry.facts, entry, 60.0)
    assert replica.tiers.peek(KEY) is not None
    assert await replica.tiers.confirming.confirm([KEY]) == set()
    assert replica.tiers.peek(KEY) is None

    assert (await find(replica)).held.entry == entry

    assert in_l1(replica) == entry
    assert redis.store.lookups == 1


@pytest.mark.usefixtures("confirming")
async def test_while_redis_is_away_nothing_changes(replica: Replica, redis: Redis) -> None:
    """The entry's own freshness decides; when Redis is back, it is asked as before."""
    await put(replica)
    await pass_time(replica, 2.0)
    redis.switch.is_up = False
    await pass_time(replica, 20.0)
    assert redis.switch.refused == 1
    assert replica.observer.of("redis_failed") == []  # told where it failed, not again
    redis.switch.is_up = True
    assert replica.tiers.peek(KEY) is not None
    replica.clock.advance(2.0)
    assert replica.tiers.peek(KEY) is None
    await find(replica)
    await pass_time(replica, 6.5)

    assert redis.store.confirmed == [1] * 3
    assert redis.store.lookups == 0


@pytest.mark.usefixtures("confirming")
async def test_a_batch_that_fails_is_told_and_the_next_one_comes(
    replica: Replica, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever went wrong."""

    async def fail(keys: Sequence[Key]) -> dict[Key, Found]:
        raise AssertionError("a fault of ours")

    await put(replica)
    with monkeypatch.context() as patch:
        patch.setattr(redis.store, "confirm", fail)
        await pass_time(replica, 4.0)
    told = replica.observer.of("redis_failed")
    assert [operation for operation, _ in told] == [RedisOperation.CONFIRM]

    await put(replica)
    await pass_time(replica, 20.0)


async def test_the_wall_clock_moves_no_confirmation(replica: Replica, redis: Redis) -> None:
    """Only the time of this process counts."""
    await put(replica)
    for seconds in (300.0, -600.0):
        replica.clock.step(seconds)
        assert replica.tiers.peek(KEY) is not None

    assert await replica.tiers.confirming.confirm([KEY]) == {KEY}


async def be_away(replica: Replica, redis: Redis, seconds: float) -> None:
    """Redis is gone for so long, and L1 is read meanwhile."""
    redis.switch.is_up = False
    replica.clock.advance(seconds)
    for key in KEYS:
        replica.tiers.peek(key)
    redis.switch.is_up = True


async def test_no_answer_of_a_new_replica_is_repeated_without_a_new_decision(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not listed yet: no order waits for it."""
    await hold_all(replica)
    held = replica.local.peek(KEYS[0])
    assert held is not None
    assert replica.tiers.confirming.quiet_for(KEYS[0], held) > 0.0

    monkeypatch.setattr(replica.bus, "alive_until", -math.inf)

    assert replica.tiers.peek(KEYS[0]) is None
    assert replica.tiers.confirming.quiet_for(KEYS[0], held) <= 0.0


@pytest.mark.usefixtures("catching_up")
async def test_when_redis_is_back_all_is_confirmed_at_once(replica: Replica, redis: Redis) -> None:
    """A hundred a question, and the readers wait for none."""
    await hold_all(replica)
    await be_away(replica, redis, 20.0)

    assert all(map(replica.tiers.peek, KEYS))
    held = replica.local.peek(KEYS[0])
    assert held is not None
    assert replica.tiers.confirming.quiet_for(KEYS[0], held) == 2.0
    await settle()
    assert redis.store.confirmed == [100, 50]

    replica.clock.advance(4.0)
    assert all(map(replica.tiers.peek, KEYS))
    assert redis.store.lookups == 0


async def test_what_nobody_confirms_is_answered_for_two_seconds(
    replica: Replica, redis: Redis
) -> None:
    """Then Redis is asked about it, as after a gap."""
    await hold_all(replica)
    await be_away(replica, redis, 20.0)

    told = []
    for _ in range(3):
        told.append(replica.tiers.peek(KEYS[0]) is not None)
        replica.clock.advance(1.1)

    assert told == [True, True, False]


async def test_what_was_held_in_a_gap_before_the_absence_is_not_answered_after_it(
    replica: Replica, redis: Redis
) -> None:
    """It was for rescue only during the absence, too."""
    await hold_all(replica)
    replica.clock.advance(0.1)
    replica.tiers.confirming.suspect()

    await be_away(replica, redis, 20.0)

    assert replica.tiers.peek(KEYS[0]) is None


@pytest.mark.usefixtures("catching_up")
async def test_what_an_order_doubts_meanwhile_is_asked_about(
    replica: Replica, redis: Redis
) -> None:
    """The order came after Redis had returned, and counts on it."""
    await hold_all(replica)
    await be_away(replica, redis, 20.0)
    assert replica.tiers.peek(KEYS[0]) is not None

    replica.tiers.doubt(KEYS[0])

    assert replica.tiers.peek(KEYS[0]) is None
    assert replica.tiers.peek(KEYS[1]) is not None


async def test_a_replica_that_nobody_counts_with_does_not_answer_on(
    replica: Replica, redis: Redis
) -> None:
    """Orders were given for 200 since then: Redis is asked before the first answer."""
    await hold_all(replica)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AloneBus, "listed_until", replica.clock.monotonic() + 10.0)
        await be_away(replica, redis, 20.0)

    assert replica.tiers.peek(KEYS[0]) is None


@pytest.mark.usefixtures("catching_up")
async def test_after_a_gap_all_is_confirmed(replica: Replica, redis: Redis) -> None:
    """Nothing is answered unasked until then."""
    await miss_an_order(replica, redis)
    assert not any(map(replica.tiers.peek, KEYS))

    redis.switch.release()
    await settle()

    assert all(map(replica.tiers.peek, KEYS))
    assert redis.store.confirmed == [100, 50]


Meanwhile = Callable[[Replica], Awaitable[None]]


async def ask_and(replica: Replica, redis: Redis, meanwhile: Meanwhile) -> None:
    """Ask Redis about the key, which answers, and let something happen before that arrives."""
    redis.switch.hold()
    asking = asyncio.create_task(replica.tiers.confirming.confirm([KEY]))
    await settle()
    replica.clock.advance(0.01)
    await meanwhile(replica)
    redis.switch.release()
    await asking


async def invalidated(replica: Replica) -> None:
    """An order that this replica obeys."""
    await replica.shared.order(KEY.training_id, None, None, is_hard=True)
    replica.apply(Notice(NoticeKind.INVALIDATED, (KEY.training_id,)))


async def purged(replica: Replica) -> None:
    """All is gone."""
    replica.apply(Notice(NoticeKind.PURGED))


async def purged_softly(replica: Replica) -> None:
    """What is left may rescue."""
    replica.apply(Notice(NoticeKind.PURGED, soft=True))


async def changed_elsewhere(replica: Replica) -> None:
    """Another replica told of a later version."""
    replica.apply(Notice(NoticeKind.CHANGED, (KEY.training_id,), KEY.partition, version(9)))


async def gap(replica: Replica) -> None:
    """The bus may have missed something."""
    replica.invalidation.gap()


async def evicted(replica: Replica) -> None:
    """L1 had no room for it."""
    replica.local.drop(KEY)


@pytest.mark.parametrize(
    "meanwhile", [invalidated, purged, purged_softly, changed_elsewhere, gap, evicted]
)
@pytest.mark.parametrize("renewed", [False, True])
async def test_what_was_ruled_out_meanwhile_is_not_confirmed(
    replica: Replica, other: Replica, redis: Redis, meanwhile: Meanwhile, *, renewed: bool
) -> None:
    """Redis agreed, and another replica even had it renewed, before that happened."""
    await put(replica)
    replica.clock.advance(1.0)
    if renewed:
        await put(other)

    await ask_and(replica, redis, meanwhile)

    assert replica.tiers.peek(KEY) is None


@pytest.mark.parametrize("is_replaced", [False, True])
async def test_what_was_stored_meanwhile_stays(
    replica: Replica, other: Replica, redis: Redis, is_replaced: bool
) -> None:
    """Redis told of what was there before, or disagreed with the entry that is gone."""
    await put(replica, version(1))
    if is_replaced:
        await put(other, version(2))

    async def store(replica: Replica) -> None:
        await put(replica, version(3))

    await ask_and(replica, redis, store)

    assert replica.tiers.peek(KEY) is not None
    assert version_in_l1(replica) == version(3)


async def test_an_answer_counts_from_when_it_was_asked_for(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """A slow one does not make an entry confirmed for longer."""
    await put(replica)
    clock.advance(1.0)

    async def take_long(replica: Replica) -> None:
        replica.clock.advance(3.0)

    await ask_and(replica, redis, take_long)
    clock.advance(1.9)
    assert replica.tiers.peek(KEY) is not None
    clock.advance(0.2)

    assert replica.tiers.peek(KEY) is None


async def test_a_doubted_entry_is_not_asked_about(replica: Replica, redis: Redis) -> None:
    """That it is outdated is known: the body is read at once."""
    await put(replica)
    replica.tiers.doubt(KEY)

    await find(replica)

    assert (redis.store.confirmed, redis.store.lookups) == ([], 1)


async def test_a_suspect_entry_costs_no_body(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """A gap on the bus is mended by a question, and the answer is L1's."""
    await put(replica)
    clock.advance(0.1)
    replica.invalidation.gap()
    clock.advance(0.1)
    assert replica.tiers.peek(KEY) is None

    seen = await find(replica)

    assert seen.tier is Tier.L1
    assert replica.tiers.peek(KEY) is seen.held
    assert (redis.store.confirmed, redis.store.lookups) == ([1], 0)


async def test_a_process_alone_asks_nothing(alone: Replica) -> None:
    """Its ledger has no body that L1 could have missed."""
    entry = entry_of(await alone.tiers.begin(KEY))
    alone.local.put(KEY, held_of(entry, alone.clock.monotonic()))
    await alone.shared.store(KEY, entry.facts, entry, 60.0)
    alone.clock.advance(3600.0)

    assert alone.tiers.peek(KEY) is not None
    assert (await find(alone)).held.entry is entry
    assert in_l1(alone) is entry


async def test_a_fetch_counts_from_when_its_marks_were_read(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """A purge of which this replica did not hear may have come since then. Redis does not compare
    all marks when it stores."""

    async def purged(_call: Call) -> Reply:
        await redis.memory.order(None, None, None, is_hard=True)
        clock.advance(4.0)
        return ok(1)

    replica.upstream.then(purged)
    await replica.get()
    assert replica.tiers.peek(KEY) is not None
    clock.advance(1.0)
    assert replica.tiers.peek(KEY) is None

    replica.upstream.then(ok(2))
    assert (await replica.get()).outcome is Outcome.FILLED
