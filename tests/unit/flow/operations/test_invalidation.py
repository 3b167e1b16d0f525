"""What is outdated is so in every replica, and no fetch under way brings it back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.core.cache.entry import Key
from gateway.core.cache.policy import ByPolicy, Windows
from gateway.core.errors import RedisUnavailable, UpstreamError
from gateway.core.instant import parse_instant
from gateway.core.vocabulary import Cause, NoticeKind, Outcome, Tier
from gateway.flow.answer import Ask
from gateway.flow.request.response_selection import Answer
from gateway.ports import Confirmations
from tests.doubles.bus import Hub
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import CALLER, KEY, Redis, Replica, minute_of, ok, says, settle

SECOND = Key(KEY.partition, "trn_2")
ELSEWHERE = Key("f" * 32, KEY.training_id)


class Pair:
    """Two replicas on one Redis and one bus."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.redis = Redis(self.clock)
        self.hub = Hub()
        self.one = Replica(self.clock, self.redis, hub=self.hub)
        self.other = Replica(self.clock, self.redis, hub=self.hub)

    async def warm(self, minute: int = 1, key: Key = KEY) -> None:
        """Both hold the version of that minute in L1."""
        await self.one.fill(minute, key)
        assert (await self.other.get(key)).tier is Tier.L2


@pytest.fixture
def pair() -> Pair:
    """Two replicas, cold."""
    return Pair()


@pytest.fixture
def alone() -> Replica:
    """A process without Redis."""
    return Replica(FakeClock())


async def asks_upstream(replica: Replica, minute: int, key: Key = KEY) -> Answer:
    """What is answered when the upstream has the version of that minute."""
    calls = len(replica.upstream.calls)
    answer = await replica.fill(minute, key)
    assert len(replica.upstream.calls) == calls + 1, "it was answered without asking"
    return answer


async def test_invalidated_here_is_invalid_there(pair: Pair) -> None:
    """The very next answer of each replica is the new version."""
    await pair.warm(1)

    confirmed = await pair.one.invalidation.invalidate((KEY.training_id,), None)

    assert confirmed == Confirmations(known=2, confirmed=2)
    assert minute_of(await asks_upstream(pair.other, 2)) == 2
    assert minute_of(await pair.one.get()) == 2


async def test_every_partition_and_negative_entries_are_meant(alone: Replica) -> None:
    """Also those of which this call names nothing."""
    await alone.fill(1)
    await alone.fill(1, ELSEWHERE)

    await alone.invalidation.invalidate((KEY.training_id,), None)

    await asks_upstream(alone, 2)
    await asks_upstream(alone, 2, ELSEWHERE)
    assert alone.observer.of("invalidated")[0][0] is Cause.EVENT


async def test_a_write_leaves_nothing_to_rescue_in_its_own_partition(pair: Pair) -> None:
    """In no replica. In other partitions, all replicas may use what is stored for rescue."""
    for replica in (pair.one, pair.other):
        replica.tiers.rules = ByPolicy(Windows(), vary=True)
    await pair.warm()
    await pair.warm(key=ELSEWHERE)

    await pair.one.invalidation.written((KEY.training_id,), KEY.partition)

    for replica in (pair.one, pair.other):
        replica.upstream.then(says(500), says(500))
        assert (await replica.get(ELSEWHERE)).outcome is Outcome.STALE_ERROR
        with pytest.raises(UpstreamError):
            await replica.get()


async def test_a_write_that_not_all_confirmed_is_told(pair: Pair) -> None:
    """Its caller is not. Another replica may still give the former version, but not to callers
    that ask for the version of the write."""
    await pair.warm(1)
    pair.hub.deaf.update(list(pair.hub.hearers)[1:])
    version = parse_instant("2023-11-14T22:02:00Z")

    await pair.one.invalidation.written((KEY.training_id,), KEY.partition)

    assert pair.one.observer.of("write_unconfirmed") == [(KEY, Confirmations(2, 1))]
    other = pair.other
    assert minute_of(await other.get()) == 1
    other.upstream.then(ok(2))
    assert minute_of(await other.gateway.get(Ask(KEY, CALLER, at_least=version))) == 2


@pytest.mark.parametrize("soft", [False, True])
async def test_versions_from_the_bound_on_stay(pair: Pair, soft: bool) -> None:
    """What is as late as the order says is not fetched again."""
    await pair.warm(5)
    held = pair.one.local.peek(KEY)
    assert held is not None

    updated_at = held.entry.updated_at
    await pair.one.invalidation.invalidate((KEY.training_id,), updated_at, soft=soft)

    for replica in (pair.one, pair.other):
        assert (await replica.get()).outcome is Outcome.FRESH
    assert len(pair.one.upstream.calls) == 1


async def test_other_trainings_stay(pair: Pair) -> None:
    """An event is about the trainings that it names."""
    await pair.warm(1, SECOND)

    await pair.one.invalidation.invalidate((KEY.training_id,), None)

    assert (await pair.other.get(SECOND)).tier is Tier.L1


async def test_an_order_of_many_ids_searches_l1_once(
    alone: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request is answered meanwhile."""
    ids = tuple(f"trn_{number}" for number in range(1_000))
    for each in ids[:3]:
        await alone.fill(1, Key(KEY.partition, each))
    searched: list[str] = []
    keys = alone.local.keys

    def counted_keys(*args: Any, **kwargs: Any) -> list[Key]:
        searched.append("l1")
        return keys(*args, **kwargs)

    monkeypatch.setattr(alone.local, "keys", counted_keys)
    await alone.invalidation.invalidate(ids, None)

    assert searched == ["l1"]
    assert alone.local.entries == 0
    assert len(alone.observer.of("invalidated")) == 1_000


async def test_a_fetch_under_way_brings_nothing_back(pair: Pair) -> None:
    """It answers who waited before, and is kept nowhere."""
    pair.one.upstream.hold()
    pair.one.upstream.then(ok(1))
    waiting = asyncio.create_task(pair.one.get())
    await settle()
    assert pair.one.upstream.inflight == 1

    await pair.other.invalidation.invalidate((KEY.training_id,), None)
    pair.one.upstream.release()

    assert minute_of(await waiting) == 1
    assert minute_of(await asks_upstream(pair.one, 2)) == 2
    assert minute_of(await pair.other.get()) == 2


@pytest.mark.parametrize("partition", [None, KEY.partition])
async def test_purged_here_is_gone_there(pair: Pair, partition: str | None) -> None:
    """A purge empties both tiers of every replica, and rescues nobody."""
    await pair.warm(1)

    assert (await pair.one.invalidation.purge(partition, soft=False)).confirmed == 2

    assert pair.one.local.entries == pair.other.local.entries == 0
    await asks_upstream(pair.other, 2)
    assert (Cause.PURGE, "*", 1) in pair.one.observer.of("invalidated")


async def test_a_purge_of_another_partition_is_none(pair: Pair) -> None:
    """A partition's purge leaves the others alone."""
    await pair.warm(1)

    await pair.one.invalidation.purge(ELSEWHERE.partition, soft=False)

    assert (await pair.other.get()).tier is Tier.L1


@pytest.mark.parametrize("with_redis", [True, False])
async def test_a_soft_purge_still_rescues(with_redis: bool) -> None:
    """It is asked for anew, and stands in when that fails."""
    clock = FakeClock()
    replica = Replica(clock, Redis(clock) if with_redis else None, windows=Windows())
    await replica.fill(1)

    await replica.invalidation.purge(None, soft=True)
    replica.upstream.then(says(500))

    assert (await replica.get()).outcome is Outcome.STALE_ERROR


@pytest.mark.parametrize("with_redis", [True, False])
@pytest.mark.parametrize("bound", [None, 2])
async def test_a_soft_invalidation_still_rescues(with_redis: bool, bound: int | None) -> None:
    """The next reader asks, each time, and gets what there was while that fails."""
    clock = FakeClock()
    replica = Replica(clock, Redis(clock) if with_redis else None, windows=Windows())
    await replica.fill(1)

    updated_at = None if bound is None else parse_instant(f"2023-11-14T22:{bound:02d}:00Z")
    await replica.invalidation.invalidate((KEY.training_id,), updated_at, soft=True)

    for _ in range(2):
        calls = len(replica.upstream.calls)
        replica.upstream.then(says(500))
        assert (await replica.get()).outcome is Outcome.STALE_ERROR
        assert len(replica.upstream.calls) == calls + 1
    assert minute_of(await asks_upstream(replica, 2)) == 2
    assert (await replica.get()).outcome is Outcome.FRESH


@pytest.mark.parametrize("with_redis", [True, False])
@pytest.mark.parametrize("fetched", [1, 2])
async def test_what_a_soft_order_overtook_rescues_too(with_redis: bool, fetched: int) -> None:
    """A fetch under way answers its caller, is not fresh, and is what stands in from then on; an
    order that leaves nothing ends that."""
    clock = FakeClock()
    replica = Replica(clock, Redis(clock) if with_redis else None, windows=Windows())
    await replica.fill(1)
    clock.advance(400.0)
    replica.upstream.hold()
    replica.upstream.then(ok(fetched))
    waiting = asyncio.create_task(replica.get())
    await settle()

    await replica.invalidation.invalidate((KEY.training_id,), None, soft=True)
    replica.upstream.release()
    assert minute_of(await waiting) == fetched
    replica.upstream.then(says(500))
    rescued = await replica.get()
    assert (minute_of(rescued), rescued.outcome) == (fetched, Outcome.STALE_ERROR)

    await replica.invalidation.invalidate((KEY.training_id,), None)
    replica.upstream.then(says(500))
    with pytest.raises(UpstreamError):
        await replica.get()


async def test_a_soft_invalidation_is_one_in_every_replica(pair: Pair) -> None:
    """Another replica asks as well, and rescues; also one that heard nothing."""
    await pair.warm(1)
    pair.hub.deaf.update(list(pair.hub.hearers)[1:])

    confirmed = await pair.one.invalidation.invalidate((KEY.training_id,), None, soft=True)
    pair.clock.advance(5.0)

    assert confirmed == Confirmations(known=2, confirmed=1)
    pair.other.upstream.then(says(500))
    assert (await pair.other.get()).outcome is Outcome.STALE_ERROR
    assert minute_of(await asks_upstream(pair.other, 2)) == 2


async def test_a_hard_invalidation_ends_what_a_soft_one_left(pair: Pair) -> None:
    """In the replica that was told, and in one that was not."""
    await pair.warm(1)
    await pair.one.invalidation.invalidate((KEY.training_id,), None, soft=True)
    pair.hub.deaf.update(list(pair.hub.hearers)[1:])

    await pair.one.invalidation.invalidate((KEY.training_id,), None)
    pair.clock.advance(5.0)

    for replica in (pair.one, pair.other):
        replica.upstream.then(says(500))
        with pytest.raises(UpstreamError):
            await replica.get()


async def test_a_change_is_told_and_nothing_else(pair: Pair) -> None:
    """First fetches and unchanged ones are silent; a later version doubts what others hold."""
    await pair.warm(1)
    pair.clock.advance(400.0)
    await pair.one.fill(1)
    assert pair.hub.told == []

    assert (await pair.other.get()).tier is Tier.L2
    pair.clock.advance(31.0)
    await pair.one.fill(2)
    await pair.one.land()

    assert [notice.kind for notice in pair.hub.told] == [NoticeKind.CHANGED]
    assert minute_of(await pair.other.get()) == 2


async def test_a_replica_that_hears_nothing_is_bounded(pair: Pair) -> None:
    """It did not confirm, and asks Redis within the lifetime of L1."""
    await pair.warm(1)
    pair.hub.deaf.update(list(pair.hub.hearers)[1:])

    confirmed = await pair.one.invalidation.invalidate((KEY.training_id,), None)
    pair.clock.advance(5.0)

    assert confirmed == Confirmations(known=2, confirmed=1)
    assert minute_of(await asks_upstream(pair.other, 2)) == 2


async def test_without_redis_the_operator_is_told(pair: Pair) -> None:
    """An invalidation that cannot reach the others fails, and says so."""
    pair.redis.switch.is_up = False

    with pytest.raises(RedisUnavailable):
        await pair.one.invalidation.invalidate((KEY.training_id,), None)


async def test_what_a_401_dropped_rescues_nobody_who_did_not_hear(pair: Pair) -> None:
    """A replica that missed the notice drops its copy once Redis no longer vouches for it."""
    await pair.warm(1)
    pair.hub.deaf.update(list(pair.hub.hearers)[1:])
    pair.clock.advance(400.0)
    pair.one.upstream.then(says(401))
    await pair.one.get()

    pair.other.upstream.then(says(500))
    with pytest.raises(UpstreamError):
        await pair.other.get()
    assert pair.other.local.peek(KEY) is None


@pytest.mark.parametrize("trouble", ["flushed", "away"])
async def test_what_was_purged_softly_is_not_fresh_again(pair: Pair, trouble: str) -> None:
    """Not where Redis forgets the purge, nor where it cannot be asked."""
    await pair.warm(1)
    await pair.one.invalidation.purge(None, soft=True)

    if trouble == "flushed":
        pair.redis.memory.flush()
    else:
        pair.redis.switch.is_up = False

    assert minute_of(await asks_upstream(pair.other, 2)) == 2
