from __future__ import annotations

import pytest

from gateway.core.errors import (
    GateClosed,
    UpstreamFailure,
)
from tests.doubles.clock import FakeClock
from tests.unit.flow.calling import SCOPE, ask, fail, invalid, limit, refused, succeed
from tests.unit.flow.house import Redis, Replica, ok


async def test_a_429_closes_the_gate(alone: Replica) -> None:
    """For as long as upstream said; nothing goes meanwhile."""
    await limit(alone, 30.0)

    with pytest.raises(GateClosed) as caught:
        await ask(alone)

    assert caught.value.retry_after == 30.0
    assert alone.upstream.count == 1
    assert alone.observer.of("gate_closed") == [(SCOPE, 30.0)]


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

    await alone.outbound.answered(SCOPE)

    await succeed(alone)
    assert alone.observer.of("gate_opened") == [(SCOPE,)]


@pytest.mark.parametrize("failure", [refused(), invalid()])
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

    await alone.outbound.answered(SCOPE)

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


async def test_a_gate_that_redis_cannot_open_is_not_said_to_be_open(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """It went away before the probe's answer came."""
    await limit(replica, 30.0)
    clock.advance(30.0)
    replica.upstream.then(ok(1))
    await ask(replica)
    redis.switch.is_up = False

    await replica.outbound.answered(SCOPE)

    assert replica.observer.of("gate_opened") == []
