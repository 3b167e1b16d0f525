"""Back-off: a key whose fetch failed is left alone by all who share leases, but by no caller."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.core.budget.breaker import Pause
from gateway.core.cache.entry import Key
from gateway.core.cache.lease_result import Ending, ErrorKind
from gateway.core.errors import BackedOff
from gateway.core.vocabulary import EndingKind
from gateway.ports import Lease
from tests.contract.conftest import URLS
from tests.contract.leases import KEY, LeaseWorld, MemoryWorld, redis_world

GONE = Ending(EndingKind.TRANSIENT)
FAILED = Ending(EndingKind.GAVE_UP, ErrorKind.ERROR, "503", status=503)
# The longest at once, so that no stall ends it.
LONGEST = Pause(base=60.0, cap=60.0, jitter=0.0, least=0.0)


@pytest.fixture(params=["memory", *URLS])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[LeaseWorld]:
    """Three replicas that share their leases."""
    if request.param == "memory":
        yield MemoryWorld()
        return
    async with redis_world(request.getfixturevalue(URLS[request.param])) as found:
        yield found


@pytest.mark.parametrize("kind", [EndingKind.GAVE_UP, EndingKind.TRANSIENT, EndingKind.ALONE])
async def test_after_a_failure_no_replica_refreshes(world: LeaseWorld, kind: EndingKind) -> None:
    """Whoever is unhurried leaves the key alone, and learns for how long; other keys are free."""
    await failing(world, Ending(kind, ErrorKind.ERROR), LONGEST)

    left = [await left_alone(lease) for lease in world.leases]

    assert [each.attempts for each in left] == [1, 1, 1]
    assert all(50.0 < each.retry_after <= 60.0 for each in left)
    assert (await world.leases[0].take(Key("p2", "trn_1"), unhurried=True)).leads


async def test_a_caller_asks_though_a_refresh_failed(world: LeaseWorld) -> None:
    """Who waits for the answer leads, and who is unhurried follows."""
    await failing(world, FAILED, LONGEST)

    assert (await world.leases[1].take(KEY)).leads
    assert not (await world.leases[2].take(KEY, unhurried=True)).leads


async def test_failures_in_a_row_are_counted_together(world: LeaseWorld) -> None:
    """Whichever replica failed: the time doubles up to its cap, less jitter."""
    slow = Pause(base=20.0, cap=60.0, jitter=0.5, least=0.0)
    for attempts, longest in enumerate((15.0, 30.0, 45.0), start=1):
        lease = world.leases[attempts - 1]
        await failing(world, FAILED, slow, lease)
        left = await left_alone(lease)

        assert left.attempts == attempts
        assert longest - 10.0 < left.retry_after <= longest


async def test_who_failed_may_ask_for_more_time(world: LeaseWorld) -> None:
    """As the upstream did."""
    await failing(world, FAILED, Pause(base=1.0, cap=60.0, jitter=0.9, least=60.0))

    assert 50.0 < (await left_alone(world.leases[1])).retry_after <= 60.0


@pytest.mark.parametrize("kind", [EndingKind.DONE, EndingKind.ALONE, EndingKind.TOO_OLD])
async def test_an_answer_ends_the_back_off(world: LeaseWorld, kind: EndingKind) -> None:
    """The next failure is a first one again."""
    await failing(world, FAILED, LONGEST)
    await failing(world, Ending(kind))

    refreshing = await world.leases[1].take(KEY, unhurried=True)
    assert refreshing.leads
    await world.leases[1].release(KEY, refreshing.token, FAILED, LONGEST)
    assert (await left_alone(world.leases[0])).attempts == 1


async def test_what_was_not_asked_changes_nothing(world: LeaseWorld) -> None:
    """Neither a call that was withheld, nor one that was given up."""
    await failing(world, FAILED, LONGEST)
    await failing(world, GONE)

    assert (await left_alone(world.leases[2])).attempts == 1


async def test_who_lost_the_lease_leaves_nothing_alone(world: LeaseWorld) -> None:
    """Somebody else's fetch is the later one."""
    await world.leases[0].release(KEY, "0" * 16, FAILED, LONGEST)

    assert (await world.leases[1].take(KEY, unhurried=True)).leads


async def test_when_its_time_is_over_one_refreshes(world: LeaseWorld) -> None:
    """And the count goes on from there."""
    await failing(world, FAILED, Pause(base=0.001, cap=0.001, jitter=0.0, least=0.0))
    await world.lapse()

    refreshing = await world.leases[1].take(KEY, unhurried=True)

    assert refreshing.leads
    await world.leases[1].release(KEY, refreshing.token, FAILED, LONGEST)
    assert (await left_alone(world.leases[0])).attempts == 2


async def failing(
    world: LeaseWorld, ending: Ending, pause: Pause | None = None, lease: Lease | None = None
) -> None:
    """One fetch for a caller that ended so."""
    lease = lease or world.leases[0]
    await lease.release(KEY, (await lease.take(KEY)).token, ending, pause)


async def left_alone(lease: Lease) -> BackedOff:
    """What who is unhurried hears."""
    with pytest.raises(BackedOff) as caught:
        await lease.take(KEY, unhurried=True)
    return caught.value
