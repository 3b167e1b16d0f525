from __future__ import annotations

import pytest

from gateway.core.errors import (
    GateClosed,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamUnreachable,
)
from gateway.core.upstream.breaker import LONGEST_HOLD
from gateway.core.vocabulary import FailureReason, NoticeKind, Purpose
from gateway.ports import Notice
from tests.doubles.bus import Hub
from tests.doubles.clock import FakeClock
from tests.unit.flow.calling import SCOPE, ask, broken, fail, invalid, limit, refused, succeed
from tests.unit.flow.house import OURS, Redis, Replica, ok


async def test_a_429_closes_the_gate(alone: Replica) -> None:
    """For as long as upstream said; nothing goes meanwhile."""
    await limit(alone, 30.0)

    with pytest.raises(GateClosed) as caught:
        await ask(alone)

    assert caught.value.retry_after == 30.0
    assert alone.upstream.count == 1
    assert alone.observer.of("gate_closed") == [(SCOPE, 30.0, None)]


async def test_the_limit_after_a_429_is_told(clock: FakeClock) -> None:
    """An operator sees in the log that one 429 lowers it so far."""
    replica = Replica(clock, limit=20)

    await limit(replica, 30.0)

    assert replica.observer.of("gate_closed") == [(SCOPE, 30.0, 16)]


async def test_a_429_without_a_time_is_told_one(alone: Replica) -> None:
    """The gate's own, which callers are then told."""
    failure = await limit(alone, None)

    assert failure.retry_after == 30.0


async def test_the_probes_answer_opens_the_gate(alone: Replica, clock: FakeClock) -> None:
    """Once it has come all may go, and it is told once."""
    await limit(alone, 30.0)
    clock.advance(30.0)
    alone.upstream.then(ok(1))
    await ask(alone)
    with pytest.raises(GateClosed):
        await ask(alone)

    await alone.outbound.answered(OURS)

    await succeed(alone)
    assert alone.observer.of("gate_opened") == [(SCOPE,)]


@pytest.mark.parametrize("failure", [refused(), invalid(), broken()])
async def test_an_answer_that_is_no_use_opens_it_as_well(
    alone: Replica, clock: FakeClock, failure: UpstreamFailure
) -> None:
    """It is none of 429."""
    await limit(alone, 30.0)
    clock.advance(30.0)

    await fail(alone, failure)

    await succeed(alone)


async def test_an_answer_to_an_earlier_call_does_not_open_it(alone: Replica) -> None:
    """It was sent before the gate closed, and nobody is told that it opened."""
    await limit(alone, 30.0)

    await alone.outbound.answered(OURS)

    assert alone.observer.of("gate_opened") == []
    with pytest.raises(GateClosed):
        await ask(alone)


async def test_a_429_closes_the_gate_of_all_replicas(replica: Replica, other: Replica) -> None:
    """And the probe of any opens it for all."""
    await limit(replica, 30.0)
    with pytest.raises(GateClosed):
        await ask(other)

    replica.clock.advance(30.0)
    await succeed(other)

    await succeed(replica)


async def test_the_gate_stays_closed_when_redis_goes_away(replica: Replica, redis: Redis) -> None:
    """The local share has a gate of its own."""
    await limit(replica, 30.0)

    redis.switch.is_up = False

    with pytest.raises(GateClosed):
        await ask(replica)


async def test_a_429_while_redis_is_away_closes_the_local_gate(
    replica: Replica, redis: Redis
) -> None:
    """This replica stops, in any case."""
    redis.switch.is_up = False

    failure = await limit(replica, 30.0)

    assert failure.retry_after == 30.0
    with pytest.raises(GateClosed):
        await ask(replica)


async def test_an_answer_without_redis_opens_what_can_be_opened(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """The local gate opens; Redis' own stays for a probe of its own."""
    await limit(replica, 30.0)
    clock.advance(29.0)
    redis.switch.is_up = False
    clock.advance(1.0)

    await succeed(replica)

    assert replica.observer.of("gate_opened") == [(SCOPE,)]


async def test_what_the_gate_keeps_back_is_counted(alone: Replica) -> None:
    """By its purpose, like what the budget keeps back."""
    await limit(alone, 30.0)

    with pytest.raises(GateClosed):
        await ask(alone)

    assert alone.observer.of("budget_denied") == [(Purpose.MISS, 30.0)]


async def test_a_429_heard_without_redis_holds_when_it_is_back(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """Redis knows nothing of it; until its time nothing goes."""
    redis.switch.is_up = False
    await limit(replica, 30.0)
    redis.switch.is_up = True

    with pytest.raises(GateClosed) as caught:
        await ask(replica)
    assert caught.value.retry_after == 30.0
    clock.advance(30.0)

    await succeed(replica)


async def test_a_429_that_redis_forgot_holds(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """It was flushed."""
    await limit(replica, 30.0)
    redis.budget.lose()

    with pytest.raises(GateClosed):
        await ask(replica)


async def test_a_429_elsewhere_holds_without_redis(clock: FakeClock) -> None:
    """It was heard before Redis went away."""
    hub, redis = Hub(), Redis(clock)
    replica, other = (Replica(clock, redis, hub=hub) for _ in "ab")
    await limit(other, 30.0)
    redis.switch.is_up = False

    with pytest.raises(GateClosed) as closed:
        await ask(replica)

    assert closed.value.retry_after == 30.0
    assert replica.observer.of("gate_closed") == [(SCOPE, 30.0, None)]
    clock.advance(30.0)
    await succeed(replica)


@pytest.mark.parametrize("late", [29.5, 31.0, 400.0])
async def test_a_429_that_is_told_late_closes_no_gate(clock: FakeClock, late: float) -> None:
    """It is over by then, or as good as over."""
    replica = Replica(clock)
    told = Notice(NoticeKind.GATE_CLOSED, scope=SCOPE, until=clock.now() + 30.0)
    clock.advance(late)

    replica.apply(told)

    assert replica.local_budget.view(SCOPE).gate_closed_for == 0.0
    assert replica.observer.of("gate_closed") == []


async def test_a_gate_that_is_told_closed_for_ever_opens(clock: FakeClock) -> None:
    """After the longest time for which a gate closes."""
    replica = Replica(clock)
    replica.apply(Notice(NoticeKind.GATE_CLOSED, scope=SCOPE, until=clock.now() + 1e9))

    clock.advance(1.1 * LONGEST_HOLD + 1.0)

    await succeed(replica)


async def test_a_429_is_told_to_the_others(clock: FakeClock) -> None:
    """Also that of a call that was under way, and of the probe. So it holds when Redis has
    forgotten it."""
    hub, redis = Hub(), Redis(clock)
    replica, other = (Replica(clock, redis, hub=hub) for _ in "ab")
    await limit(replica, 5.0)
    longer = UpstreamRateLimited("429", retry_after=30.0)
    await replica.outbound.failed(OURS, "trn_1", longer)
    clock.advance(30.0)
    await limit(replica, 12.0)  # shorter than the time for which a probe keeps others away
    redis.budget.lose()

    assert [each.kind for each in hub.told] == [NoticeKind.GATE_CLOSED] * 3
    with pytest.raises(GateClosed) as closed:
        await ask(other)
    assert closed.value.retry_after == 12.0


@pytest.mark.parametrize("limited", [None, 80])
async def test_a_reserve_does_not_pay_for_a_call_past_the_gate(
    clock: FakeClock, limited: int | None
) -> None:
    """Redis is back, this replica has spent of its reserve, and another one heard a 429."""
    redis = Redis(clock, limited)
    replica, other = (Replica(clock, redis, limit=limited) for _ in "ab")
    replica.budget.view(SCOPE)
    clock.advance(61.0)
    redis.switch.is_up = False
    await succeed(replica)
    redis.switch.is_up = True
    await limit(other, 30.0)

    with pytest.raises(GateClosed) as closed:
        await ask(replica)

    assert closed.value.retry_after == 30.0
    assert replica.upstream.count == 1
    clock.advance(100.0)
    replica.upstream.always = ok(1)
    await ask(replica)
    for each in (replica, other):  # of both it is the one probe
        with pytest.raises(GateClosed):
            await ask(each)


async def test_the_local_gate_keeps_no_probe_from_redis(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """Both are due at once, however their jitter falls."""
    clock.script([0.0, 0.9])
    failure = await limit(replica, 30.0)
    assert failure.retry_after is not None
    clock.advance(failure.retry_after)

    await succeed(replica)
    await succeed(replica)


async def test_an_old_429_is_forgotten_once_upstream_answers(
    replica: Replica, redis: Redis, other: Replica, clock: FakeClock
) -> None:
    """Another replica probed; when Redis goes away an hour later all may go here."""
    await limit(replica, 30.0)
    clock.advance(31.0)
    await succeed(other)
    await succeed(replica)
    clock.advance(3600.0)
    redis.switch.is_up = False
    replica.upstream.always = ok(1)

    await ask(replica)
    await ask(replica)

    assert replica.observer.of("gate_opened") == [(SCOPE,)]


async def test_a_probe_that_was_never_sent_lets_the_next_one_probe(
    replica: Replica, other: Replica, clock: FakeClock
) -> None:
    """At once, whichever replica it is in; the gate is still only due."""
    await limit(replica, 30.0)
    clock.advance(30.0)
    unsent = UpstreamUnreachable("no connection", FailureReason.CONNECT, sent=False)
    replica.upstream.then(unsent)
    await fail(replica, unsent)

    other.upstream.always = ok(1)
    await ask(other)
    with pytest.raises(GateClosed):
        await ask(other)
