from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

from gateway.core.errors import (
    BudgetExhausted,
    Frozen,
    GateClosed,
    UpstreamError,
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


def spent(replica: Replica, limit: int = 10) -> int:
    """How many calls were charged to this replica."""
    available = replica.local_budget.view(SCOPE).available
    assert available is not None
    return limit - available


@pytest.fixture
def alone(clock: FakeClock) -> Replica:
    """A replica without Redis that may make ten calls."""
    return Replica(clock, limit=10)


MISS, RETRY = Purpose.MISS, Purpose.RETRY
TWICE = (MISS, RETRY)
PAUSE = (0.05,)
BROKEN = UpstreamError("500", FailureReason.STATUS_5XX, status=500)


@dataclass(frozen=True)
class Row:
    """What becomes of the calls for one request: which are made, after which pauses, and how many
    stay charged. If the script ends with an error, the request fails with it."""

    script: tuple[Reply | Exception, ...]
    calls: tuple[Purpose, ...]
    spent: int
    slept: tuple[float, ...] = ()
    limit: int = 10
    seconds: float = 10.0
    write: Write | None = None


ROWS = {
    "an answer": Row((ok(1),), (MISS,), 1),
    # What was surely not sent costs nothing, and is tried once more.
    "no connection, then an answer": Row((unreachable(), ok(1)), TWICE, 1, PAUSE),
    "no connection in time, then an answer": Row((timeout(), ok(1)), TWICE, 1, PAUSE),
    "no connection twice": Row((unreachable(), unreachable()), TWICE, 0, PAUSE),
    "no connection, and no time for a pause": Row((unreachable(),), (MISS,), 0, seconds=0.05),
    # What was perhaps sent may have cost the upstream a call.
    "a broken connection": Row((unreachable(sent=True),), (MISS,), 1),
    "no answer in time": Row((timeout(sent=True),), (MISS,), 1),
    "a 500": Row((BROKEN,), (MISS,), 1),
    # A read on a kept connection that was closed is sent once more, at once.
    "a closed connection, then an answer": Row((closed(), ok(1)), TWICE, 2),
    "a closed connection twice": Row((closed(), closed()), TWICE, 2),
    "a closed connection, and no other call is free": Row((closed(),), (MISS,), 1, limit=1),
    "a closed connection under a write": Row(
        (closed(),), (MISS,), 1, write=Write("PUT", "/training/trn_1", b"{}")
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_which_calls_are_made_and_what_they_cost(clock: FakeClock, row: Row) -> None:
    """A retry is a call of its own, and the limit holds for it too."""
    replica = Replica(clock, limit=row.limit)
    replica.upstream.then(*row.script)
    call, last = replace(call_at(clock, row.seconds), write=row.write), row.script[-1]

    if isinstance(last, Exception):
        with pytest.raises(type(last)):
            await replica.outbound.ask(OURS, call)
    else:
        assert await replica.outbound.ask(OURS, call) == last

    assert tuple(call.purpose for call in replica.upstream.calls) == row.calls
    assert tuple(clock.slept) == row.slept
    assert spent(replica, row.limit) == row.spent
    assert replica.observer.of("upstream_failed") == []


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


async def test_the_pause_is_jittered(alone: Replica, clock: FakeClock) -> None:
    """Upwards, by the whole pause at most."""
    clock.script([0.5])
    alone.upstream.then(unreachable(), ok(1))

    await alone.outbound.ask(OURS, call_at(clock))

    assert clock.slept == [pytest.approx(0.075)]


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
