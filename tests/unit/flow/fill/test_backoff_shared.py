"""What fails in one replica is left alone by the refreshes of all; callers who wait ask."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.http.cache_status import Handling
from gateway.core.vocabulary import Detail, Outcome
from gateway.flow.answer import Ask
from tests.unit.flow.house import (
    KEY,
    OURS,
    STALE,
    PuttingOff,
    Replica,
    marks,
    minute_of,
    ok,
    says,
    serve_stale,
    settle,
)
from tests.unit.flow.leases import Town, calls

STALE_ERROR = (1, Outcome.STALE_ERROR, Handling(Detail.STALE_ERROR))


async def stale_town() -> tuple[Town, list[Replica]]:
    """Three replicas that hold the same stale entry; each call fails from now on."""
    town = Town()
    replicas = [town.replica() for _ in range(3)]
    await serve_stale(replicas[0])
    for replica in replicas:
        replica.upstream.always = says(500)
    return town, replicas


async def read(replica: Replica) -> None:
    """One stale answer, and what it starts."""
    await replica.get()
    await replica.land()


async def test_a_failing_refresh_backs_off_once_for_all_replicas() -> None:
    """One call before each time is over, whoever reads; every replica knows how often it failed."""
    town, replicas = await stale_town()
    made = []
    for pause in (1.0, 2.0, 4.0):
        for _ in range(3):
            for replica in reversed(replicas):
                await read(replica)
        made.append(calls(replicas))
        town.clock.advance(pause)

    assert made == [2, 3, 4]
    failures = [replica.serving.standing(KEY) for replica in replicas]
    assert failures == [None] * 3
    assert marks(await replicas[1].get())[1] is Outcome.STALE_REFRESHING


async def test_in_an_hour_refreshes_back_off_together_and_callers_one_by_one() -> None:
    """Three replicas, each read every second. Refreshes make ten calls until callers begin to wait
    for an answer (330 s); from then on each replica asks once a minute."""
    town, replicas = await stale_town()
    before, made = calls(replicas), {}
    for second in range(1, 3_601):
        town.clock.advance(1.0)
        for replica in replicas:
            await read(replica)
        made[second] = calls(replicas) - before

    assert [made[second] for second in (60, 290, 1_800, 3_600)] == [6, 10, 85, 175]


async def test_who_hears_of_it_says_so_and_tells_nobody() -> None:
    """Answers are marked as after a failure of its own; the failure was logged where it was."""
    _, (failing, hearing, _) = await stale_town()
    put_off = PuttingOff()
    hearing.serving.put_off = put_off
    await read(failing)
    await read(hearing)

    assert marks(await hearing.get()) == STALE_ERROR
    assert (hearing.upstream.count, put_off) == (0, [])
    assert hearing.observer.of("refresh_failed") == []
    assert len(failing.observer.of("refresh_failed")) == 1


async def test_an_answer_ends_it_for_all() -> None:
    """The next failure, elsewhere, is a first one again."""
    town, (one, other, _) = await stale_town()
    await read(one)
    town.clock.advance(1.0)
    one.upstream.always = ok(2)
    await read(one)
    town.clock.advance(STALE)
    await read(other)

    ((_, _, again_in),) = other.observer.of("refresh_failed")
    assert again_in == 1.0
    assert town.board.failures[KEY][0] == 1


async def test_a_caller_who_joined_a_refresh_left_alone_asks() -> None:
    """With nothing stored any more it is a miss like any other."""
    town, (failing, replica, _) = await stale_town()
    failing.caller = replica.caller = OURS
    await read(failing)
    replica.upstream.always = ok(2)
    await replica.get()  # begins a refresh, which will be left alone
    joined = asyncio.create_task(replica.serving.from_upstream(Ask(KEY, OURS), None))
    await settle()

    assert minute_of(await joined) == 2
    assert KEY not in town.board.failures


@pytest.mark.parametrize("limit", [10])
async def test_what_the_budget_denies_is_no_failure_of_the_key(limit: int) -> None:
    """Another replica's refresh may be paid a moment later."""
    town = Town(limit=limit)
    replica = town.replica()
    await serve_stale(replica)
    town.redis.budget.spend("default", limit)
    await read(replica)

    assert replica.upstream.count == 1
    assert KEY not in town.board.failures
