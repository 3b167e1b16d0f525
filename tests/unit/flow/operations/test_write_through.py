"""Writes: handed on once, and what they changed is outdated before they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.cache.entry import Key
from gateway.core.cache.marks import State, state_of
from gateway.core.cache.policy import Windows
from gateway.core.errors import (
    AccessRefused,
    BudgetExhausted,
    GatewayError,
    ShuttingDown,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import (
    Cause,
    FailureReason,
    Forward,
    Origin,
    Outcome,
)
from gateway.flow.answer import Answer
from gateway.flow.operations.write_through import Order, Writing
from gateway.ports import Write
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    CALLER,
    KEY,
    OURS,
    Redis,
    Replica,
    minute_of,
    ok,
    says,
    settle,
    training,
)

THEIRS = Key("p2", KEY.training_id)
WRITE = Write("PUT", "/training/trn_1", b"{}")
UNSENT = UpstreamUnreachable("no connection", FailureReason.CONNECT, sent=False)
LATE = UpstreamTimeout("no answer", FailureReason.READ_TIMEOUT, sent=True)


async def write(replica: Replica, reply: Reply | Exception, caller: object = CALLER) -> Answer:
    """Hand on a write of the training, to which the upstream answers so."""
    return await hand_on(writing_of(replica), replica, reply, caller)


def writing_of(replica: Replica, timeout: float = 10.0) -> Writing:
    """What passes the replica's writes on."""
    return Writing(
        replica.outbound,
        replica.invalidation,
        replica.credentials,
        replica.clock,
        timeout=timeout,
    )


async def began(request: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
    """The request, once it waits or has ended."""
    task = asyncio.create_task(request)
    await settle()
    return task


async def hand_on(
    writing: Writing, replica: Replica, reply: Reply | Exception, caller: object = CALLER
) -> Answer:
    """Hand on a write by that."""
    assert caller in (CALLER, OURS)
    replica.upstream.then(reply)
    order = Order(CALLER if caller is CALLER else OURS, "trn_1", WRITE)
    return await writing.hand_on(order)


async def test_the_answer_is_the_upstreams(alone: Replica) -> None:
    """As it is, with all it says, marked as passed by."""
    reply = Reply(201, ((b"location", b"/x"), (b"cache-control", b"no-store")), b"made")

    answer = await write(alone, reply)

    assert isinstance(answer.content, Reply)
    assert (answer.content.status, answer.content.body) == (201, b"made")
    assert set(reply.headers) <= set(answer.content.headers)
    assert answer.outcome is Outcome.BYPASSED
    assert answer.handling.forward is Forward.METHOD
    assert [call.write for call in alone.upstream.calls] == [WRITE]


async def test_a_success_outdates_what_is_stored(replica: Replica, redis: Redis) -> None:
    """In both tiers. The next request gets what upstream has."""
    await replica.fill(1)

    await write(replica, Reply(200, (), training(2)))

    assert replica.local.entries == 0
    assert (await redis.store.lookup(KEY)).entry is None
    assert replica.observer.of("invalidated")[-1] == (Cause.WRITE, "trn_1", 1)
    assert replica.observer.of("invalidated_by")[-1] == (Origin.ORDER,)
    assert minute_of(await replica.fill(2)) == 2


@pytest.mark.parametrize("written", [None, "trn_2"])
@pytest.mark.parametrize(("body", "entries"), [(training(2), 0), (b"{}", 1)])
async def test_the_training_in_the_answer_is_outdated(
    alone: Replica, written: str | None, body: bytes, entries: int
) -> None:
    """That one may be made by a write to the collection."""
    await alone.fill(1)
    alone.upstream.then(Reply(303, (), body))

    await writing_of(alone).hand_on(Order(CALLER, written, WRITE))

    assert alone.local.entries == entries


@pytest.mark.parametrize("with_redis", [True, False])
@pytest.mark.parametrize("is_away", [True, False])
async def test_other_partitions_keep_theirs_for_rescue(with_redis: bool, is_away: bool) -> None:
    """There the training is fetched again."""
    clock = FakeClock()
    redis = Redis(clock) if with_redis else None
    replica = Replica(clock, redis, windows=Windows())
    await replica.fill(1, THEIRS)
    if redis is not None:
        redis.switch.is_up = not is_away

    await write(replica, Reply(200, (), training(5)))

    replica.upstream.then(says(500))
    assert (await replica.get(THEIRS)).outcome is Outcome.STALE_ERROR
    assert minute_of(await replica.fill(1, THEIRS)) == 1
    assert (await replica.get(THEIRS)).outcome is Outcome.FRESH


@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 500, 503])
async def test_an_error_passes_and_changes_nothing(alone: Replica, status: int) -> None:
    """RFC 9111, 4.4."""
    await alone.fill(1)

    answer = await write(alone, says(status))

    assert isinstance(answer.content, Reply)
    assert answer.content.status == status
    assert alone.local.entries == 1


@pytest.mark.parametrize("is_read", [False, True])
async def test_a_token_has_half_of_the_places(is_read: bool) -> None:
    """In the mode `passthrough` all callers have one name: each token counts as a caller, for its
    reads and its writes together."""
    clock = FakeClock(waiting=True)
    replica = Replica(clock, limit=5)
    replica.upstream.always = ok(1)
    writing = writing_of(replica, timeout=30.0)
    other = replace(CALLER, partition="p2", token="token-2")
    for _ in range(5):
        await writing.hand_on(Order(CALLER, "trn_2", WRITE))
        clock.advance(12.0)  # a call is free half a second after the last of these

    first = replica.get() if is_read else writing.hand_on(Order(CALLER, "trn_1", WRITE))
    asked = [first, *(writing.hand_on(Order(CALLER, "trn_1", WRITE)) for _ in range(2))]
    places = [await began(each) for each in (writing.hand_on(Order(other, "trn_1", WRITE)), *asked)]

    assert [each.done() for each in places] == [False, False, False, True]
    with pytest.raises(BudgetExhausted):
        await places[3]
    for each in places:
        each.cancel()
    await asyncio.gather(*places, return_exceptions=True)


@pytest.mark.parametrize(("failure", "entries"), [(UNSENT, 1), (LATE, 0)])
async def test_what_may_have_been_done_outdates(
    alone: Replica, failure: GatewayError, entries: int
) -> None:
    """And nothing is tried twice, though the first one never left."""
    await alone.fill(1)

    with pytest.raises(type(failure)):
        await write(alone, failure)

    assert alone.local.entries == entries
    assert alone.upstream.count == 2


async def test_what_the_end_of_the_process_cuts_off_may_have_been_done(alone: Replica) -> None:
    """Its caller is told that no answer came in time, as after any other call without an answer.
    The training is outdated. It is no failure of the API."""
    await alone.fill(1)
    writing = writing_of(alone)
    alone.upstream.hold()
    written = asyncio.create_task(hand_on(writing, alone, Reply(204, (), b"")))
    await settle()

    await writing.land(0.0)
    with pytest.raises(UpstreamTimeout) as ended:
        await written

    assert (ended.value.sent, ended.value.retry_after) == (True, None)
    assert (alone.upstream.count, alone.upstream.inflight) == (2, 0)
    assert alone.local.entries == 0
    assert alone.observer.of("upstream_failed") == []


async def test_a_write_without_a_connection_at_the_end_was_not_done(alone: Replica) -> None:
    """Its caller is told that this process stops, and nothing is outdated."""
    await alone.fill(1)
    writing, connected = writing_of(alone), asyncio.Event()

    async def connect() -> None:
        await connected.wait()

    alone.upstream.connect = connect
    written = asyncio.create_task(hand_on(writing, alone, Reply(204, (), b"")))
    await settle()

    await writing.land(0.0)
    with pytest.raises(ShuttingDown):
        await written

    assert (alone.upstream.count, alone.local.entries) == (1, 1)


async def test_no_write_begins_at_the_end(alone: Replica) -> None:
    """It would be ended at once, and would perhaps have been done."""
    await alone.fill(1)
    writing = writing_of(alone)
    await writing.land(0.0)

    with pytest.raises(ShuttingDown):
        await hand_on(writing, alone, Reply(204, (), b""))

    assert (alone.upstream.count, alone.local.entries) == (1, 1)


async def test_a_429_closes_the_gate(alone: Replica) -> None:
    """As one to a read does."""
    with pytest.raises(UpstreamRateLimited):
        await write(alone, says(429, (b"retry-after", b"7")))

    assert alone.observer.of("gate_closed")


async def test_a_401_to_our_own_token_is_ours(alone: Replica) -> None:
    """The caller's own 401 passes, and is remembered."""
    with pytest.raises(UpstreamRefused):
        await write(alone, says(401), OURS)

    answer = await write(alone, says(401))
    assert isinstance(answer.content, Reply)
    assert alone.observer.of("token_refused") == [("default",)]


@pytest.mark.parametrize("is_up", [True, False])
async def test_a_401_ends_all_that_the_credential_stored(
    replica: Replica, redis: Redis, clock: FakeClock, is_up: bool
) -> None:
    """As one to a read does, in both tiers. The next request makes no call."""
    other = Key("p1", "trn_2")
    await replica.fill(1, other)
    redis.switch.is_up = is_up

    await write(replica, says(401))

    assert replica.local.entries == 0
    found = await redis.memory.lookup(other)
    assert found.stored is not None
    assert (state_of(found.stored, found.marks) is State.GONE) is is_up
    with pytest.raises(AccessRefused):
        await replica.get(other)


@pytest.mark.parametrize("kind", [b"text/html", b"text/plain"])
async def test_a_401_of_a_proxy_ends_nothing(replica: Replica, kind: bytes) -> None:
    """It says nothing about what the API thinks of the credential."""
    await replica.fill(1)

    await write(replica, Reply(401, ((b"content-type", kind),), b"<html>no</html>"))

    assert replica.local.entries == 1
    replica.upstream.then(ok(1, training_id="trn_2"))
    assert (await replica.get(Key("p1", "trn_2"))).outcome is Outcome.FILLED


async def test_without_redis_it_is_done_here(replica: Replica, redis: Redis) -> None:
    """The write stands; the others are bounded by their own freshness, and the log says so."""
    await replica.fill(1)
    redis.switch.is_up = False

    answer = await write(replica, Reply(204, (), b""))

    assert isinstance(answer.content, Reply)
    assert replica.local.entries == 0
    assert replica.observer.of("write_unconfirmed") == [(KEY, None)]


async def test_one_late_answer_of_redis_does_not_prevent_it(
    replica: Replica, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis still has the version before, which would be served by every replica."""
    await replica.fill(1)
    answers = iter((False,))
    passing_on = redis.switch.pass_on

    def late_once(operation: str) -> None:
        redis.switch.is_up = operation != "order" or next(answers, True)
        passing_on(operation)

    monkeypatch.setattr(redis.switch, "pass_on", late_once)
    await write(replica, Reply(204, (), b""))

    assert redis.switch.refused == 1
    assert replica.observer.of("write_unconfirmed") == []
    await replica.fill(2)
    assert replica.upstream.count == 3
