"""What each ending of the leader's fetch means to the callers of a replica that follows."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.core.cache.lease_result import Ending, Failed, ending_of
from gateway.core.errors import (
    AccessRefused,
    BudgetExhausted,
    CircuitOpen,
    GateClosed,
    InvalidPayload,
    RedisUnavailable,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
    VersionDoubted,
)
from gateway.core.instant import Instant
from gateway.core.vocabulary import (
    AccessRefusal,
    EndingKind,
    FailureReason,
    InvalidReason,
    Outcome,
    Tier,
)
from gateway.ports import Held
from tests.doubles.stored import version
from tests.unit.flow.house import KEY, SOFT, Replica, minute_of, ok, serve_stale, settle
from tests.unit.flow.leases import (
    ALONE,
    DONE,
    TOO_OLD,
    TRANSIENT,
    Town,
    asking,
    calls,
    leader_of,
)

BROKEN = UpstreamUnreachable("reset", FailureReason.PROTOCOL, sent=True)
FOR_ALL: list[Failed] = [
    UpstreamTimeout("late", FailureReason.READ_TIMEOUT, sent=True),
    UpstreamError("503", FailureReason.STATUS_5XX, status=503, retry_after=7.0),
    UpstreamRateLimited("429", retry_after=30.0),
    UpstreamRefused("401", status=401),
    InvalidPayload(InvalidReason.WRONG_ID, "wrong-id"),
    BudgetExhausted("spent", retry_after=4.0),
    CircuitOpen("open", retry_after=4.0),
    GateClosed("closed", retry_after=4.0),
    AccessRefused(AccessRefusal.UPSTREAM_UNAUTHORIZED),
]


@pytest.fixture
def town() -> Town:
    """A Redis for the replicas of a test."""
    return Town()


@pytest.fixture
def replica(town: Town) -> Replica:
    """The one that follows."""
    return town.replica()


async def test_what_is_stored_is_answered(town: Town, replica: Replica) -> None:
    """By one look-up, and kept."""
    leader = await leader_of(town)
    waiter = (await asking(replica))[0]
    lookups = town.redis.store.lookups
    await leader.store(b'{"a": 1}')

    await leader.end(DONE)
    answer = await waiter

    assert isinstance(answer.content, Held)
    assert answer.content.entry.body == b'{"a": 1}'
    assert (answer.outcome, answer.tier) == (Outcome.COLLAPSED, Tier.L2)
    assert town.redis.store.lookups == lookups + 1
    assert replica.peek() is not None
    assert replica.upstream.count == 0


async def test_a_404_is_answered(town: Town, replica: Replica) -> None:
    """As the negative entry that it is."""
    leader = await leader_of(town)
    waiter = (await asking(replica))[0]
    await leader.store(gone=True)
    await leader.end(DONE)

    answer = await waiter

    assert isinstance(answer.content, Held)
    assert answer.content.entry.is_negative
    assert answer.outcome is Outcome.COLLAPSED
    assert replica.upstream.count == 0


@pytest.mark.parametrize("ending", [DONE, TRANSIENT, TOO_OLD], ids=lambda each: str(each.kind))
async def test_without_a_result_another_leads(town: Town, replica: Replica, ending: Ending) -> None:
    """One of those who followed, once; also where nothing stands that was said to be stored."""
    other = town.replica()
    replica.upstream.always = other.upstream.always = ok(1)
    leader = await leader_of(town)
    waiting = [*await asking(replica), *await asking(other)]

    await leader.end(ending)
    answers = await asyncio.gather(*waiting)

    assert calls([replica, other]) == 1
    assert {minute_of(answer) for answer in answers} == {1}
    assert sorted(answer.outcome for answer in answers) == [Outcome.COLLAPSED, Outcome.FILLED]


async def test_what_was_known_before_is_no_result(town: Town, replica: Replica) -> None:
    """A look-up that brings what was stale already is as good as none."""
    await serve_stale(replica, SOFT)
    leader = await leader_of(town)
    waiter = (await asking(replica))[0]
    replica.upstream.then(ok(2))

    await leader.end(DONE)

    assert minute_of(await waiter) == 2


async def test_twice_without_a_result_is_the_end(town: Town, replica: Replica) -> None:
    """The second failure is raised, no third leader is elected."""
    first = await leader_of(town)
    waiter = (await asking(replica))[0]
    await first.end(ending_of(BROKEN))
    second = await leader_of(town)
    await settle()
    await second.end(ending_of(BROKEN))

    with pytest.raises(UpstreamUnreachable) as caught:
        await waiter

    assert (caught.value.reason, caught.value.sent) == (BROKEN.reason, True)
    assert replica.upstream.count == 0


async def test_twice_without_a_word_each_asks_alone(town: Town, replica: Replica) -> None:
    """Two leaders vanished: nobody waits for a third."""
    first = await leader_of(town)
    waiter = (await asking(replica))[0]
    await first.end(TRANSIENT)
    second = await leader_of(town)
    await settle()
    await second.end(TRANSIENT)
    third = await leader_of(town)
    replica.upstream.then(ok(1))

    assert minute_of(await waiter) == 1
    assert await third.renew()


@pytest.mark.parametrize("error", FOR_ALL, ids=lambda error: type(error).__name__)
async def test_what_fails_for_all_is_not_tried_again(
    town: Town, replica: Replica, error: Failed
) -> None:
    """The same error, with all that it said."""
    leader = await leader_of(town)
    waiting = await asking(replica, 3)

    await leader.end(ending_of(error))
    raised = await asyncio.gather(*waiting, return_exceptions=True)

    assert {type(each) for each in raised} == {type(error)}
    assert _said(raised[0]) == _said(error)
    assert replica.upstream.count == 0


def _said(error: object) -> dict[str, object]:
    names = ("what", "reason", "status", "retry_after", "sent", "invalid")
    return {name: getattr(error, name, None) for name in names}


async def test_a_failure_elsewhere_is_rescued_here(town: Town, replica: Replica) -> None:
    """And the key is left alone for a while, as after a failure of our own."""
    await serve_stale(replica, SOFT)
    leader = await leader_of(town)
    waiter = (await asking(replica))[0]
    await leader.end(ending_of(FOR_ALL[1]))

    assert (await waiter).outcome is Outcome.STALE_ERROR
    assert (await replica.get()).outcome is Outcome.STALE_ERROR
    assert replica.upstream.count == 1


async def test_what_is_for_one_caller_is_asked_by_each(town: Town, replica: Replica) -> None:
    """Without a lease: nobody waits for the other."""
    leader = await leader_of(town)
    waiter = (await asking(replica))[0]
    replica.upstream.then(ok(1))

    await leader.end(ALONE)
    second = await leader_of(town)

    assert (await waiter).outcome is Outcome.FILLED
    assert await second.renew()


@pytest.mark.parametrize("holds", [True, False])
async def test_an_older_version_elsewhere(town: Town, replica: Replica, holds: bool) -> None:
    """A follower that holds a later one is content with it; one that holds nothing asks."""
    if holds:
        await serve_stale(replica, SOFT)
    leader = await leader_of(town)
    waiter = (await asking(replica))[0]
    replica.upstream.then(ok(2))
    older = VersionDoubted("older", FailureReason.PROTOCOL, status=200)

    await leader.end(replace(ending_of(older), kind=EndingKind.ALONE))

    expected = (1, Outcome.STALE_ERROR) if holds else (2, Outcome.FILLED)
    answer = await waiter
    assert (minute_of(answer), answer.outcome) == expected


async def test_an_older_version_elsewhere_where_nothing_is_stored_any_more(
    town: Town, replica: Replica
) -> None:
    """A request that joined the fetch, and whose look-up found nothing since an order was already
    in Redis, is answered by a call: the answer of the upstream is no failure of it."""
    await serve_stale(replica, SOFT)
    leader = await leader_of(town)
    first = (await asking(replica))[0]
    await town.redis.store.drop(KEY)
    replica.local.drop(KEY)
    others = await asking(replica, 3)
    replica.upstream.then(ok(2))
    older = VersionDoubted("older", FailureReason.PROTOCOL, status=200)

    await leader.end(replace(ending_of(older), kind=EndingKind.ALONE))

    assert (await first).outcome is Outcome.STALE_ERROR
    assert [minute_of(each) for each in await asyncio.gather(*others)] == [2, 2, 2]
    assert replica.upstream.count == 2  # one of them filled the cache


async def test_a_lost_message_costs_a_look(town: Town, replica: Replica) -> None:
    """A quarter of a second later the ending is found."""
    town.board.muted = True
    leader = await leader_of(town)
    waiter = (await asking(replica))[0]
    await leader.store()
    await leader.end(DONE)
    await settle()
    assert not waiter.done()

    await town.pass_time(0.25)

    assert (await waiter).outcome is Outcome.COLLAPSED


async def test_looks_become_rarer(town: Town, replica: Replica) -> None:
    """Up to one a second, as long as the lease is renewed."""
    leader = await leader_of(town)
    waiter = (await asking(replica))[0]
    for _ in range(8):
        await town.pass_time(1.0)
        assert await leader.renew()

    assert 8 <= town.board.looks <= 12
    waiter.cancel()
    await leader.end(DONE)
    await replica.land()


async def test_a_dead_leader_is_followed_by_another(town: Town, replica: Replica) -> None:
    """When its lease lapsed, one of the followers calls, with what is left of its time."""
    other = town.replica()
    replica.upstream.always = other.upstream.always = ok(1)
    began = town.clock.monotonic()
    await leader_of(town)
    waiting = [*await asking(replica), *await asking(other)]

    await town.pass_time(5.0)
    answers = await asyncio.gather(*waiting)

    assert calls([replica, other]) == 1
    assert {minute_of(answer) for answer in answers} == {1}
    (call,) = replica.upstream.calls + other.upstream.calls
    assert call.deadline == began + 10.0


@pytest.mark.parametrize("holds", [True, False])
async def test_nobody_waits_for_ever(town: Town, replica: Replica, holds: bool) -> None:
    """A leader that goes on longer than a call may take is a timeout, which may be rescued."""
    if holds:
        await serve_stale(replica, SOFT)
    before = replica.upstream.count
    leader = await leader_of(town)
    waiter = (await asking(replica))[0]
    for _ in range(10):
        assert not waiter.done()
        await town.pass_time(1.0)
        assert await leader.renew()
    await town.pass_time(0.25)

    if holds:
        assert (await waiter).outcome is Outcome.STALE_ERROR
    else:
        with pytest.raises(UpstreamTimeout) as caught:
            await waiter
        assert caught.value.reason is FailureReason.READ_TIMEOUT
    assert replica.upstream.count == before
    assert replica.collapsing.waiters == 0


async def test_without_redis_there_is_no_lease(town: Town) -> None:
    """Each replica asks, as its own share of the budget allows."""
    replicas = [town.replica(), town.replica()]
    town.redis.switch.is_up = False
    for each in replicas:
        each.upstream.then(ok(1))
        each.upstream.hold()
    waiting = [(await asking(each))[0] for each in replicas]
    for each in replicas:
        each.upstream.release()

    answers = await asyncio.gather(*waiting)

    assert {answer.outcome for answer in answers} == {Outcome.FILLED}
    assert calls(replicas) == 2


async def test_a_redis_that_hangs_takes_no_time_from_the_call(
    town: Town, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it took to learn that there is no lease."""

    def hang(operation: str) -> None:
        town.clock.advance(4.0)
        town.redis.switch.is_up = False
        raise RedisUnavailable(operation, "it hangs")

    monkeypatch.setattr(town.redis.switch, "pass_on", hang)
    monkeypatch.setattr(town.redis.store, "lookup", town.redis.memory.lookup)
    replica.upstream.then(ok(1))
    began = town.clock.monotonic()

    await replica.get()

    # The lease and the ticket: 4 seconds each.
    assert replica.upstream.calls[0].deadline >= began + 14.0


async def test_who_loses_redis_while_following_asks_alone(town: Town, replica: Replica) -> None:
    """At the next look."""
    await leader_of(town)
    waiter = (await asking(replica))[0]
    replica.upstream.then(ok(1))
    town.redis.switch.is_up = False

    await town.pass_time(0.25)

    assert (await waiter).outcome is Outcome.FILLED


async def test_what_comes_after_an_invalidation_is_not_kept(town: Town, replica: Replica) -> None:
    """Who asked before may have it; this replica was told that it is outdated."""
    leader = await leader_of(town)
    waiter = (await asking(replica))[0]
    await leader.store()
    replica.serving.forget(lambda key: True)

    await leader.end(DONE)

    assert (await waiter).outcome is Outcome.COLLAPSED
    assert replica.local.peek(KEY) is None


@pytest.mark.parametrize("bound", [None, version(5)], ids=["all", "below a version"])
async def test_a_leader_that_became_too_old_is_left(
    town: Town, replica: Replica, bound: Instant | None
) -> None:
    """Who asks after the invalidation leads; who followed the old one follows the new one."""
    other = town.replica()
    old = await leader_of(town)
    early = (await asking(replica))[0]
    town.clock.advance(0.01)
    await town.redis.memory.invalidate("trn_1", bound)
    other.upstream.then(ok(14))
    other.upstream.hold()
    late = (await asking(other))[0]
    await town.pass_time(0.5)
    other.upstream.release()

    answers = [await early, await late]

    assert {minute_of(answer) for answer in answers} == {14}
    assert calls([replica, other]) == 1
    assert not await old.renew()


async def test_what_the_old_leader_brings_is_refused(town: Town, replica: Replica) -> None:
    """The store decides, not the lease."""
    old = await leader_of(town)
    await town.redis.memory.invalidate("trn_1", None)

    await replica.fill(2)
    await old.store(b"old", updated_at=Instant(0))

    found = await town.redis.memory.lookup(KEY)
    assert found.entry is not None
    assert found.entry.body != b"old"
