from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.core.errors import (
    CircuitOpen,
    GateClosed,
    GatewayError,
    UpstreamError,
    UpstreamFailure,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Circuit, FailureReason, Outcome, Purpose
from gateway.flow.answer import Ask
from gateway.ports import Call
from tests.doubles.clock import FakeClock
from tests.unit.flow.calling import SCOPE, ask, broken, fail, invalid, limit, refused, succeed
from tests.unit.flow.house import CALLER, OURS, Replica, ok


async def test_failures_of_five_trainings_open_the_breaker(alone: Replica) -> None:
    """The next call is withheld for a second."""
    await fail(alone, times=4)
    assert alone.outbound.circuit is Circuit.CLOSED

    await fail(alone, times=5)

    with pytest.raises(CircuitOpen) as caught:
        await ask(alone, "trn_9")
    assert caught.value.retry_after == 1.0
    assert alone.upstream.count == 9
    assert alone.observer.of("circuit_moved") == [(Circuit.OPEN,)]


async def test_a_training_at_which_the_api_fails_stops_no_other(clock: FakeClock) -> None:
    """Of its own tenant or of another one, however often callers ask for it."""
    replica = Replica(clock)
    replica.upstream.always = _api_that_fails_at_one
    acme, globex = (_tenant(name) for name in ("acme", "globex"))
    bad = [await _get(replica, acme, "trn_bad") for _ in range(20)]

    outcomes = [await _get(replica, tenant, "trn_1") for tenant in (acme, globex)]

    assert outcomes == [Outcome.FILLED] * 2
    assert set(bad) == {UpstreamError}


async def test_an_outage_stops_all_tenants(clock: FakeClock) -> None:
    """One training id in five partitions is five trainings."""
    replica = Replica(clock)
    replica.upstream.always = _api_that_fails
    tenants = [_tenant(name) for name in ("acme", "globex", "initech", "hooli", "umbrella")]
    for tenant in tenants:
        await _get(replica, tenant, "trn_1")

    assert await _get(replica, _tenant("other"), "trn_1") is CircuitOpen


async def test_after_an_outage_a_bad_training_leaves_the_probe_to_others(clock: FakeClock) -> None:
    """One is asked for ten times a second, and still fails. Another one is asked for each seven
    seconds, and its call closes the breaker within 60 s."""
    replica = Replica(clock)
    replica.upstream.always = _api_that_fails
    for second in range(600):
        await _get(replica, OURS, f"trn_{second}")
        clock.advance(1.0)
    replica.upstream.always = _api_that_fails_at_one

    outcomes = []
    for tick in range(1_200):
        await _get(replica, OURS, "trn_bad")
        if tick % 70 == 0:
            outcomes.append(await _get(replica, OURS, "trn_good"))
        clock.advance(0.1)

    first = outcomes.index(Outcome.FILLED)
    assert first * 7 <= 60
    assert set(outcomes[:first]) <= {CircuitOpen}


async def test_each_failure_is_told(alone: Replica) -> None:
    """With its reason."""
    await fail(alone)

    assert alone.observer.of("upstream_failed") == [(FailureReason.STATUS_5XX, "trn_1", "500")]


async def test_a_success_in_between_counts_anew(alone: Replica) -> None:
    """Only failures in a row open it."""
    await fail(alone, times=4)
    await succeed(alone)
    await fail(alone, times=4)

    assert alone.outbound.circuit is Circuit.CLOSED


@pytest.mark.parametrize("failure", [refused(), invalid()])
async def test_what_is_answered_does_not_open_the_breaker(
    alone: Replica, failure: UpstreamFailure
) -> None:
    """Our token, or one training's body, is no reason to leave upstream alone."""
    await fail(alone, failure, times=20)

    assert alone.outbound.circuit is Circuit.CLOSED


async def test_a_429_does_not_open_the_breaker(alone: Replica) -> None:
    """That is the gate's business: upstream answers, and what failed before it counts no more."""
    await fail(alone, times=4)
    failure = await limit(alone)
    await alone.outbound.failed(OURS, "trn_1", failure)
    await alone.outbound.failed(OURS, "trn_1", broken())

    assert alone.outbound.circuit is Circuit.CLOSED


async def test_one_probe_closes_the_breaker(alone: Replica, clock: FakeClock) -> None:
    """When the time is over one call goes; its success lets all go."""
    await fail(alone, times=5)
    clock.advance(1.0)
    alone.upstream.then(ok(1))
    await ask(alone, "trn_9")

    with pytest.raises(CircuitOpen):
        await ask(alone, "trn_8")

    await alone.outbound.answered(OURS)
    assert alone.observer.of("circuit_moved") == [(Circuit.OPEN,), (Circuit.CLOSED,)]
    await succeed(alone)


async def test_a_probe_that_fails_leaves_it_open_for_longer(
    alone: Replica, clock: FakeClock
) -> None:
    """Twice as long."""
    await fail(alone, times=5)
    clock.advance(1.0)
    alone.upstream.then(broken())
    with pytest.raises(UpstreamError):
        await ask(alone, "trn_9")

    with pytest.raises(CircuitOpen) as caught:
        await ask(alone, "trn_8")
    assert caught.value.retry_after == 2.0


async def test_a_probe_may_retry(alone: Replica, clock: FakeClock) -> None:
    """Its second attempt is not kept away by its first."""
    await fail(alone, times=5)
    clock.advance(1.0)
    unsent = UpstreamUnreachable("no connection", FailureReason.CONNECT, sent=False)
    alone.upstream.then(unsent, ok(1))

    await ask(alone, "trn_9")

    assert alone.upstream.calls[-1].purpose is Purpose.RETRY


async def test_a_probe_that_cannot_be_paid_lets_the_next_one_probe(clock: FakeClock) -> None:
    """It was never sent."""
    replica = Replica(clock)
    await fail(replica, times=5)
    clock.advance(2.0)
    await replica.local_budget.close(SCOPE, 5.0)
    with pytest.raises(GateClosed):
        await ask(replica)

    clock.advance(5.0)
    await succeed(replica)

    assert replica.outbound.circuit is Circuit.CLOSED


@pytest.mark.parametrize(
    ("status", "opens"), [(401, False), (403, False), (404, False), (503, True)]
)
async def test_a_4xx_that_is_not_of_the_api_is_no_outage(
    clock: FakeClock, status: int, opens: bool
) -> None:
    """A proxy refuses invented tokens with JSON of its own. Callers with other tokens go on."""
    replica = Replica(clock)
    body = b'{"message": "invalid token"}'
    replica.upstream.always = Reply(status, ((b"content-type", b"application/json"),), body)
    for number in range(20):
        stranger = replace(CALLER, partition=f"p{number}", token=f"invented-{number}")
        await _get(replica, stranger, f"trn_{number}")

    assert (replica.outbound.circuit is Circuit.OPEN) is opens


def unwritten() -> UpstreamUnreachable:
    """A request of ours that could not even be written."""
    return UpstreamUnreachable("a bad field", FailureReason.PROTOCOL, sent=False)


def queued() -> UpstreamTimeout:
    """A call that waited for a connection of ours until its deadline."""
    return UpstreamTimeout("no connection is free", FailureReason.POOL_TIMEOUT, sent=False)


@pytest.mark.parametrize("unsent", [unwritten, queued])
async def test_what_we_could_not_send_is_not_upstreams_failure(
    alone: Replica, unsent: Callable[[], UpstreamFailure]
) -> None:
    """However often: the breaker hears of it neither as a failure nor as a success."""
    await fail(alone, times=4)
    for _ in range(20):
        alone.upstream.then(unsent())
        await fail(alone, unsent())
    assert alone.observer.of("circuit_moved") == []

    await fail(alone, times=5)

    assert alone.outbound.circuit is Circuit.OPEN


async def test_a_protocol_error_after_sending_counts(alone: Replica) -> None:
    """That is what upstream answered."""
    await fail(alone, UpstreamUnreachable("no HTTP", FailureReason.PROTOCOL, sent=True), times=5)

    assert alone.outbound.circuit is Circuit.OPEN


@pytest.mark.parametrize("unsent", [unwritten, queued])
async def test_a_probe_that_we_could_not_send_lets_the_next_one_probe(
    alone: Replica, clock: FakeClock, unsent: Callable[[], UpstreamFailure]
) -> None:
    """Nothing was learnt of upstream."""
    await fail(alone, times=5)
    clock.advance(1.0)
    alone.upstream.then(unsent(), unsent())
    with pytest.raises(UpstreamFailure):
        await ask(alone, "trn_8")

    alone.upstream.then(ok(1))
    await ask(alone, "trn_9")
    await alone.outbound.answered(OURS)

    assert alone.outbound.circuit is Circuit.CLOSED


def _tenant(name: str) -> Caller:
    return Caller(f"{name}-web", name, name[0] * 32, name, f"T-{name}", owns_token=False)


async def _api_that_fails_at_one(call: Call) -> Reply:
    if call.training_id == "trn_bad":
        raise broken()
    return ok(1, training_id=call.training_id)


async def _api_that_fails(_: Call) -> Reply:
    raise broken()


async def _get(replica: Replica, tenant: Caller, training_id: str) -> Outcome | type[GatewayError]:
    try:
        return (await replica.gateway.get(Ask(Key(tenant.partition, training_id), tenant))).outcome
    except GatewayError as error:
        return type(error)
