"""Lease: who leads, who follows, and what followers hear; in memory and on Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.adapters.ledger import Ledger
from gateway.core.cache.entry import Key
from gateway.core.instant import Instant
from gateway.core.vocabulary import EndingKind, FailureReason, StoreVerdict
from gateway.ports import AloneLease, Ending
from tests.contract.conftest import URLS, epochs
from tests.contract.leases import KEY, LeaseWorld, MemoryWorld, redis_world
from tests.doubles.clocks import TickingClock
from tests.doubles.stored import entry_of, version

DONE = Ending(EndingKind.DONE)
GONE = Ending(EndingKind.GONE)
ENDINGS = [
    DONE,
    GONE,
    Ending(EndingKind.FAILED, FailureReason.INVALID),
    Ending(EndingKind.FAILED, FailureReason.STATUS_5XX, 503, 3.25),
]
# Nobody looks in a test that waits for a message.
LONG = 3_600.0
SOON = 20.0


@pytest.fixture(params=["memory", *URLS])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[LeaseWorld]:
    """Three replicas that share their leases."""
    if request.param == "memory":
        yield MemoryWorld()
        return
    async with redis_world(request.getfixturevalue(URLS[request.param])) as found:
        yield found


async def test_one_leads_and_the_others_follow(world: LeaseWorld) -> None:
    """All get the same words, and the token of the one."""
    one, *others = [await lease.take(KEY) for lease in world.leases]

    assert one.leads
    assert [each.leads for each in others] == [False, False]
    assert {each.token for each in others} == {one.token}
    assert {each.start.ticket for each in (one, *others)} == {one.start.ticket}


async def test_at_once_is_one_after_the_other(world: LeaseWorld) -> None:
    """Of 60 who ask in one turn, one leads."""
    asked = [lease.take(KEY) for lease in world.leases for _ in range(20)]

    assert [taken.leads for taken in await asyncio.gather(*asked)].count(True) == 1


async def test_each_key_has_its_own(world: LeaseWorld) -> None:
    """Of another training, and of another partition."""
    keys = [KEY, Key("p1", "trn_2"), Key("p2", "trn_1")]

    assert all([(await world.leases[0].take(key)).leads for key in keys])


async def test_the_start_is_the_stores(world: LeaseWorld) -> None:
    """What was fetched with it is taken, and the next one is told when it was confirmed."""
    taken = await world.leases[0].take(KEY)
    entry = entry_of(taken.start)
    stored = await world.store.store(KEY, entry.facts, entry, 60.0)

    assert stored.verdict is StoreVerdict.FIRST
    assert taken.confirmed == 0.0
    assert (await world.leases[1].take(KEY)).confirmed == taken.start.started


@pytest.mark.parametrize("ending", ENDINGS, ids=str)
async def test_a_follower_is_told(world: LeaseWorld, ending: Ending) -> None:
    """The very ending, while it waits."""
    leader, follower, _ = world.leases
    token = (await leader.take(KEY)).token
    await follower.take(KEY)
    waiting = asyncio.create_task(follower.watch(KEY, token, LONG))
    await asyncio.sleep(0)

    await leader.release(KEY, token, ending)

    assert await asyncio.wait_for(waiting, SOON) == ending


async def test_an_ending_that_comes_before_the_waiting_is_not_lost(world: LeaseWorld) -> None:
    """Between the reply that says whom to follow, and the wait for it."""
    leader, follower, _ = world.leases
    token = (await leader.take(KEY)).token
    await follower.take(KEY)
    await leader.release(KEY, token, DONE)

    assert await asyncio.wait_for(follower.watch(KEY, token, LONG), SOON) == DONE


@pytest.mark.parametrize("ending", ENDINGS, ids=str)
async def test_an_ending_that_was_not_heard_is_found(world: LeaseWorld, ending: Ending) -> None:
    """By the look after the patience."""
    leader, follower, _ = world.leases
    world.mute()
    token = (await leader.take(KEY)).token
    await follower.take(KEY)
    await leader.release(KEY, token, ending)

    assert await follower.watch(KEY, token, 0.1) == ending


async def test_an_ending_goes_by_itself(world: LeaseWorld) -> None:
    """Then it is not known any more how it ended."""
    leader, follower, _ = world.leases
    world.mute()
    token = (await leader.take(KEY)).token
    await follower.take(KEY)
    await leader.release(KEY, token, DONE)
    await world.lapse()

    assert await follower.watch(KEY, token, 0.1) == GONE


async def test_while_it_is_held_nothing_is_told(world: LeaseWorld) -> None:
    """Each look says that it goes on."""
    leader, follower, _ = world.leases
    token = (await leader.take(KEY)).token
    await follower.take(KEY)

    assert await leader.renew(KEY, token)
    assert await follower.watch(KEY, token, 0.01) is None
    assert await follower.watch(KEY, token, 0.01) is None


async def test_a_lease_that_is_not_renewed_lapses(world: LeaseWorld) -> None:
    """Its followers see it, the next one leads, and the old holder has nothing any more."""
    leader, follower, third = world.leases
    token = (await leader.take(KEY)).token
    await follower.take(KEY)
    await world.lapse()

    assert await follower.watch(KEY, token, 0.01) == GONE
    assert not await leader.renew(KEY, token)
    successor = await third.take(KEY)
    assert successor.leads
    assert successor.token != token


async def test_after_the_release_the_next_leads(world: LeaseWorld) -> None:
    """Though the ending still stands there."""
    leader, follower, third = world.leases
    token = (await leader.take(KEY)).token
    await follower.take(KEY)
    await leader.release(KEY, token, DONE)

    assert not await leader.renew(KEY, token)
    assert (await third.take(KEY)).leads


async def test_a_foreign_token_does_nothing(world: LeaseWorld) -> None:
    """Neither renews nor releases, nor is anybody told."""
    leader, follower, _ = world.leases
    token = (await leader.take(KEY)).token
    await follower.take(KEY)

    assert not await follower.renew(KEY, "0" * 16)
    await follower.release(KEY, "0" * 16, DONE)

    assert await follower.watch(KEY, token, 0.01) is None
    assert await leader.renew(KEY, token)


@pytest.mark.parametrize("bound", [None, version(5)], ids=["all", "below a version"])
async def test_a_leader_from_before_an_invalidation_is_passed_over(
    world: LeaseWorld, bound: Instant | None
) -> None:
    """Whoever asks after it leads; who followed the old one sees that."""
    leader, follower, third = world.leases
    token = (await leader.take(KEY)).token
    await follower.take(KEY)
    world.tick()
    await world.store.order("trn_1", None, bound, is_hard=True)

    later = await third.take(KEY)

    assert later.leads
    assert await follower.watch(KEY, token, 0.01) == GONE
    assert not await leader.renew(KEY, token)


async def test_who_was_passed_over_ends_nothing(world: LeaseWorld) -> None:
    """The successor's followers go on waiting."""
    leader, follower, third = world.leases
    old = (await leader.take(KEY)).token
    await world.store.order("trn_1", None, None, is_hard=True)
    new = (await third.take(KEY)).token
    await follower.take(KEY)

    await leader.release(KEY, old, DONE)

    assert await follower.watch(KEY, new, 0.01) is None


async def test_alone_everyone_leads() -> None:
    """There the flight is the lease."""
    ledger = Ledger(TickingClock(), epochs())
    lease = AloneLease(ledger)

    one, other = await lease.take(KEY), await lease.take(KEY)
    await lease.release(KEY, one.token, DONE)

    assert one.leads
    assert other.leads
    assert await lease.renew(KEY, other.token)
    assert await lease.watch(KEY, other.token, LONG) == GONE
    entry = entry_of(one.start)
    assert (await ledger.store(KEY, entry.facts, entry, 60.0)).verdict is StoreVerdict.FIRST
