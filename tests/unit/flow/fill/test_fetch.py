from __future__ import annotations

from contextlib import suppress

import pytest

from gateway.core.cache.entry_headers import etag_of
from gateway.core.cache.policy import Windows
from gateway.core.errors import BudgetExhausted, InvalidPayload, UpstreamError
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import (
    Cause,
    DriftKind,
    FailureReason,
    InvalidReason,
    NotStoredReason,
    Purpose,
)
from gateway.core.vocabulary import StoreVerdict as Verdict
from gateway.flow.fill.fetch import Filled, Passed, Want, came_of, fruitless
from gateway.ports import Call, Held
from tests.doubles.clock import FakeClock
from tests.doubles.stored import entry_of, held_of
from tests.unit.flow.house import CALLER, KEY, Redis, Replica, ok, page, says, training

TELLING = ("payload_rejected", "upstream_failed", "drifted")
NO_STORE = (b"cache-control", b"private, no-store")
ETAG = (b"etag", b'"v1"')
MODIFIED = (b"last-modified", b"Tue, 14 Nov 2023 22:01:00 GMT")


async def fetch(replica: Replica, reply: Reply, held: Held | None = None) -> Filled | Passed:
    """Fetch the key, for a miss or to revalidate what is held."""
    replica.upstream.then(reply)
    purpose = Purpose.MISS if held is None else Purpose.REVALIDATION
    want = Want(KEY, CALLER, purpose, held, ((b"traceparent", b"00-1"),))
    return await replica.fetch(want)


async def refetch(replica: Replica, reply: Reply) -> Filled | Passed:
    """Fetch the key, revalidating what L1 holds."""
    replica.upstream.then(reply)
    return await replica.fetch(Want(KEY, CALLER, Purpose.REVALIDATION, replica.local.peek(KEY)))


async def fill(replica: Replica, reply: Reply, held: Held | None = None) -> Filled:
    """Fetch the key and get an answer that can be given."""
    filled = await fetch(replica, reply, held)
    assert isinstance(filled, Filled)
    return filled


async def test_the_call_is_the_callers(alone: Replica, clock: FakeClock) -> None:
    """With its token, its headers to pass on, and the deadline of the whole call."""
    await fill(alone, ok(1))

    (call,) = alone.upstream.calls
    assert (call.training_id, call.token, call.purpose) == ("trn_1", "token-1", Purpose.MISS)
    assert call.extra == ((b"traceparent", b"00-1"),)
    assert call.deadline == clock.monotonic() + 10.0
    assert (call.etag, call.last_modified) == (None, None)


async def test_a_token_is_not_shown(alone: Replica) -> None:
    """Neither by what is wanted nor by the call that is made of it."""
    await fill(alone, ok(1))

    assert "token-1" not in repr(alone.upstream.calls)
    assert "token-1" not in repr(Want(KEY, CALLER, Purpose.MISS))


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "token-1", "updated_at": "2025-01-01T00:00:00Z"}',
        b'{"id": "trn_1", "updated_at": "token-1"}',
        b'{"id": "trn_1", "updated_at": "2025-01-01T00:00:00Z", "type": "token-1"}',
    ],
)
async def test_a_token_that_comes_back_is_not_told(alone: Replica, body: bytes) -> None:
    """An upstream may repeat what it was sent where its words go to the log."""
    with suppress(InvalidPayload):
        await fetch(alone, Reply(200, (), body))

    told = [call for call in alone.observer.calls if call[0] in TELLING]
    assert "[removed]" in str(told)
    assert "token-1" not in str(told)


async def test_freshness_counts_from_before_the_call(alone: Replica, clock: FakeClock) -> None:
    """A slow answer may have been made when it was asked for."""
    began = clock.now()

    async def slowly(call: object) -> Reply:
        clock.advance(4.0)
        return ok(1)

    alone.upstream.then(slowly)
    await alone.fetch(Want(KEY, CALLER, Purpose.MISS))

    held = alone.local.peek(KEY)
    assert held is not None
    assert held.entry.age(clock.now()) == 4.0
    assert held.entry.confirmed_at == began


async def test_freshness_is_jittered_downwards(alone: Replica, clock: FakeClock) -> None:
    """By a tenth at most."""
    clock.script([0.5])

    assert (await fill(alone, ok(1))).held.entry.freshness_lifetime == 28.5


async def test_validators_are_sent_where_upstream_gave_any(alone: Replica) -> None:
    """The ones of what is held."""
    held = (await fill(alone, ok(1, ETAG, MODIFIED))).held

    await fill(alone, Reply(304, (), b""), held)

    call = alone.upstream.calls[-1]
    assert (call.etag, call.last_modified) == (ETAG[1], MODIFIED[1])


async def test_our_own_etag_is_not_sent(alone: Replica) -> None:
    """Upstream would not know it."""
    held = (await fill(alone, ok(1))).held
    assert etag_of(held.entry)

    await fill(alone, ok(1), held)

    assert alone.upstream.calls[-1].etag is None


async def test_a_remembered_404_asks_without_conditions(alone: Replica) -> None:
    """A 304 to it would mean nothing."""
    held = (await fill(alone, says(404, ETAG))).held

    await fill(alone, ok(1), held)

    assert alone.upstream.calls[-1].etag is None


async def test_a_new_version_replaces_and_counts(alone: Replica, clock: FakeClock) -> None:
    """As an invalidation by `updated_at`, with the time since it was written."""
    held = (await fill(alone, ok(1))).held

    filled = await fill(alone, ok(13), held)

    assert filled.verdict is Verdict.CHANGED
    assert alone.local.peek(KEY) is filled.held
    assert alone.observer.of("invalidated") == [(Cause.UPDATED_AT, "trn_1", 1)]
    assert alone.observer.of("lagged") == [(20.0,)]
    assert alone.observer.of("stored") == [(KEY, Verdict.FIRST), (KEY, Verdict.CHANGED)]


async def test_a_version_from_the_future_lags_by_nothing(alone: Replica, clock: FakeClock) -> None:
    """Upstream's clock is ahead of ours."""
    held = (await fill(alone, ok(1))).held
    clock.step(-60.0)

    await fill(alone, ok(13), held)

    assert alone.observer.of("lagged") == [(0.0,)]


async def test_drift_is_told_and_stored(alone: Replica) -> None:
    """A field that nobody knows is served like the others."""
    body = training(1)[:-1] + b', "metadata": {}}'

    filled = await fill(alone, Reply(200, (), body))

    assert filled.held.entry.body == body
    assert alone.observer.of("drifted") == [(DriftKind.UNKNOWN_FIELD, "metadata")]


async def test_a_body_that_is_no_training_is_refused(alone: Replica) -> None:
    """Counted twice: as a rejected payload and as a failure."""
    with pytest.raises(InvalidPayload):
        await fill(alone, Reply(200, (), b"{}"))

    assert alone.local.entries == 0
    ((reason, training_id, _),) = alone.observer.of("payload_rejected")
    assert (reason, training_id) == (InvalidReason.ID_MISSING, "trn_1")
    ((failure, _, _),) = alone.observer.of("upstream_failed")
    assert failure is FailureReason.INVALID


@pytest.mark.parametrize(("status", "rejected"), [(200, 1), (403, 0), (503, 0)])
async def test_a_page_is_never_an_answer(alone: Replica, status: int, rejected: int) -> None:
    """It is a failure, and as a 200 a rejected payload as well."""
    with pytest.raises(UpstreamError):
        await fill(alone, page(status))

    assert alone.local.entries == 0
    assert len(alone.observer.of("payload_rejected")) == rejected
    assert [reason for reason, _, _ in alone.observer.of("upstream_failed")] == [
        FailureReason.CHALLENGE
    ]


async def test_a_call_withheld_is_no_failure_of_upstream(clock: FakeClock) -> None:
    """It was not asked."""
    replica = Replica(clock, limit=1)
    await fill(replica, ok(1))

    with pytest.raises(BudgetExhausted):
        await fill(replica, ok(1))

    assert replica.observer.of("upstream_failed") == []


async def test_what_leaves_the_stored_as_it_was_is_fruitless(alone: Replica) -> None:
    """An older version, or a 4xx that neither renews nor drops; nothing else."""
    fine = [await refetch(alone, reply) for reply in (ok(2), ok(2), says(403), says(401))]
    alone.clock.advance(10.0)  # for so long the 401 is remembered
    fine.append(await refetch(alone, ok(2)))
    vain = [await refetch(alone, reply) for reply in (ok(1), says(422))]

    assert [fruitless(each) for each in fine] == [None] * 5
    assert [error and error.status for error in map(fruitless, vain)] == [200, 422]


def test_what_came_of_a_fetch() -> None:
    """The reason comes before the verdict that led to it."""
    held = held_of(entry_of())
    reason = NotStoredReason.OLDER_VERSION

    assert came_of(Filled(held, 200, Verdict.FIRST, None)) == (200, Verdict.FIRST)
    assert came_of(Filled(held, 200, Verdict.OLDER, reason)) == (200, reason)
    assert came_of(Passed(Reply(403, (), b""))) == (403, None)


async def in_l2(redis: Redis) -> bool:
    """Whether Redis holds a body."""
    return (await redis.store.lookup(KEY)).entry is not None


async def test_no_store_may_be_ignored(clock: FakeClock) -> None:
    """`freshness.no_store` says so."""
    replica = Replica(clock, windows=Windows(respect_no_store=False))

    await refetch(replica, ok(1, NO_STORE))

    assert replica.local.entries == 1


@pytest.mark.parametrize(
    ("reply", "cause"),
    [(ok(2, NO_STORE), Cause.UPDATED_AT), (says(404, NO_STORE), Cause.NOT_FOUND)],
)
async def test_what_must_not_be_stored_still_ends_what_is(
    replica: Replica, redis: Redis, reply: Reply, cause: Cause
) -> None:
    """Else the old version would be served, or would rescue, in place of the new one."""
    await refetch(replica, ok(1))

    await refetch(replica, reply)

    assert replica.local.entries == 0
    assert not await in_l2(redis)
    assert replica.observer.of("invalidated") == [(cause, "trn_1", 1)]
    assert replica.observer.of("not_stored") == [(KEY, NotStoredReason.NO_STORE)]


async def test_the_same_with_no_store_is_no_invalidation(alone: Replica) -> None:
    """It is kept no longer, but it has not changed."""
    await refetch(alone, ok(1))

    await refetch(alone, ok(1, NO_STORE))

    assert alone.local.entries == 0
    assert alone.observer.of("invalidated") == []


async def test_an_older_version_with_no_store_ends_nothing(alone: Replica) -> None:
    """What is stored is the later one."""
    await refetch(alone, ok(2))

    await refetch(alone, ok(1, NO_STORE))

    assert alone.local.entries == 1


async def test_an_earlier_fetch_of_the_same_version_is_no_regression(
    replica: Replica, other: Replica, clock: FakeClock
) -> None:
    """Another replica was quicker with the other of two bodies; upstream went not back."""

    async def be_late(call: Call) -> Reply:
        clock.advance(0.1)
        await refetch(other, Reply(200, (), training(1, title="Second")))
        return ok(1)

    replica.upstream.then(be_late)
    filled = await replica.fetch(Want(KEY, CALLER, Purpose.MISS))

    assert isinstance(filled, Filled)
    assert filled.verdict is Verdict.UNCHANGED
    assert replica.observer.of("regressed") == []


async def test_what_was_invalidated_during_the_fetch_is_not_stored(
    replica: Replica, redis: Redis
) -> None:
    """Those who wait get it all the same."""

    async def be_late(call: Call) -> Reply:
        await redis.store.order("trn_1", None, None, is_hard=True)
        return ok(1)

    replica.upstream.then(be_late)
    filled = await replica.fetch(Want(KEY, CALLER, Purpose.MISS))

    assert isinstance(filled, Filled)
    assert filled.held.entry.body == training(1)
    assert filled.not_stored is NotStoredReason.INVALIDATED
    assert replica.local.entries == 0
    assert not await in_l2(redis)
    assert replica.observer.of("not_stored") == [(KEY, NotStoredReason.INVALIDATED)]
    assert replica.observer.of("regressed") == []
