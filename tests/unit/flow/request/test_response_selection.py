from __future__ import annotations

import asyncio
import gc

import pytest

from gateway.core.cache.entry import Key
from gateway.core.errors import (
    BudgetExhausted,
    OnlyIfCached,
    ShuttingDown,
    UpstreamError,
)
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Detail, Forward, Outcome, Purpose, Tier
from gateway.flow.request.response_selection import Answer
from gateway.ports import Held
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import KEY, SOFT, STALE, Replica, minute_of, ok, says, settle, training


def callers(replica: Replica, count: int) -> list[asyncio.Task[Answer]]:
    """So many at once."""
    return [asyncio.create_task(replica.get()) for _ in range(count)]


async def test_a_miss_is_filled(alone: Replica) -> None:
    """The upstream's bytes, and word of where they come from."""
    answer = await alone.fill(1)

    assert isinstance(answer.content, Held)
    assert answer.content.entry.body == training(1)
    assert (answer.outcome, answer.tier) == (Outcome.FILLED, Tier.UPSTREAM)
    assert answer.handling == Handling(None, Forward.URI_MISS, 200, stored=True)
    assert alone.upstream.calls[0].purpose is Purpose.MISS


async def test_a_fresh_hit_awaits_nothing(alone: Replica) -> None:
    """The same bytes by `peek` alone, and no call."""
    filled = await alone.fill(1)

    answer = alone.peek()

    assert answer == Answer(filled.content, Outcome.FRESH, Tier.L1, Handling(Detail.L1))
    assert await alone.get() == answer
    assert alone.upstream.count == 1


async def test_nothing_is_peeked_at_where_nothing_is(alone: Replica) -> None:
    """And no call is made for it."""
    assert alone.peek() is None
    assert alone.upstream.count == 0


async def test_one_credential_does_not_see_what_another_fetched(alone: Replica) -> None:
    """Each partition fetches for itself."""
    await alone.fill(1)

    assert alone.peek(Key("p2", "trn_1")) is None
    await alone.fill(1, Key("p2", "trn_1"))
    assert alone.upstream.count == 2


async def test_two_hundred_callers_make_one_call(replica: Replica) -> None:
    """One fills, the others are collapsed and say so."""
    replica.upstream.then(ok(1))
    replica.upstream.hold()
    waiting = callers(replica, 200)
    await settle()
    assert replica.serving.fills.waiters == 199

    replica.upstream.release()
    answers = await asyncio.gather(*waiting)

    assert replica.upstream.count == 1
    assert {minute_of(answer) for answer in answers} == {1}
    outcomes = [answer.outcome for answer in answers]
    assert outcomes.count(Outcome.FILLED) == 1
    assert outcomes.count(Outcome.COLLAPSED) == 199
    assert sum(answer.handling.collapsed for answer in answers) == 199
    assert replica.serving.fills.waiters == 0


async def test_the_first_caller_leaving_changes_nothing(replica: Replica) -> None:
    """The others are answered by the same call."""
    replica.upstream.then(ok(1))
    replica.upstream.hold()
    first, *others = callers(replica, 10)
    await settle()

    first.cancel()
    await settle()
    replica.upstream.release()
    answers = await asyncio.gather(*others)

    assert first.cancelled()
    assert {minute_of(answer) for answer in answers} == {1}
    assert replica.upstream.count == 1


async def test_the_call_goes_on_when_all_have_left(alone: Replica) -> None:
    """What it brings is stored for the next."""
    alone.upstream.then(ok(1))
    alone.upstream.hold()
    waiting = callers(alone, 2)
    await settle()
    for each in waiting:
        each.cancel()
    await settle()

    alone.upstream.release()
    await alone.land()

    assert alone.peek() is not None
    assert alone.serving.fills.waiters == 0


async def test_a_failure_reaches_all_who_wait(alone: Replica) -> None:
    """Each once, of one call; and asyncio has nothing to complain of."""
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    alone.upstream.then(says(500))
    alone.upstream.hold()
    waiting = callers(alone, 5)
    await settle()
    waiting[0].cancel()

    alone.upstream.release()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    gc.collect()

    assert [type(end) for end in ends[1:]] == [UpstreamError] * 4
    assert alone.upstream.count == 1
    assert complaints == []


async def test_a_failure_is_not_remembered_as_content(alone: Replica) -> None:
    """The next caller asks again."""
    alone.upstream.then(says(500))
    with pytest.raises(UpstreamError):
        await alone.get()

    assert minute_of(await alone.fill(1)) == 1


async def test_a_call_withheld_reaches_a_caller_for_whom_nothing_is_stored(
    clock: FakeClock,
) -> None:
    """With the time when it may go."""
    replica = Replica(clock, limit=1)
    await replica.fill(1)

    with pytest.raises(BudgetExhausted) as caught:
        await replica.get(Key("p1", "trn_2"))

    assert caught.value.retry_after == 60.0


async def test_a_bug_is_not_rescued(alone: Replica, clock: FakeClock) -> None:
    """What is none of our errors comes out, even where something is stored."""
    await alone.fill(1)
    clock.advance(SOFT)
    alone.upstream.then(ZeroDivisionError("a bug"))

    with pytest.raises(ZeroDivisionError):
        await alone.get()


async def test_only_if_cached_takes_what_is_stored(alone: Replica, clock: FakeClock) -> None:
    """Fresh or stale, it starts no call."""
    await alone.fill(1)
    assert (await alone.get(only_if_cached=True)).outcome is Outcome.FRESH

    clock.advance(STALE)
    await alone.get(only_if_cached=True)
    await alone.land()

    assert alone.upstream.count == 1


@pytest.mark.parametrize("age", [None, SOFT])
async def test_only_if_cached_asks_nobody(
    alone: Replica, clock: FakeClock, age: float | None
) -> None:
    """Not where nothing is stored, nor where it would have to be asked for first."""
    if age is not None:
        await alone.fill(1)
        clock.advance(age)
    calls = alone.upstream.count

    with pytest.raises(OnlyIfCached):
        await alone.get(only_if_cached=True)

    assert alone.upstream.count == calls


async def test_a_304_revalidates(alone: Replica, clock: FakeClock) -> None:
    """What was stored is fresh again."""
    await alone.fill(1, KEY, (b"etag", b'"v1"'))
    clock.advance(SOFT)
    alone.upstream.then(Reply(304, (), b""))

    answer = await alone.get()

    assert (minute_of(answer), answer.outcome) == (1, Outcome.REVALIDATED)
    assert answer.handling == Handling(Detail.UNCHANGED, Forward.STALE, 304, stored=True)
    assert alone.upstream.calls[-1].purpose is Purpose.REVALIDATION
    assert (await alone.get()).outcome is Outcome.FRESH


async def test_a_change_is_told(alone: Replica, clock: FakeClock) -> None:
    """The new version, marked as changed."""
    await alone.fill(1)
    clock.advance(SOFT)

    answer = await alone.fill(2)

    assert (minute_of(answer), answer.outcome) == (2, Outcome.FILLED)
    assert answer.handling == Handling(Detail.CHANGED, Forward.STALE, 200, stored=True)


async def test_landing_cancels_what_takes_too_long(alone: Replica) -> None:
    """Nothing outlives the replica."""
    alone.upstream.then(ok(1))
    alone.upstream.hold()
    waiter = callers(alone, 1)[0]
    await settle()

    await alone.serving.land(0.0)

    with pytest.raises(ShuttingDown):
        await waiter
    assert alone.upstream.inflight == 0
