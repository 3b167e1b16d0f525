"""Paying: the callers that wait for a free call, and what the others are told."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import BudgetExhausted, GateClosed
from gateway.core.vocabulary import Purpose
from gateway.ports import Call
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import OURS, Redis, Replica, ok, settle

SCOPE = "default"
# Half of the deadline is the longest wait.
LIMIT, DEADLINE = 10, 30.0


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until it is told."""
    return FakeClock(waiting=True)


@pytest.fixture(params=["alone", "redis"])
def replica(request: pytest.FixtureRequest, clock: FakeClock) -> Replica:
    """A replica that may make ten calls a minute."""
    redis = Redis(clock, LIMIT) if request.param == "redis" else None
    replica = Replica(clock, redis, limit=LIMIT)
    replica.upstream.always = ok(1)
    return replica


def ask(
    replica: Replica, purpose: Purpose = Purpose.MISS, who: str = "a", *, patience: float = DEADLINE
) -> asyncio.Task[object]:
    """Somebody asks for a training."""
    deadline = replica.clock.monotonic() + patience
    call = Call("trn_1", "token", purpose, deadline, who=who)
    return asyncio.create_task(replica.outbound.ask(OURS, call))


async def spend(replica: Replica, clock: FakeClock, *, each: float = 6.0) -> None:
    """Spend the limit, a call every six seconds; the next one is free in half a second."""
    for _ in range(LIMIT):
        await ask(replica)
        clock.advance(each)


async def pass_time(clock: FakeClock, seconds: float, step: float = 0.1) -> None:
    """Let time pass, and all do what they can."""
    for _ in range(round(seconds / step)):
        clock.advance(step)
        await settle()


async def waits(replica: Replica, who: str = "b", purpose: Purpose = Purpose.MISS) -> float:
    """The `retry_after` of a caller that is refused at once."""
    task = ask(replica, purpose, who)
    await settle()
    assert task.done()
    with pytest.raises(BudgetExhausted) as exhausted:
        await task
    return exhausted.value.retry_after


async def test_a_caller_waits_for_a_call_that_is_free_in_time(
    replica: Replica, clock: FakeClock
) -> None:
    """It is answered then, and its wait is counted."""
    await spend(replica, clock)
    waiting = ask(replica)
    await settle()
    assert not waiting.done()

    await pass_time(clock, 0.6)

    assert await waiting == ok(1)
    [(purpose, seconds)] = replica.observer.of("budget_waited")
    assert (purpose, seconds) == (Purpose.MISS, pytest.approx(0.5, abs=0.11))
    assert replica.observer.of("budget_denied") == []


async def test_the_first_to_come_is_served_first(replica: Replica, clock: FakeClock) -> None:
    """One call is free every six seconds."""
    await spend(replica, clock)
    tasks = []
    for who in "abc":
        tasks.append(ask(replica, who=who))
        await settle()

    done = []
    for _ in range(3):
        await pass_time(clock, 6.0, step=0.5)
        done.append([task.done() for task in tasks])

    assert done[0] == [True, False, False]
    assert done[1] == [True, True, False]
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_caller_waits_for_half_of_its_deadline_at_most(
    replica: Replica, clock: FakeClock
) -> None:
    """Then it is told when to come back, and somebody else gets the next call."""
    await spend(replica, clock)
    first, second = ask(replica, who="a"), ask(replica, who="b", patience=4.0)
    await settle()
    await pass_time(clock, 2.1)

    assert await first == ok(1)
    with pytest.raises(BudgetExhausted):
        await second
    assert len(replica.observer.of("budget_denied")) == 1


async def test_a_caller_whose_call_comes_too_late_is_told_at_once(
    replica: Replica, clock: FakeClock
) -> None:
    """It could use the time for something else."""
    await spend(replica, clock, each=0.1)

    assert await waits(replica) == pytest.approx(59.5, abs=0.2)


async def test_callers_are_told_different_times_within_the_window(
    replica: Replica, clock: FakeClock
) -> None:
    """If all came back at once, all but one would be refused again."""
    await spend(replica, clock, each=0.1)
    clock.advance(30.0)

    told = [await waits(replica, who=f"{number}") for number in range(8)]

    assert told == sorted(told)
    assert len(set(told)) >= 5
    assert max(told) <= 60.0


@pytest.mark.parametrize("purpose", [Purpose.REFRESH, Purpose.SWEEP, Purpose.RETRY])
async def test_a_call_without_a_caller_does_not_wait(
    replica: Replica, clock: FakeClock, purpose: Purpose
) -> None:
    """However soon a call is free."""
    await spend(replica, clock)

    assert await waits(replica, purpose=purpose) <= 60.0


async def test_a_client_has_half_of_the_places(replica: Replica, clock: FakeClock) -> None:
    """If another one waits; a client alone has all of them, and another one still gets one. Who has
    no place is told a window: what becomes free in it is for those that wait."""
    await spend(replica, clock)
    other = ask(replica, who="other")
    await settle()
    own = [ask(replica, who="greedy") for _ in range(8)]
    await settle()

    assert [task.done() for task in own] == [False] * 5 + [True] * 3
    refused = [task.exception() for task in own[5:]]
    told = [each.retry_after for each in refused if isinstance(each, BudgetExhausted)]
    assert told == [60.0] * 3
    assert not other.done()
    for task in (*own, other):
        task.cancel()
    await asyncio.gather(*own, other, return_exceptions=True)


async def test_a_caller_that_leaves_makes_room(replica: Replica, clock: FakeClock) -> None:
    """The next one is asked for in its place, and no call is lost."""
    await spend(replica, clock)
    first, second = ask(replica, who="a"), ask(replica, who="b")
    await settle()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)

    await pass_time(clock, 0.6)

    assert await second == ok(1)


async def test_a_429_ends_the_wait_of_all(replica: Replica, clock: FakeClock) -> None:
    """The gate stays closed for longer than they may wait."""
    await spend(replica, clock)
    waiting = [ask(replica, who=who) for who in "abc"]
    await settle()

    replica.outbound.gate_closed_elsewhere(SCOPE, clock.now() + 40.0)
    await pass_time(clock, 0.3)

    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in errors] == [GateClosed] * 3


async def test_callers_wait_for_a_gate_that_opens_in_time(
    replica: Replica, clock: FakeClock
) -> None:
    """One call is the probe, and the others follow when it was answered."""
    replica.outbound.gate_closed_elsewhere(SCOPE, clock.now() + 5.0)
    waiting = [ask(replica, who=who) for who in "abc"]
    await settle()
    assert not any(task.done() for task in waiting)

    await pass_time(clock, 6.0)
    assert any(task.done() for task in waiting)
    await replica.outbound.answered(OURS)
    await pass_time(clock, 0.5)

    assert all(task.done() for task in waiting)
    assert await asyncio.gather(*waiting) == [ok(1)] * 3


async def test_callers_wait_for_a_redis_that_comes_back(clock: FakeClock) -> None:
    """Its absence may be short."""
    redis = Redis(clock, LIMIT)
    replica = Replica(clock, redis, limit=LIMIT)
    replica.upstream.always = ok(1)
    redis.switch.is_up = False
    waiting = ask(replica)
    await pass_time(clock, 1.0)
    assert not waiting.done()

    redis.switch.is_up = True
    await pass_time(clock, 0.3)

    assert await waiting == ok(1)


async def test_at_most_500_callers_wait(clock: FakeClock) -> None:
    """Each of them occupies a task and a connection."""
    replica = Replica(clock, limit=2_000)
    replica.upstream.always = ok(1)
    replica.local_budget.hold(SCOPE, 5.0)
    waiting = [ask(replica, who=f"{number}") for number in range(510)]
    await settle()

    assert sum(task.done() for task in waiting) == 10
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
