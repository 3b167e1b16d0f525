from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.core.errors import (
    BudgetExhausted,
    Frozen,
    GateClosed,
    UpstreamError,
    UpstreamFailure,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import FailureReason, Mode, Purpose
from gateway.ports import Call, Charge, Write
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import OURS, Redis, Replica, ok

SCOPE = "default"


def call_at(clock: FakeClock, timeout: float = 10.0) -> Call:
    """A call with so many seconds to go."""
    return Call("trn_1", "token-1", Purpose.MISS, clock.monotonic() + timeout)


def unreachable(*, sent: bool = False) -> UpstreamUnreachable:
    """No connection, or one that broke."""
    return UpstreamUnreachable("no connection", FailureReason.CONNECT, sent=sent)


def closed() -> UpstreamUnreachable:
    """A kept connection that the upstream closed as we sent."""
    failure = FailureReason.PROTOCOL
    return UpstreamUnreachable("closed", failure, sent=True, was_kept=True)


def timeout(*, sent: bool = False) -> UpstreamTimeout:
    """No connection in time, or no answer."""
    return UpstreamTimeout("no time", FailureReason.CONNECT_TIMEOUT, sent=sent)


def spent(replica: Replica) -> int:
    """How many calls were charged to this replica."""
    available = replica.local_budget.view(SCOPE).available
    assert available is not None
    return 10 - available


@pytest.fixture
def alone(clock: FakeClock) -> Replica:
    """A replica without Redis that may make ten calls."""
    return Replica(clock, limit=10)


async def test_a_call_is_charged_and_answered(alone: Replica, clock: FakeClock) -> None:
    """Once, whatever the answer says."""
    alone.upstream.then(ok(1))

    reply = await alone.outbound.ask(OURS, call_at(clock))

    assert reply == ok(1)
    assert spent(alone) == 1


async def test_no_call_goes_without_budget(alone: Replica, clock: FakeClock) -> None:
    """The eleventh is withheld, and counted by its purpose."""
    alone.upstream.always = ok(1)
    for _ in range(10):
        await alone.outbound.ask(OURS, call_at(clock))

    with pytest.raises(BudgetExhausted) as caught:
        await alone.outbound.ask(OURS, call_at(clock))

    assert caught.value.retry_after == 60.0  # the window, although a call counts for 60.5 s
    assert alone.upstream.count == 10
    assert alone.observer.of("budget_denied") == [(Purpose.MISS, 60.5)]


@pytest.mark.parametrize("failure", [unreachable(), timeout()])
async def test_what_was_not_sent_is_tried_once_more(
    alone: Replica, clock: FakeClock, failure: UpstreamFailure
) -> None:
    """After a short pause, as a retry; the first is given back."""
    alone.upstream.then(failure, ok(1))

    assert await alone.outbound.ask(OURS, call_at(clock)) == ok(1)

    assert [call.purpose for call in alone.upstream.calls] == [Purpose.MISS, Purpose.RETRY]
    assert clock.slept == [0.05]
    assert spent(alone) == 1


async def test_the_pause_is_jittered(alone: Replica, clock: FakeClock) -> None:
    """Upwards, by the whole pause at most."""
    clock.script([0.5])
    alone.upstream.then(unreachable(), ok(1))

    await alone.outbound.ask(OURS, call_at(clock))

    assert clock.slept == [pytest.approx(0.075)]


async def test_what_is_not_sent_twice_costs_nothing(alone: Replica, clock: FakeClock) -> None:
    """There is one retry, and both are given back."""
    alone.upstream.then(unreachable(), unreachable())

    with pytest.raises(UpstreamUnreachable):
        await alone.outbound.ask(OURS, call_at(clock))

    assert alone.upstream.count == 2
    assert spent(alone) == 0


@pytest.mark.parametrize("failure", [unreachable(sent=True), timeout(sent=True)])
async def test_what_may_have_been_sent_is_neither_repeated_nor_given_back(
    alone: Replica, clock: FakeClock, failure: UpstreamFailure
) -> None:
    """It may have cost upstream a call."""
    alone.upstream.then(failure)

    with pytest.raises(type(failure)):
        await alone.outbound.ask(OURS, call_at(clock))

    assert alone.upstream.count == 1
    assert spent(alone) == 1


async def test_a_read_on_a_connection_that_was_closed_is_sent_once_more(
    alone: Replica, clock: FakeClock
) -> None:
    """At once, as a retry; both may have cost upstream a call, and neither was a failure."""
    alone.upstream.then(closed(), ok(1))

    assert await alone.outbound.ask(OURS, call_at(clock)) == ok(1)

    assert [call.purpose for call in alone.upstream.calls] == [Purpose.MISS, Purpose.RETRY]
    assert clock.slept == []
    assert spent(alone) == 2
    assert alone.observer.of("upstream_failed") == []


async def test_it_is_sent_once_more_and_not_again(alone: Replica, clock: FakeClock) -> None:
    """Whatever becomes of that."""
    alone.upstream.then(closed(), closed())

    with pytest.raises(UpstreamUnreachable):
        await alone.outbound.ask(OURS, call_at(clock))

    assert (alone.upstream.count, spent(alone)) == (2, 2)


async def test_it_is_not_sent_once_more_without_budget(clock: FakeClock) -> None:
    """The limit holds for retries, too: the failure stands."""
    replica = Replica(clock, limit=1)
    replica.upstream.then(closed())

    with pytest.raises(UpstreamUnreachable):
        await replica.outbound.ask(OURS, call_at(clock))

    assert replica.upstream.count == 1


async def test_a_write_is_sent_once(alone: Replica, clock: FakeClock) -> None:
    """It may have been done, though nothing came back."""
    write = Write("PUT", "/training/trn_1", b"{}")
    alone.upstream.then(closed())

    with pytest.raises(UpstreamUnreachable):
        await alone.outbound.ask(OURS, replace(call_at(clock), write=write))

    assert alone.upstream.count == 1


async def test_another_failure_is_not_repeated(alone: Replica, clock: FakeClock) -> None:
    """Something came back, so something was sent."""
    alone.upstream.then(UpstreamError("500", FailureReason.STATUS_5XX, status=500))

    with pytest.raises(UpstreamError):
        await alone.outbound.ask(OURS, call_at(clock))

    assert alone.upstream.count == 1


async def test_there_is_no_retry_beyond_the_deadline(alone: Replica, clock: FakeClock) -> None:
    """The pause alone would take longer."""
    alone.upstream.then(unreachable())

    with pytest.raises(UpstreamUnreachable):
        await alone.outbound.ask(OURS, call_at(clock, timeout=0.05))

    assert alone.upstream.count == 1


async def test_a_retry_that_cannot_be_paid_leaves_the_failure_standing(clock: FakeClock) -> None:
    """What happened is that upstream was not reached."""
    replica = Replica(clock, limit=1)

    async def lose_the_race(call: Call) -> Reply:
        await replica.local_budget.close(SCOPE, 5.0)
        raise unreachable()

    replica.upstream.then(lose_the_race)

    with pytest.raises(UpstreamUnreachable):
        await replica.outbound.ask(OURS, call_at(clock))

    assert replica.upstream.count == 1


async def with_a_reserve(clock: FakeClock, redis: Redis, limit: int) -> Replica:
    """A replica that has been there for a while: its reserve is free."""
    replica = Replica(clock, redis, limit=limit)
    replica.budget.view(SCOPE)
    clock.advance(61.0)
    return replica


async def test_redis_pays_while_it_is_there(clock: FakeClock) -> None:
    """The local one is not touched."""
    redis = Redis(clock, limit=40)
    replica = await with_a_reserve(clock, redis, limit=40)
    replica.upstream.then(ok(1))

    await replica.outbound.ask(OURS, call_at(clock))

    assert redis.budget.view(SCOPE).available == 39
    assert replica.local_budget.view(SCOPE).available == 1


async def test_losing_redis_brings_no_second_budget(clock: FakeClock) -> None:
    """What Redis granted in this window counts."""
    redis = Redis(clock, limit=10)
    replica = Replica(clock, redis, limit=10)
    replica.upstream.always = ok(1)
    for _ in range(10):
        await replica.outbound.ask(OURS, call_at(clock))
    redis.switch.is_up = False

    with pytest.raises(BudgetExhausted):
        await replica.outbound.ask(OURS, call_at(clock))


async def test_the_reserve_pays_while_redis_is_away(clock: FakeClock) -> None:
    """There is always a limit."""
    redis = Redis(clock, limit=40)
    replica = await with_a_reserve(clock, redis, limit=40)
    replica.upstream.always = ok(1)
    redis.switch.is_up = False

    await replica.outbound.ask(OURS, call_at(clock))
    with pytest.raises(BudgetExhausted):
        await replica.outbound.ask(OURS, call_at(clock))

    assert redis.budget.view(SCOPE).available == 40


async def test_who_paid_gets_it_back(clock: FakeClock) -> None:
    """Redis' budget alone."""
    redis = Redis(clock, limit=40)
    replica = await with_a_reserve(clock, redis, limit=40)
    replica.upstream.then(unreachable(), unreachable())

    with pytest.raises(UpstreamUnreachable):
        await replica.outbound.ask(OURS, call_at(clock))

    assert redis.budget.view(SCOPE).available == 40
    assert replica.local_budget.view(SCOPE).available == 1


async def test_what_cannot_be_given_back_stays_charged(clock: FakeClock) -> None:
    """Redis went away during the call. The retry is paid from the reserve, and given back."""
    redis = Redis(clock, limit=40)
    replica = await with_a_reserve(clock, redis, limit=40)

    async def lose_redis(call: Call) -> Reply:
        redis.switch.is_up = False
        raise unreachable()

    replica.upstream.then(lose_redis, unreachable())

    with pytest.raises(UpstreamUnreachable):
        await replica.outbound.ask(OURS, call_at(clock))

    assert redis.budget.view(SCOPE).available == 39
    assert replica.local_budget.view(SCOPE).available == 1


async def test_its_own_charge_is_given_back(clock: FakeClock) -> None:
    """Not that of a call made meanwhile, which upstream has seen later."""
    replica = Replica(clock, limit=2)

    async def be_overtaken(call: Call) -> Reply:
        clock.advance(30.0)
        await replica.local_budget.take(SCOPE, Purpose.MISS)
        raise unreachable()

    replica.upstream.then(be_overtaken)
    with pytest.raises(UpstreamUnreachable):
        await replica.outbound.ask(OURS, call_at(clock))

    clock.advance(32.0)

    assert replica.local_budget.view(SCOPE).available == 1


@pytest.mark.parametrize("is_shared", [True, False], ids=["redis", "alone"])
async def test_a_call_counts_from_when_it_is_sent(clock: FakeClock, *, is_shared: bool) -> None:
    """It was paid, and then waited for a connection: its window begins later."""
    replica = Replica(clock, Redis(clock, limit=10) if is_shared else None, limit=10)
    replica.upstream.always = ok(1)

    async def connect() -> None:
        clock.advance(4.0)

    replica.upstream.connect = connect
    await replica.outbound.ask(OURS, call_at(clock))

    clock.advance(60.0)
    assert replica.budget.view(SCOPE).available == 9
    clock.advance(0.5)
    assert replica.budget.view(SCOPE).available == 10


async def test_a_call_of_the_reserve_is_paid_anew_when_it_is_sent_late(clock: FakeClock) -> None:
    """Redis came back while the call waited for a connection, and pays for it."""
    redis = Redis(clock, limit=80)
    replica = Replica(clock, redis, limit=80)
    replica.upstream.always = ok(1)
    redis.switch.is_up = False
    replica.budget.view(SCOPE)
    clock.advance(61.0)

    async def connect() -> None:
        redis.switch.is_up = True
        clock.advance(4.0)

    replica.upstream.connect = connect
    await replica.outbound.ask(OURS, call_at(clock))

    assert redis.budget.view(SCOPE).available == 79
    assert replica.local_budget.view(SCOPE).available == 2


async def test_a_call_that_has_a_connection_waits_for_no_turn(clock: FakeClock) -> None:
    """Calls of other tenants may need the connection."""
    replica = Replica(clock, limit=1)

    async def connect() -> None:
        clock.advance(62.0)
        await replica.budget.take(SCOPE, Purpose.MISS)

    replica.upstream.connect = connect
    async with asyncio.timeout(1.0):
        with pytest.raises(BudgetExhausted):
            await replica.outbound.ask(OURS, call_at(clock, timeout=200.0))

    assert replica.upstream.count == 0
    assert len(replica.observer.of("budget_denied")) == 1


async def test_a_call_is_not_sent_once_the_gate_is_closed(alone: Replica, clock: FakeClock) -> None:
    """A 429 came while it waited for a connection; it costs nothing."""

    async def connect() -> None:
        clock.advance(1.0)
        await alone.budget.close(SCOPE, 30.0)

    alone.upstream.connect = connect
    with pytest.raises(GateClosed):
        await alone.outbound.ask(OURS, call_at(clock))

    view = alone.budget.view(SCOPE)
    assert alone.upstream.count == 0
    assert view.available == view.limit


async def test_a_probe_that_connects_slowly_is_sent(alone: Replica, clock: FakeClock) -> None:
    """Otherwise the gate would never open."""
    await alone.budget.close(SCOPE, 30.0)
    clock.advance(30.0)
    alone.upstream.always = ok(1)

    async def connect() -> None:
        clock.advance(4.0)

    alone.upstream.connect = connect
    await alone.outbound.ask(OURS, call_at(clock))

    assert alone.upstream.count == 1


async def test_frozen_refuses_calls_of_callers(alone: Replica, clock: FakeClock) -> None:
    """And says when to come back."""
    await alone.modes.order(Mode.FROZEN)

    with pytest.raises(Frozen) as frozen:
        await alone.outbound.ask(OURS, call_at(clock))

    assert frozen.value.retry_after > 0
    assert alone.upstream.count == 0


async def test_a_call_that_waits_is_not_sent_once_the_mode_is_frozen(
    alone: Replica, clock: FakeClock
) -> None:
    """It waited for a connection. The charge is given back."""

    async def connect() -> None:
        await alone.modes.order(Mode.FROZEN)

    alone.upstream.connect = connect
    with pytest.raises(Frozen):
        await alone.outbound.ask(OURS, call_at(clock))

    assert (alone.upstream.count, spent(alone)) == (0, 0)


async def test_a_call_is_not_sent_if_the_mode_is_frozen_while_its_charge_is_renewed(
    alone: Replica, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renewed charge is given back."""
    take = alone.budget.take

    async def connect() -> None:
        clock.advance(5.0)
        monkeypatch.setattr(alone.budget, "take", freeze)

    async def freeze(scope: str, purpose: Purpose) -> Charge:
        charge = await take(scope, purpose)
        await alone.modes.order(Mode.FROZEN)
        return charge

    alone.upstream.connect = connect
    with pytest.raises(Frozen):
        await alone.outbound.ask(OURS, call_at(clock))

    assert (alone.upstream.count, spent(alone)) == (0, 0)
