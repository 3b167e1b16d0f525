"""Paying: the callers that wait for a turn, and what the others are told."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gateway.core.errors import BudgetExhausted, GateClosed
from gateway.core.vocabulary import Purpose
from gateway.flow.budget.call_permits import WaitQueue
from gateway.ports import Call, Charge
from tests.doubles.bus import Hub, HubBus
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import OURS, Redis, Replica, ok, settle

SCOPE = "default"
# A call each twelve seconds, with the margin: less than half of the deadline of each.
LIMIT, DEADLINE = 5, 30.0


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until it is told."""
    return FakeClock(waiting=True)


@pytest.fixture(params=["alone", "redis"])
def replica(request: pytest.FixtureRequest, clock: FakeClock) -> Replica:
    """A replica that may make five calls a minute."""
    redis = Redis(clock, LIMIT) if request.param == "redis" else None
    replica = Replica(clock, redis, limit=LIMIT)
    replica.upstream.always = ok(1)
    return replica


def ask(
    replica: Replica,
    purpose: Purpose = Purpose.MISS,
    who: str = "a",
    *,
    patience: float = DEADLINE,
) -> asyncio.Task[object]:
    """Somebody asks for a training."""
    deadline = replica.clock.monotonic() + patience
    call = Call("trn_1", "token", purpose, deadline, who=who)
    return asyncio.create_task(replica.outbound.ask(OURS, call))


async def spend(replica: Replica, clock: FakeClock) -> None:
    """Spend the limit, a call every twelve seconds; the next one is free in one second."""
    for _ in range(LIMIT):
        await ask(replica)
        clock.advance(12.0)


async def test_a_caller_waits_for_a_turn_that_comes_in_time(
    replica: Replica, clock: FakeClock
) -> None:
    """It is answered then, and its wait is counted."""
    await spend(replica, clock)
    waiting = ask(replica)
    await settle()
    assert not waiting.done()

    clock.advance(1.0)

    assert await waiting == ok(1)
    [(purpose, seconds)] = replica.observer.of("budget_waited")
    assert (purpose, seconds) == (Purpose.MISS, pytest.approx(1.0))
    assert replica.observer.of("budget_denied") == []


@pytest.mark.parametrize("is_up", [True, False])
async def test_a_short_wait_counts_too(replica: Replica, clock: FakeClock, is_up: bool) -> None:
    """Whether Redis, a share or this process alone granted the call."""
    if replica.shares is not None:
        replica.shares._shared._switch.is_up = is_up  # type: ignore[attr-defined]
    await spend(replica, clock)
    clock.advance(0.9)
    waiting = ask(replica)
    await settle()

    clock.advance(0.1)

    assert await waiting == ok(1)
    assert replica.observer.of("budget_waited") == [(Purpose.MISS, pytest.approx(0.1))]


async def test_a_call_that_is_granted_at_once_has_not_waited(
    replica: Replica, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long Redis took to grant it."""
    take = replica.budget.take

    async def slowly(*given: Any, **named: Any) -> Charge:
        clock.advance(0.4)
        return await take(*given, **named)

    monkeypatch.setattr(replica.budget, "take", slowly)

    assert await ask(replica) == ok(1)
    assert replica.observer.of("budget_waited") == []


async def test_a_turn_does_not_begin_before_its_time(
    replica: Replica, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it took to be granted: the call of before counts until then."""
    await spend(replica, clock)
    take = replica.budget.take

    async def slowly(*given: Any, **named: Any) -> Charge:
        clock.advance(0.4)
        return await take(*given, **named)

    monkeypatch.setattr(replica.budget, "take", slowly)
    waiting = ask(replica)
    await settle()

    clock.advance(0.5)
    await settle()
    assert not waiting.done()
    clock.advance(0.1)
    assert await waiting == ok(1)


@pytest.mark.parametrize("purpose", [Purpose.REFRESH, Purpose.SWEEP, Purpose.WARM])
async def test_what_nobody_waits_for_does_not_wait(
    replica: Replica, clock: FakeClock, purpose: Purpose
) -> None:
    """It is told at once when a call is free."""
    await spend(replica, clock)

    with pytest.raises(BudgetExhausted) as exhausted:
        await ask(replica, purpose)

    assert exhausted.value.retry_after == pytest.approx(1.0)


async def test_a_turn_after_the_deadline_is_refused_at_once(
    replica: Replica, clock: FakeClock
) -> None:
    """Half of the deadline is for the call itself: the third turn would come too late."""
    await spend(replica, clock)
    waiting = [ask(replica), ask(replica)]
    await settle()

    late = ask(replica)
    await settle()

    with pytest.raises(BudgetExhausted):
        await late
    clock.advance(1.0)
    await settle()
    clock.advance(12.0)
    await asyncio.gather(*waiting)


async def test_those_told_to_come_back_do_not_all_come_at_once(
    replica: Replica, clock: FakeClock
) -> None:
    """Each of them a turn later than the one before, at most two windows and margins from now."""
    for _ in range(LIMIT):
        await ask(replica)
    told = []
    for _ in range(20):
        with pytest.raises(BudgetExhausted) as exhausted:
            await ask(replica)
        told.append(exhausted.value.retry_after)

    assert told[:3] == pytest.approx([61.0, 73.2, 85.4])
    assert max(told) == pytest.approx(122.0)


async def test_a_replica_that_the_bus_does_not_know_yet_counts(clock: FakeClock) -> None:
    """It has just started, and the budget has heard of it: each turn is half of a replica's."""
    redis = Redis(clock, LIMIT)
    one, new = (Replica(clock, redis, limit=LIMIT) for _ in "ab")
    one.upstream.always = ok(1)
    for _ in range(LIMIT):
        await ask(one)
    assert new.shares is not None
    await new.shares.look([SCOPE])
    assert one.bus.replicas == 1
    told = []
    for _ in range(3):
        with pytest.raises(BudgetExhausted) as exhausted:
            await ask(one)
        told.append(exhausted.value.retry_after)

    assert told == pytest.approx([61.0, 61.0 + 24.4, 61.0 + 48.8])


async def test_who_comes_back_when_told_is_served(replica: Replica, clock: FakeClock) -> None:
    """Without another wait: a call counts for the window and its margin."""
    for _ in range(LIMIT):
        await ask(replica)
    began, told = clock.monotonic(), []
    for _ in range(LIMIT + 1):
        with pytest.raises(BudgetExhausted) as exhausted:
            await ask(replica, patience=0.0)
        told.append(exhausted.value.retry_after)

    for each in told:
        clock.advance(began + each - clock.monotonic())
        assert await ask(replica, patience=0.001) == ok(1)


async def one_gives_way(replica: Replica, clock: FakeClock, *, is_full: bool = False) -> None:
    """A caller has two turns, another comes, and gets one of them."""
    await spend(replica, clock)
    hog = [ask(replica, who="hog") for _ in range(2)]
    await settle()

    other = ask(replica, who="other")
    await settle()
    assert [each.done() for each in (*hog, other)] == [False, True, False]

    if is_full:
        with pytest.raises(BudgetExhausted):
            await ask(replica, who="third")  # no caller has two places more
    clock.advance(13.0)
    await settle()
    assert await hog[0] == await other == ok(1)
    with pytest.raises(BudgetExhausted):
        await hog[1]


async def test_a_caller_who_fills_the_line_makes_room(replica: Replica, clock: FakeClock) -> None:
    """The last of its turns goes to another caller, and it is told to come back."""
    await one_gives_way(replica, clock)


async def test_a_caller_gets_no_turn_after_the_end_of_its_patience(
    replica: Replica, clock: FakeClock
) -> None:
    """The last turn comes in 13 s. The new caller waits for 10 s at most, and gets the first."""
    await spend(replica, clock)
    hog = [ask(replica, who="hog") for _ in range(2)]
    await settle()

    other = ask(replica, who="other", patience=20.0)
    await settle()

    assert [each.done() for each in (*hog, other)] == [True, False, False]
    clock.advance(1.0)
    assert await other == ok(1)
    clock.advance(12.0)
    assert await hog[1] == ok(1)


async def test_a_full_queue_is_shared_too(clock: FakeClock) -> None:
    """A caller with all its places gives one of them to another caller."""
    replica = Replica(clock, limit=LIMIT)
    replica.upstream.always = ok(1)
    replica.outbound._paying._queue = WaitQueue(clock, most=2)

    await one_gives_way(replica, clock, is_full=True)


async def test_callers_of_one_moment_do_not_overfill_the_queue(
    replica: Replica, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis grants each of them a turn before the first one waits; the others give theirs back."""
    queue: WaitQueue[Charge] = WaitQueue(clock, most=1)
    replica.outbound._paying._queue = queue
    await spend(replica, clock)
    take = replica.budget.take

    async def slowly(*given: Any, **named: Any) -> Charge:
        await asyncio.sleep(0)
        return await take(*given, **named)

    monkeypatch.setattr(replica.budget, "take", slowly)
    first, second = (ask(replica) for _ in "ab")
    await settle()

    assert len(queue._places) == 1
    with pytest.raises(BudgetExhausted):
        await second
    clock.advance(1.0)
    assert await first == ok(1)
    queue._most = 2
    again = ask(replica)  # the second turn is free
    await settle()
    clock.advance(12.0)
    assert await again == ok(1)


async def test_who_leaves_gives_its_turn_back(replica: Replica, clock: FakeClock) -> None:
    """The next one has it."""
    await spend(replica, clock)
    leaving = ask(replica)
    await settle()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)

    waiting = ask(replica)
    await settle()
    clock.advance(1.0)

    assert await waiting == ok(1)


async def test_a_429_holds_those_who_wait(replica: Replica, clock: FakeClock) -> None:
    """Their turn comes, and nothing goes: they are told how long the gate is closed."""
    await spend(replica, clock)
    waiting = ask(replica)
    await settle()
    before = replica.upstream.count
    await replica.outbound._close_gate(SCOPE, 60.0)

    clock.advance(1.0)

    with pytest.raises(GateClosed):
        await waiting
    assert replica.upstream.count == before


async def test_callers_wait_for_a_gate_that_opens_in_time(
    replica: Replica, clock: FakeClock
) -> None:
    """One of them probes; the others wait for its answer and go then."""
    await replica.outbound._close_gate(SCOPE, 5.0)
    waiting = [ask(replica) for _ in range(3)]
    await settle()
    assert replica.upstream.count == 0

    clock.advance(5.0)
    await settle()
    assert replica.upstream.count == 1
    await replica.outbound.answered(OURS)
    clock.advance(1.0)

    assert await asyncio.gather(*waiting) == [ok(1)] * 3


async def test_a_gate_that_opens_later_is_told_at_once(replica: Replica) -> None:
    """Nobody waits in vain."""
    await replica.outbound._close_gate(SCOPE, 60.0)

    with pytest.raises(GateClosed) as closed:
        await ask(replica)

    assert closed.value.retry_after == pytest.approx(60.0)


async def test_a_turn_that_is_not_known_any_more_is_asked_for_anew(
    replica: Replica, clock: FakeClock
) -> None:
    """A 429 has undone it, and lowered the limit; the gate is open again by then."""
    await spend(replica, clock)
    waiting = ask(replica)
    await settle()
    await replica.outbound._close_gate(SCOPE, 0.5)
    clock.advance(0.8)
    await replica.outbound._open_gate(SCOPE)

    clock.advance(0.2)
    with pytest.raises(BudgetExhausted):
        await waiting
    assert len(replica.upstream.calls) == LIMIT


@pytest.mark.parametrize("hears", [True, False])
async def test_a_429_elsewhere_ends_the_wait_for_a_turn(clock: FakeClock, hears: bool) -> None:
    """At once for those who hear of it, else when the turn comes; no call goes either way."""
    hub, redis = Hub(), Redis(clock, LIMIT)
    replica, other = (Replica(clock, redis, limit=LIMIT, hub=hub) for _ in "ab")
    if not hears:
        hub.deaf.add(cast(HubBus, replica.bus))
    replica.upstream.always = ok(1)
    await spend(replica, clock)
    waiting = ask(replica)
    await settle()

    await other.outbound._close_gate(SCOPE, 60.0)
    await settle()

    assert waiting.done() is hears
    clock.advance(1.0)
    with pytest.raises(GateClosed) as closed:
        await waiting
    assert closed.value.retry_after == pytest.approx(60.0 if hears else 59.0)
    assert replica.upstream.count == LIMIT


async def test_a_call_that_was_granted_does_not_go_after_a_429_was_heard(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grant was on its way from Redis; it is given back."""
    hub, redis = Hub(), Redis(clock, LIMIT)
    replica, other = (Replica(clock, redis, limit=LIMIT, hub=hub) for _ in "ab")
    take = redis.budget.take

    async def take_slowly(*arguments: Any, **named: Any) -> Charge | None:
        charge = await take(*arguments, **named)
        monkeypatch.undo()
        await other.outbound._close_gate(SCOPE, 60.0)
        return charge

    monkeypatch.setattr(redis.budget, "take", take_slowly)

    with pytest.raises(GateClosed):
        await ask(replica)

    view = redis.budget.view(SCOPE)
    assert replica.upstream.count == 0
    assert view.available == view.limit


async def test_a_turn_does_not_come_after_a_429_was_heard_and_redis_is_gone(
    clock: FakeClock,
) -> None:
    """Nobody else can tell by then that the gate is closed."""
    hub, redis = Hub(), Redis(clock, LIMIT)
    replica, other = (Replica(clock, redis, limit=LIMIT, hub=hub) for _ in "ab")
    replica.upstream.always = ok(1)
    await spend(replica, clock)
    waiting = ask(replica)
    await settle()
    closing = asyncio.create_task(other.outbound._close_gate(SCOPE, 60.0))
    await asyncio.sleep(0)
    redis.switch.is_up = False
    await closing

    with pytest.raises(GateClosed):
        await waiting

    assert replica.upstream.count == LIMIT


async def test_a_turn_that_a_share_granted_ends_at_the_gate_of_all(clock: FakeClock) -> None:
    """Another replica heard a 429 while it was waited for, and Redis was back."""
    redis = Redis(clock, LIMIT)
    replica, other = (Replica(clock, redis, limit=LIMIT) for _ in "ab")
    replica.upstream.always = ok(1)
    redis.switch.is_up = False
    await spend(replica, clock)
    waiting = ask(replica)
    await settle()
    redis.switch.is_up = True
    await other.outbound._close_gate(SCOPE, 60.0)

    clock.advance(1.0)

    with pytest.raises(GateClosed):
        await waiting
    assert replica.upstream.count == LIMIT
