from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import (
    BudgetExhausted,
    FailedElsewhere,
    Frozen,
    RedisUnavailable,
    ShuttingDown,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Reply
from gateway.core.instant import Instant
from gateway.core.vocabulary import (
    Detail,
    EndingKind,
    FailureReason,
    Forward,
    Mode,
    Outcome,
    Purpose,
    Tier,
)
from gateway.flow.answer import Ask
from gateway.flow.fill.fetch import Want
from gateway.flow.request.response_selection import Answer
from gateway.flow.singleflight import Course
from gateway.ports import Budget, Charge, Ending, Held
from tests.doubles.stored import version
from tests.doubles.upstream import Answer as Script
from tests.unit.flow.house import (
    CALLER,
    KEY,
    OURS,
    SOFT,
    Replica,
    minute_of,
    ok,
    page,
    says,
    serve_stale,
    settle,
    training,
)
from tests.unit.flow.leases import DONE, FAILED, GONE, Town, asking, calls, leader_of

NO_STORE = (b"cache-control", b"no-store")


@pytest.fixture
def town() -> Town:
    """A Redis for the replicas of a test."""
    return Town()


async def test_one_replica_calls_for_all(town: Town) -> None:
    """Every caller of every replica gets the same bytes; those of the others are collapsed."""
    replicas = [town.replica() for _ in range(3)]
    replicas[0].upstream.then(ok(1))
    replicas[0].upstream.hold()
    waiting = [await asking(replica, 10) for replica in replicas]
    assert [replica.collapsing.waiters for replica in replicas] == [0, 1, 1]

    replicas[0].upstream.release()
    answers = [await asyncio.gather(*tasks) for tasks in waiting]

    assert calls(replicas) == 1
    bodies = {a.content.entry.body for each in answers for a in each if isinstance(a.content, Held)}
    assert bodies == {training(1)}
    for followed in answers[1:]:
        marks = {(a.outcome, a.tier, a.handling) for a in followed}
        assert marks == {
            (Outcome.COLLAPSED, Tier.L2, Handling(None, Forward.URI_MISS, collapsed=True))
        }
    assert [replica.collapsing.waiters for replica in replicas] == [0, 0, 0]
    assert all(replica.peek() for replica in replicas)


async def test_nobody_is_told_where_nobody_follows(town: Town) -> None:
    """One replica by itself costs no message."""
    await town.replica().fill(1)

    assert town.ending() is EndingKind.DONE
    assert town.board.told == 0


@pytest.mark.parametrize("minute", [1, 2], ids=["unchanged", "changed"])
async def test_a_refresh_is_made_by_one(town: Town, minute: int) -> None:
    """What another replica renewed is fresh here, too; no caller waits for that."""
    one, other = town.replica(), town.replica()
    await serve_stale(one)
    one.upstream.then(ok(minute))
    one.upstream.hold()
    stale = [await one.get(), await other.get()]
    await settle()
    assert other.collapsing.waiters == 0
    assert other.serving.fills.under_way(KEY) is not None

    one.upstream.release()
    await settle()

    assert {answer.outcome for answer in stale} == {Outcome.STALE_REFRESHING}
    assert calls([one, other]) == 2
    fresh = other.peek()
    assert fresh is not None
    assert fresh.outcome is Outcome.FRESH


@pytest.mark.parametrize("minute", [1, 2], ids=["unchanged", "changed"])
async def test_a_revalidation_is_made_by_one(town: Town, minute: int) -> None:
    """Callers of the other replica wait for it, and are told that they went forward as stale."""
    one, other = town.replica(), town.replica()
    await serve_stale(one, SOFT)
    one.upstream.then(ok(minute))
    one.upstream.hold()
    first, second = (await asking(one))[0], (await asking(other))[0]
    assert other.collapsing.waiters == 1

    one.upstream.release()
    answers = [await first, await second]

    assert calls([one, other]) == 2
    assert answers[1].handling == Handling(None, Forward.STALE, collapsed=True)
    assert answers[0].content == answers[1].content


async def late(town: Town, landed: Reply) -> tuple[Replica, Answer]:
    """A caller whose look-up found nothing, and whose lease came after another fetch landed."""
    replica, other = town.replica(), town.replica()
    town.redis.switch.hold()
    waiter = (await asking(replica))[0]
    other.upstream.then(landed)
    await other.fetch(Want(KEY, CALLER, Purpose.SWEEP))
    town.redis.switch.release()
    return replica, await waiter


@pytest.mark.parametrize(
    ("landed", "outcome", "detail"),
    [(ok(1), Outcome.FRESH, Detail.L2), (says(404), Outcome.NEGATIVE, Detail.NEGATIVE)],
)
async def test_what_landed_before_the_lease_is_not_fetched_again(
    town: Town, landed: Reply, outcome: Outcome, detail: Detail
) -> None:
    """It is a hit in Redis; who followed meanwhile is told that it is there."""
    replica, answer = await late(town, landed)

    assert replica.upstream.count == 0
    assert (answer.outcome, answer.tier) == (outcome, Tier.L2)
    assert answer.handling == Handling(detail)
    assert town.ending() is EndingKind.DONE


@pytest.mark.parametrize("age", [None, SOFT])
async def test_without_news_nothing_is_looked_up_again(town: Town, age: float | None) -> None:
    """Neither for a cold key nor for what this flight knows."""
    replica = town.replica()
    if age is not None:
        await serve_stale(replica, age)
    store = town.redis.store
    before = store.lookups + len(store.confirmed)

    await replica.fill(2)

    assert store.lookups + len(store.confirmed) == before + 1


async def test_a_leader_renews_as_long_as_it_works(town: Town) -> None:
    """Nine seconds later it still leads; afterwards nothing of it goes on."""
    one, other = town.replica(), town.replica()
    one.upstream.then(ok(1))
    one.upstream.hold()
    waiting = [*await asking(one), *await asking(other)]
    await town.pass_time(9.0)
    assert town.board.renewals == 9

    one.upstream.release()
    await asyncio.gather(*waiting)
    await town.pass_time(3.0)

    assert calls([one, other]) == 1
    assert town.board.renewals == 9
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cancelled_leader_lets_go(town: Town) -> None:
    """At the end of its process: another may lead at once."""
    one, other = town.replica(), town.replica()
    one.upstream.then(ok(1))
    one.upstream.hold()
    first = (await asking(one))[0]
    other.upstream.then(ok(1))
    second = (await asking(other))[0]

    await one.serving.under_way.land(0.0)

    with pytest.raises(ShuttingDown):
        await first
    assert (await second).outcome is Outcome.FILLED
    assert other.upstream.count == 1


def unreachable(sent: bool = True) -> UpstreamUnreachable:
    """The connection broke."""
    return UpstreamUnreachable("reset", FailureReason.PROTOCOL, sent=sent)


def late_by(reason: FailureReason) -> UpstreamTimeout:
    """No answer in time, for that reason."""
    return UpstreamTimeout("late", reason, sent=True)


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (ok(1), EndingKind.DONE),
        (says(404), EndingKind.DONE),
        (ok(1, NO_STORE), EndingKind.GONE),
        (says(401), EndingKind.GONE),
        (says(403), EndingKind.GONE),
        (says(422), EndingKind.GONE),
        (says(500), EndingKind.FAILED),
        (says(429), EndingKind.GONE),
        (page(403), EndingKind.FAILED),
        (ok(1, training_id="trn_2"), EndingKind.FAILED),
        (late_by(FailureReason.READ_TIMEOUT), EndingKind.FAILED),
        (late_by(FailureReason.CONNECT_TIMEOUT), EndingKind.GONE),
        (unreachable(), EndingKind.GONE),
        (ZeroDivisionError("a bug"), EndingKind.GONE),
    ],
    ids=str,
)
async def test_how_a_fetch_ended_is_left_for_followers(
    town: Town, script: Script, kind: EndingKind
) -> None:
    """Whatever became of it, the lease is let go."""
    replica = town.replica()
    replica.upstream.then(script)

    await asyncio.gather(*await asking(replica), return_exceptions=True)

    assert town.ending() is kind


async def test_an_older_version_is_for_each_to_judge(town: Town) -> None:
    """Others hold the later one and need not ask, or hold nothing and must."""
    replica = town.replica()
    await replica.fill(2)
    town.clock.advance(SOFT)

    await replica.fill(1)

    assert town.ending() is EndingKind.GONE


async def test_alone_no_lease_is_taken(alone: Replica) -> None:
    """The flight is the lease: two flights of a forgotten key both call."""
    alone.upstream.then(ok(1), ok(1))
    alone.upstream.hold()
    first = (await asking(alone))[0]
    alone.serving.under_way.forget(lambda key: True)
    second = (await asking(alone))[0]

    alone.upstream.release()
    await asyncio.gather(first, second)

    assert alone.upstream.count == 2


@pytest.fixture
def replica(town: Town) -> Replica:
    """The one that follows."""
    return town.replica()


@pytest.mark.parametrize("gone", [False, True])
async def test_what_is_stored_is_answered(town: Town, replica: Replica, gone: bool) -> None:
    """By one look-up, and kept. A 404 as the negative entry that it is."""
    leader = await leader_of(town)
    waiter = (await asking(replica))[0]
    lookups = town.redis.store.lookups
    await leader.store(b'{"a": 1}', gone=gone)

    await leader.end(DONE)
    answer = await waiter

    assert isinstance(answer.content, Held)
    assert (answer.content.entry.body, answer.content.entry.is_negative) == (
        (b"{}", True) if gone else (b'{"a": 1}', False)
    )
    assert (answer.outcome, answer.tier) == (Outcome.COLLAPSED, Tier.L2)
    assert town.redis.store.lookups == lookups + 1
    assert replica.peek() is not None
    assert replica.upstream.count == 0


@pytest.mark.parametrize("ending", [DONE, GONE], ids=str)
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
    """Then it asks by itself; no third leader is elected."""
    replica.upstream.then(ok(1))
    first = await leader_of(town)
    waiter = (await asking(replica))[0]
    await first.end(GONE)
    second = await leader_of(town)
    await settle()
    await second.end(GONE)
    third = await leader_of(town)

    assert (await waiter).outcome is Outcome.FILLED
    assert await third.renew()


async def test_what_fails_for_all_is_not_tried_again(town: Town, replica: Replica) -> None:
    """All who waited learn why, and when the API may be asked again."""
    leader = await leader_of(town)
    waiting = await asking(replica, 3)

    await leader.end(FAILED)
    raised = await asyncio.gather(*waiting, return_exceptions=True)

    for error in raised:
        assert isinstance(error, FailedElsewhere)
        told = (error.reason, error.status, error.retry_after)
        assert told == (FAILED.reason, FAILED.status, FAILED.retry_after)
    assert replica.upstream.count == 0


async def test_a_failure_elsewhere_is_rescued_here(town: Town, replica: Replica) -> None:
    """And the key is left alone for a while, as after a failure of our own."""
    await serve_stale(replica, SOFT)
    leader = await leader_of(town)
    waiter = (await asking(replica))[0]
    await leader.end(FAILED)

    assert (await waiter).outcome is Outcome.STALE_ERROR
    assert (await replica.get()).outcome is Outcome.STALE_ERROR
    assert replica.upstream.count == 1


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
    replica.serving.under_way.forget(lambda key: True)

    await leader.end(DONE)

    assert (await waiter).outcome is Outcome.COLLAPSED
    assert replica.local.peek(KEY) is None


@pytest.mark.parametrize("bound", [None, version(5)], ids=["all", "below a version"])
async def test_a_leader_that_became_too_old_is_left(
    town: Town, replica: Replica, bound: Instant | None
) -> None:
    """A request after the invalidation leads a new flight. Followers of the old flight join it."""
    other = town.replica()
    old = await leader_of(town)
    early = (await asking(replica))[0]
    town.clock.advance(0.01)
    await town.redis.memory.order("trn_1", None, bound, is_hard=True)
    other.upstream.then(ok(14))
    other.upstream.hold()
    late = (await asking(other))[0]
    await town.pass_time(0.5)
    other.upstream.release()

    answers = [await early, await late]

    assert {minute_of(answer) for answer in answers} == {14}
    assert calls([replica, other]) == 1
    assert not await old.renew()


async def spend_refreshes(budget: Budget) -> None:
    """Spend all that those may have whom nobody waits for."""
    while True:
        try:
            await budget.take("default", Purpose.REFRESH)
        except BudgetExhausted:
            return


async def test_a_miss_that_joined_a_denied_refresh_is_no_refresh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is kept for callers is there for it, though the flight it joined may not have it."""
    town = Town(limit=10)
    replica = town.replica()
    replica.caller = OURS
    await serve_stale(replica)
    await spend_refreshes(replica.budget)
    replica.upstream.then(ok(2))
    answered, take = asyncio.Event(), town.redis.budget.take

    async def take_slowly(scope: str, purpose: Purpose) -> Charge:
        await answered.wait()
        return await take(scope, purpose)

    monkeypatch.setattr(town.redis.budget, "take", take_slowly)
    await replica.get()  # begins a refresh, which will be denied
    await settle()
    replica.local.drop(KEY)
    town.redis.memory.flush()

    asked = asyncio.create_task(replica.serving.from_upstream(Ask(KEY, OURS), None))
    await settle()
    assert replica.serving.fills.waiters == 1
    answered.set()

    assert minute_of(await asked) == 2


async def test_a_denied_refresh_elsewhere_is_no_end() -> None:
    """The leader had no caller: a caller that waits here may have a call all the same."""
    town = Town(limit=10)
    leading, replica = town.replica(), town.replica()
    leading.caller = replica.caller = OURS
    await serve_stale(leading)
    await spend_refreshes(leading.budget)
    town.redis.memory.flush()
    replica.upstream.then(ok(2))
    leading.peek()
    await settle()
    asked = asyncio.create_task(replica.get())
    await town.pass_time(1.0)

    assert minute_of(await asked) == 2
    assert leading.upstream.count == 1


async def test_a_frozen_leader_is_no_end() -> None:
    """Each replica hears of the mode by itself."""
    town = Town()
    leading, replica = town.replica(), town.replica()
    await leading.modes.order(Mode.FROZEN)
    replica.upstream.then(ok(2))
    want = Want(KEY, leading.caller, Purpose.MISS)
    with pytest.raises(Frozen):
        await leading.collapsing.fill(want, Course())

    assert town.ending() is EndingKind.GONE
    assert minute_of(await replica.get()) == 2
