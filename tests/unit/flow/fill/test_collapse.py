from __future__ import annotations

import asyncio

import pytest

from gateway.core.cache.entry import Key
from gateway.core.cache.lease_result import Ending, ErrorKind
from gateway.core.errors import (
    AccessRefused,
    ShuttingDown,
    UpstreamTimeout,
    UpstreamUnreachable,
    VersionDoubted,
)
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import (
    Detail,
    EndingKind,
    FailureReason,
    Forward,
    Outcome,
    Purpose,
    Tier,
)
from gateway.flow.fill.fetch import Want
from gateway.flow.request.response_selection import Answer
from gateway.ports import Call, Held
from tests.doubles.upstream import Answer as Script
from tests.unit.flow.house import (
    CALLER,
    KEY,
    SOFT,
    STALE,
    Replica,
    ok,
    page,
    says,
    serve_stale,
    settle,
    training,
)
from tests.unit.flow.leases import DONE, Town, asking, calls, leader_of

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


async def test_what_landed_before_the_lease_is_not_fetched_again(town: Town) -> None:
    """It is a hit in Redis; who followed meanwhile is told that it is there."""
    replica, answer = await late(town, ok(1))

    assert replica.upstream.count == 0
    assert (answer.outcome, answer.tier) == (Outcome.FRESH, Tier.L2)
    assert answer.handling == Handling(Detail.L2)
    assert town.ending() is EndingKind.DONE


async def test_a_404_that_landed_before_the_lease_is_told(town: Town) -> None:
    """It is remembered as such."""
    replica, answer = await late(town, says(404))

    assert replica.upstream.count == 0
    assert (answer.outcome, answer.tier) == (Outcome.NEGATIVE, Tier.L2)


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


async def test_what_landed_and_is_stale_by_now_is_fetched(town: Town) -> None:
    """News are looked at, and do not do."""
    replica, other = town.replica(), town.replica()
    await serve_stale(replica, SOFT)
    replica.upstream.then(ok(3))
    town.redis.switch.hold()
    waiter = (await asking(replica))[0]
    other.upstream.then(ok(2))
    await other.fetch(Want(KEY, CALLER, Purpose.SWEEP))
    town.clock.advance(STALE)
    town.redis.switch.release()

    assert (await waiter).outcome is Outcome.FILLED
    assert replica.upstream.count == 2


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


async def test_a_lease_that_is_lost_changes_nothing(town: Town) -> None:
    """The fetch ends as it would have, is stored, and takes nothing from the successor."""
    one = town.replica()
    one.upstream.then(ok(1))
    one.upstream.hold()
    waiter = (await asking(one))[0]
    town.board.records.clear()
    successor = await leader_of(town)
    await town.pass_time(2.0)

    one.upstream.release()

    assert (await waiter).outcome is Outcome.FILLED
    assert await successor.renew()
    assert (await town.redis.memory.lookup(KEY)).entry is not None


async def test_renewing_survives_an_absent_redis(town: Town) -> None:
    """A leader that could not renew once holds the lease with the next try."""
    one = town.replica()
    one.upstream.then(ok(1))
    one.upstream.hold()
    waiter = (await asking(one))[0]
    town.redis.switch.is_up = False
    await town.pass_time(1.0)
    town.redis.switch.is_up = True
    await town.pass_time(1.0)
    assert town.board.renewals == 1

    one.upstream.release()
    await waiter


async def test_a_cancelled_leader_lets_go(town: Town) -> None:
    """At the end of its process: another may lead at once."""
    one, other = town.replica(), town.replica()
    one.upstream.then(ok(1))
    one.upstream.hold()
    first = (await asking(one))[0]
    other.upstream.then(ok(1))
    second = (await asking(other))[0]

    await one.serving.land(0.0)

    with pytest.raises(ShuttingDown):
        await first
    assert (await second).outcome is Outcome.FILLED
    assert other.upstream.count == 1


async def test_after_a_gap_a_replica_follows_itself(town: Town) -> None:
    """What is under way is not joined any more, and its lease is still the one to follow."""
    replica = town.replica()
    replica.upstream.then(ok(1))
    replica.upstream.hold()
    before = (await asking(replica))[0]
    replica.serving.retire()
    after = (await asking(replica))[0]

    replica.upstream.release()
    answers = [await before, await after]

    assert [answer.outcome for answer in answers] == [Outcome.FILLED, Outcome.COLLAPSED]
    assert replica.upstream.count == 1


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
        (ok(1, NO_STORE), EndingKind.ALONE),
        (says(401), EndingKind.ALONE),
        (says(403), EndingKind.ALONE),
        (says(422), EndingKind.ALONE),
        (says(500), EndingKind.GAVE_UP),
        (says(429), EndingKind.GAVE_UP),
        (page(403), EndingKind.GAVE_UP),
        (ok(1, training_id="trn_2"), EndingKind.GAVE_UP),
        (late_by(FailureReason.READ_TIMEOUT), EndingKind.GAVE_UP),
        (late_by(FailureReason.CONNECT_TIMEOUT), EndingKind.TRANSIENT),
        (unreachable(), EndingKind.TRANSIENT),
        (ZeroDivisionError("a bug"), EndingKind.TRANSIENT),
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


async def test_a_remembered_401_is_the_same_for_all_who_follow(town: Town) -> None:
    """They present the same credential: no other leader is elected to find that out."""
    replica = town.replica()
    replica.upstream.then(says(401))
    await replica.get()

    with pytest.raises(AccessRefused):
        await replica.get()

    record = town.board.record(KEY)
    assert record is not None
    assert record.ending == Ending(EndingKind.GAVE_UP, ErrorKind.TURNED_AWAY)
    assert replica.upstream.count == 1


async def test_a_fetch_that_was_overtaken_is_too_old(town: Town) -> None:
    """What followed it must not take what is stored for its result."""
    replica = town.replica()

    async def invalidated(call: Call) -> Reply:
        await town.redis.memory.invalidate("trn_1", None)
        return ok(1)

    replica.upstream.then(invalidated)
    await replica.get()

    assert town.ending() is EndingKind.TOO_OLD


async def test_an_older_version_is_for_each_to_judge(town: Town) -> None:
    """Others hold the later one and need not ask, or hold nothing and must."""
    replica = town.replica()
    await replica.fill(2)
    town.clock.advance(SOFT)

    await replica.fill(1)

    record = town.board.record(KEY)
    assert record is not None
    assert record.ending is not None
    assert record.ending.kind is EndingKind.ALONE
    error = record.ending.error()
    assert isinstance(error, VersionDoubted)


async def test_a_version_that_is_believed_in_the_end_is_not_there_yet(town: Town) -> None:
    """It is known under a generation that no body in Redis has: another one is to fetch it."""
    replica = town.replica()
    await replica.fill(2)
    for _ in range(2):
        town.clock.advance(SOFT)
        replica.upstream.then(ok(1))
        await replica.fetch(Want(KEY, CALLER, Purpose.SWEEP))
    town.clock.advance(SOFT)

    await replica.fill(1)

    assert replica.observer.of("invalidated")
    assert town.ending() is EndingKind.TOO_OLD


async def test_keys_do_not_wait_for_each_other(town: Town) -> None:
    """A lease is for one key."""
    one, other = town.replica(), town.replica()
    one.upstream.then(ok(1))
    one.upstream.hold()
    first = await asking(one)

    assert (await other.fill(1, Key("p1", "trn_2"))).outcome is Outcome.FILLED
    one.upstream.release()
    await asyncio.gather(*first)


async def test_alone_no_lease_is_taken(alone: Replica) -> None:
    """The flight is the lease: two flights of a forgotten key both call."""
    alone.upstream.then(ok(1), ok(1))
    alone.upstream.hold()
    first = (await asking(alone))[0]
    alone.serving.forget(lambda key: True)
    second = (await asking(alone))[0]

    alone.upstream.release()
    await asyncio.gather(first, second)

    assert alone.upstream.count == 2
    assert DONE.error() is None
