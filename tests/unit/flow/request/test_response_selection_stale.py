from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import (
    OnlyIfCached,
    UpstreamFailure,
    UpstreamTimeout,
)
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Detail, FailureReason, Forward, Outcome, Purpose, Tier
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    IMPATIENT,
    KEY,
    OURS,
    SOFT,
    STALE,
    UNUSABLE,
    Replica,
    marks,
    minute_of,
    ok,
    page,
    says,
    serve_stale,
    settle,
)


async def test_a_stale_hit_is_answered_at_once_and_refreshed(alone: Replica) -> None:
    """One call, in the background; its answer is there for the next."""
    await serve_stale(alone)
    alone.upstream.then(ok(2))

    answers = [alone.peek() for _ in range(5)] + [await alone.get()]
    await alone.land()

    stale = (1, Outcome.STALE_REFRESHING, Handling(Detail.STALE_REFRESHING))
    assert [answer and marks(answer) for answer in answers] == [stale] * 6
    assert [call.purpose for call in alone.upstream.calls] == [Purpose.MISS, Purpose.REFRESH]
    assert marks(await alone.get()) == (2, Outcome.FRESH, Handling(Detail.L1))


async def test_an_entry_that_came_stale_is_not_fetched_at_every_hit(
    alone: Replica, clock: FakeClock
) -> None:
    """It is served with its age, without a call, until its lifetime after the call has passed."""
    old = (b"age", b"100000")
    await alone.fill(1, KEY, old)

    answers = [alone.peek(), await alone.get(), alone.peek()]

    shielded = (1, Outcome.STALE_SHIELDED, Handling(Detail.STALE_SHIELDED))
    assert [answer and marks(answer) for answer in answers] == [shielded] * 3
    assert alone.upstream.count == 1
    clock.advance(STALE)
    assert minute_of(await alone.fill(2, KEY, old)) == 2


async def test_a_404_that_came_stale_is_remembered(alone: Replica) -> None:
    """For as long as another 404."""
    alone.upstream.then(says(404, (b"age", b"100000")))
    await alone.get()

    answers = [alone.peek(), await alone.get()]

    assert [answer and answer.outcome for answer in answers] == [Outcome.NEGATIVE] * 2
    assert alone.upstream.count == 1


async def test_a_failing_refresh_is_not_started_at_every_hit(
    alone: Replica, clock: FakeClock
) -> None:
    """It backs off, and the stale answers say why."""
    await serve_stale(alone)
    alone.upstream.always = says(500)

    for _ in range(5):
        alone.peek()
        await alone.land()

    assert alone.upstream.count == 2
    answer = await alone.get()
    assert marks(answer) == (1, Outcome.STALE_ERROR, Handling(Detail.STALE_ERROR))
    ((key, why, again_in),) = alone.observer.of("refresh_failed")
    assert (key, again_in) == (KEY, 1.0)
    assert "500" in str(why)

    clock.advance(1.0)
    alone.peek()
    await alone.land()
    assert alone.upstream.count == 3


async def test_a_refresh_that_succeeds_ends_the_back_off(alone: Replica, clock: FakeClock) -> None:
    """The next failure is a first one again."""
    await serve_stale(alone)
    alone.upstream.then(says(500), ok(2), says(500))
    for pause in (1.0, STALE, 0.0):
        alone.peek()
        await alone.land()
        clock.advance(pause)

    waits = [again_in for _, _, again_in in alone.observer.of("refresh_failed")]

    assert waits == [1.0, 1.0]


@pytest.mark.parametrize("reply", [says(422), ok(1)])
async def test_a_fruitless_refresh_is_not_started_at_every_hit(
    alone: Replica, reply: Reply
) -> None:
    """An answer that leaves the entry as stale as it was is as good as none."""
    await alone.fill(2)
    alone.clock.advance(STALE)
    alone.upstream.always = reply

    for _ in range(5):
        alone.peek()
        await alone.land()

    assert alone.upstream.count == 2
    assert len(alone.observer.of("refresh_failed")) == 1
    assert minute_of(await alone.get()) == 2


async def test_a_bug_in_a_refresh_is_told_and_backs_off(alone: Replica) -> None:
    """Nobody waits for it, so nobody else would hear of it."""
    await serve_stale(alone)
    alone.upstream.always = ZeroDivisionError()

    for _ in range(3):
        alone.peek()
        await alone.land()

    assert alone.upstream.count == 2
    assert alone.observer.of("refresh_failed") == [(KEY, "ZeroDivisionError()", 1.0)]


async def test_past_the_first_window_upstream_is_waited_for(alone: Replica) -> None:
    """Its answer, where it comes within the soft wait."""
    await serve_stale(alone, SOFT)

    answer = await alone.fill(2)

    assert (minute_of(answer), answer.tier) == (2, Tier.UPSTREAM)


async def test_past_the_first_window_what_is_left_alone_is_answered_at_once(
    alone: Replica, clock: FakeClock
) -> None:
    """Until the next call is due. An outage is longer than that window, and has as many hits."""
    await serve_stale(alone, SOFT)
    alone.upstream.always = says(500)
    await alone.get()

    answer = alone.peek()

    assert answer is not None
    assert marks(answer) == (1, Outcome.STALE_ERROR, Handling(Detail.STALE_ERROR))
    clock.advance(1.0)
    assert alone.peek() is None


async def test_past_the_first_window_a_cached_answer_is_a_rescue(alone: Replica) -> None:
    """`only-if-cached` gets it while the training is left alone, and no call is made for it."""
    await serve_stale(alone, SOFT)
    alone.upstream.always = says(500)
    with pytest.raises(OnlyIfCached):
        await alone.get(only_if_cached=True)
    await alone.get()
    calls = alone.upstream.count

    answer = await alone.get(only_if_cached=True)

    assert marks(answer) == (1, Outcome.STALE_ERROR, Handling(Detail.STALE_ERROR))
    assert alone.upstream.count == calls


async def test_after_the_soft_wait_the_stale_answer_is_given(clock: FakeClock) -> None:
    """To leader and followers; the call goes on, and is there for the next."""
    alone = Replica(clock, windows=IMPATIENT)
    await serve_stale(alone, SOFT)
    alone.upstream.then(ok(2))
    alone.upstream.hold()

    answers = await asyncio.gather(*(alone.get() for _ in range(3)))

    stale = (1, Outcome.STALE_REFRESHING, Handling(Detail.STALE_REFRESHING))
    assert [marks(answer) for answer in answers] == [stale] * 3
    alone.upstream.release()
    await alone.land()
    assert marks(await alone.get()) == (2, Outcome.FRESH, Handling(Detail.L1))
    assert alone.upstream.count == 2


FAILURES: list[tuple[Reply | Exception, int | None]] = [
    (says(500), 500),
    (page(403), 403),
    (page(200), 200),
    (Reply(200, (), b"{}"), None),
    (says(429), 429),
    (UpstreamTimeout("late", FailureReason.READ_TIMEOUT, sent=True), None),
]


@pytest.mark.parametrize(("failure", "status"), FAILURES)
async def test_a_failure_is_rescued(
    alone: Replica, failure: Reply | Exception, status: int | None
) -> None:
    """By what is stored, marked as such, with upstream's status where it sent one."""
    await serve_stale(alone, SOFT)
    alone.upstream.then(failure)

    answer = await alone.get()

    handling = Handling(Detail.STALE_ERROR, Forward.STALE, status)
    assert marks(answer) == (1, Outcome.STALE_ERROR, handling)


async def test_the_gateways_own_token_refused_is_rescued(clock: FakeClock) -> None:
    """In the mode `open` a 401 is our fault, not the caller's."""
    replica = Replica(clock, caller=OURS)
    await serve_stale(replica, SOFT)
    replica.upstream.then(says(401))

    answer = await replica.get()

    handling = Handling(Detail.STALE_ERROR, Forward.STALE, 401)
    assert marks(answer) == (1, Outcome.STALE_ERROR, handling)


@pytest.mark.parametrize(("failure", "status"), FAILURES)
async def test_past_every_window_nothing_rescues(
    alone: Replica, failure: Reply | Exception, status: int | None
) -> None:
    """The error is the answer."""
    await serve_stale(alone, UNUSABLE)
    alone.upstream.then(failure)

    with pytest.raises(UpstreamFailure):
        await alone.get()


async def test_past_every_window_upstream_is_waited_for(clock: FakeClock) -> None:
    """However long it takes."""
    alone = Replica(clock, windows=IMPATIENT)
    await serve_stale(alone, UNUSABLE)
    alone.upstream.then(ok(2))
    alone.upstream.hold()
    waiter = asyncio.create_task(alone.get())
    await settle()
    assert not waiter.done()

    alone.upstream.release()

    assert minute_of(await waiter) == 2


async def test_while_it_backs_off_nobody_waits(alone: Replica) -> None:
    """The next caller past the first window is rescued without a call."""
    await serve_stale(alone, SOFT)
    alone.upstream.then(says(500))
    await alone.get()

    answer = await alone.get()

    assert marks(answer) == (1, Outcome.STALE_ERROR, Handling(Detail.STALE_ERROR))
    assert alone.upstream.count == 2
