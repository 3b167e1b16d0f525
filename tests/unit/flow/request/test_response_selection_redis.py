from __future__ import annotations

import asyncio

import pytest

from gateway.core.cache.entry import Key
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Detail, Mode, NotStoredReason, Outcome, Purpose, Tier
from gateway.flow.fill.fetch import Want
from gateway.flow.request.response_selection import Answer, Ask
from gateway.flow.singleflight import Course
from gateway.ports import Held
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    CALLER,
    KEY,
    STALE,
    Redis,
    Replica,
    marks,
    minute_of,
    ok,
    says,
    settle,
)


async def fetch(replica: Replica, minute: int) -> None:
    """Let a replica fetch that version, whatever is stored."""
    replica.upstream.then(ok(minute))
    await replica.fetch(Want(KEY, CALLER, Purpose.SWEEP))


async def test_a_hit_in_redis_is_promoted(replica: Replica, other: Replica) -> None:
    """The second answer awaits nothing; neither costs a call."""
    filled = await other.fill(1)

    answer = await replica.get()

    assert isinstance(filled.content, Held)
    once_read = filled.content.but(reads=1)
    assert answer == Answer(once_read, Outcome.FRESH, Tier.L2, Handling(Detail.L2))
    second = replica.peek()
    assert second is not None
    assert (second.outcome, second.tier) == (Outcome.FRESH, Tier.L1)
    assert replica.upstream.count == 0


async def test_redis_is_asked_once_for_all(replica: Replica, other: Replica, redis: Redis) -> None:
    """All who come while the question is on its way wait for the one answer."""
    await other.fill(1)
    before = redis.store.lookups
    redis.switch.hold()
    waiting = [asyncio.create_task(replica.get()) for _ in range(50)]
    await settle()

    waiting[0].cancel()
    await settle()
    redis.switch.release()
    answers = await asyncio.gather(*waiting[1:])

    assert {answer.tier for answer in answers} == {Tier.L2}
    assert redis.store.lookups == before + 1


async def test_a_stale_hit_in_redis_is_refreshed(replica: Replica, other: Replica) -> None:
    """By whoever sees it."""
    await other.fill(1)
    replica.clock.advance(STALE)
    replica.upstream.then(ok(2))

    answer = await replica.get()
    await replica.land()

    assert (marks(answer)[:2], answer.tier) == ((1, Outcome.STALE_REFRESHING), Tier.L2)
    assert replica.upstream.calls[0].purpose is Purpose.REFRESH
    assert minute_of(await replica.get()) == 2


async def test_a_404_in_redis_is_told(replica: Replica, other: Replica) -> None:
    """It is known to all replicas."""
    other.upstream.then(says(404))
    await other.get()

    answer = await replica.get()

    assert (answer.outcome, answer.tier) == (Outcome.NEGATIVE, Tier.L2)
    assert answer.handling == Handling(Detail.NEGATIVE)


async def test_a_new_version_of_another_replica_shows_within_l1s_lifetime(
    replica: Replica, other: Replica, clock: FakeClock
) -> None:
    """Though what L1 holds is fresh still."""
    await replica.fill(1)
    await fetch(other, 2)
    clock.advance(4.9)
    assert minute_of(await replica.get()) == 1
    clock.advance(0.1)

    answer = await replica.get()

    assert (minute_of(answer), answer.outcome, answer.tier) == (2, Outcome.FRESH, Tier.L2)


async def test_what_landed_while_redis_was_asked_is_taken(replica: Replica, redis: Redis) -> None:
    """Redis had nothing, but by then L1 has something: that costs no second call."""
    redis.switch.hold()
    waiter = asyncio.create_task(replica.get())
    await settle()
    await fetch(replica, 1)

    redis.switch.release()

    assert minute_of(await waiter) == 1
    assert replica.upstream.count == 1


async def test_a_look_up_under_way_does_not_bring_back_what_a_403_dropped(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """It read the entry before; who asked then gets it, and L1 does not."""
    await replica.fill(1)
    clock.advance(STALE - 2.0)
    await replica.get()  # confirmed by Redis, so that L1 answers when it is stale
    clock.advance(2.0)
    replica.upstream.always = says(403)
    replica.upstream.hold()
    await replica.get()
    assert replica.serving.fills.under_way(KEY) is not None
    replica.tiers.doubt(KEY)  # so that the body is read
    redis.switch.hold()
    early = asyncio.create_task(replica.get())
    await settle()

    replica.upstream.release()
    await settle()
    assert replica.serving.fills.under_way(KEY) is None
    replica.upstream.hold()
    redis.switch.release()

    assert minute_of(await early) == 1
    assert replica.local.peek(KEY) is None
    replica.upstream.release()
    await replica.land()


async def test_what_landed_just_after_redis_answered_is_taken(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a look-up's end and the moment when who waits for it goes on."""

    async def find_nothing(key: Key, flight: Course) -> None:
        await fetch(replica, 1)

    monkeypatch.setattr(replica.tiers, "lookup", find_nothing)

    assert (await replica.get()).outcome is Outcome.FRESH
    assert replica.upstream.count == 1


async def test_an_invalidated_entry_is_asked_for_again(replica: Replica, redis: Redis) -> None:
    """Fresh or not, once this replica hears of it."""
    await replica.fill(1)
    await redis.store.invalidate("trn_1", None)
    replica.clock.advance(5.0)

    answer = await replica.fill(2)

    assert (minute_of(answer), answer.outcome) == (2, Outcome.FILLED)


async def test_a_softly_purged_entry_rescues(replica: Replica, redis: Redis) -> None:
    """It is better than an error, and marked."""
    await replica.fill(1)
    await redis.store.purge(None, soft=True)
    replica.clock.advance(5.0)
    replica.upstream.then(says(500))

    assert marks(await replica.get())[:2] == (1, Outcome.STALE_ERROR)


@pytest.mark.parametrize("mode", [Mode.NORMAL, Mode.FROZEN])
@pytest.mark.parametrize("held_here", [True, False])
async def test_what_was_purged_softly_never_passes_for_fresh(
    replica: Replica, other: Replica, redis: Redis, mode: Mode, held_here: bool
) -> None:
    """It is within its lifetime, and ruled out: whichever tier it rescues from, that is told."""
    await replica.fill(1)
    await redis.store.purge(None, soft=True)
    replica.clock.advance(5.0)
    asked = replica if held_here else other
    asked.upstream.then(says(500))
    await asked.modes.order(mode)

    way = asked.unusual if mode is Mode.FROZEN else asked.serving
    answer = await way.get(Ask(KEY, CALLER))

    assert minute_of(answer) == 1
    assert answer.handling.outdated


async def test_who_asks_after_an_invalidation_does_not_join_what_began_before(
    replica: Replica, redis: Redis
) -> None:
    """The earlier caller gets his answer, the later one another; only that is kept."""
    release = asyncio.Event()

    async def slowly(call: object) -> Reply:
        await release.wait()
        return ok(1)

    replica.upstream.then(slowly, ok(2))
    before = asyncio.create_task(replica.get())
    await settle()
    await redis.store.invalidate("trn_1", None)
    replica.serving.fills.forget(KEY)

    after = await replica.get()
    release.set()
    early = await before

    assert (minute_of(early), minute_of(after)) == (1, 2)
    assert early.handling.not_stored is NotStoredReason.INVALIDATED
    assert minute_of(await replica.get()) == 2
    found = await redis.store.lookup(KEY)
    assert found.entry is not None
    assert found.entry.updated_at_text == "2023-11-14T22:02:00Z"


async def test_a_read_that_asked_redis_counts(replica: Replica, clock: FakeClock) -> None:
    """Or what is read every few seconds would seem never to be read."""
    await replica.fill(1)
    for _ in range(3):
        clock.advance(6.0)
        assert replica.peek() is None
        await replica.get()

    held = replica.local.peek(KEY)
    assert held is not None
    assert held.reads_since == 3
