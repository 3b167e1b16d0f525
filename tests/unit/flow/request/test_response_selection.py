"""response_selection: what requests get, which calls they make, and what they share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from gateway.core.cache.entry import Key
from gateway.core.errors import (
    AccessRefused,
    BudgetExhausted,
    Frozen,
    GateClosed,
    OnlyIfCached,
    ShuttingDown,
    UpstreamError,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import (
    Cause,
    Detail,
    FailureReason,
    Forward,
    Mode,
    NotStoredReason,
    Outcome,
    Purpose,
    Tier,
)
from gateway.flow.request.response_selection import Answer
from gateway.ports import Held
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    CALLER,
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
    training,
)

# How an answer came about: outcome, tier, Cache-Status.
Origin = tuple[Outcome, Tier, Handling]
Told = tuple[int, Outcome, Tier, Handling]  # before that the minute of the version, or the status

MISS, REVALIDATION, REFRESH = Purpose.MISS, Purpose.REVALIDATION, Purpose.REFRESH
HIT: Origin = (Outcome.FRESH, Tier.L1, Handling(Detail.L1))
REFRESHING: Origin = (Outcome.STALE_REFRESHING, Tier.L1, Handling(Detail.STALE_REFRESHING))
LEFT_ALONE: Origin = (Outcome.STALE_ERROR, Tier.L1, Handling(Detail.STALE_ERROR))
SHIELDED: Origin = (Outcome.STALE_SHIELDED, Tier.L1, Handling(Detail.STALE_SHIELDED))
NEGATIVE: Origin = (Outcome.NEGATIVE, Tier.L1, Handling(Detail.NEGATIVE))
FROZEN: Origin = (Outcome.STALE_SHIELDED, Tier.L1, Handling(Detail.FROZEN))

ETAG = (b"etag", b'"v1"')
OLD = (b"age", b"100000")
NO_STORE = (b"cache-control", b"no-store")
LATE = UpstreamTimeout("late", FailureReason.READ_TIMEOUT, sent=True)
LIMITED = says(429, (b"retry-after", b"30"))
SECOND = Key("p1", "trn_2")


def filled(forward: Forward, status: int = 200, detail: Detail | None = None) -> Origin:
    """By a fetch whose answer was stored."""
    outcome = Outcome.REVALIDATED if detail is Detail.UNCHANGED else Outcome.FILLED
    return outcome, Tier.UPSTREAM, Handling(detail, forward, status, stored=True)


def not_stored(forward: Forward, reason: NotStoredReason) -> Origin:
    """By a fetch whose answer was not stored."""
    return Outcome.FILLED, Tier.UPSTREAM, Handling(None, forward, 200, not_stored=reason)


def rejected(forward: Forward, status: int) -> Origin:
    """The upstream's words to the caller."""
    return Outcome.REJECTED, Tier.UPSTREAM, Handling(None, forward, status)


def rescued(status: int | None) -> Origin:
    """By what is stored, after a call that failed."""
    return Outcome.STALE_ERROR, Tier.L1, Handling(Detail.STALE_ERROR, Forward.STALE, status)


CHANGED = filled(Forward.STALE, detail=Detail.CHANGED)
FIRST = filled(Forward.URI_MISS)
OLDER = NotStoredReason.OLDER_VERSION
KEPT_OLDER: Origin = (
    *(Outcome.STALE_ERROR, Tier.L1),
    Handling(None, Forward.STALE, 200, not_stored=OLDER),
)


@dataclass(frozen=True)
class Row:
    """`stored` was fetched `age` seconds ago, and the upstream answers as told from then on. Each
    step is a request with what it gets, or so many seconds that pass."""

    stored: Reply | None
    age: float
    upstream: tuple[Reply | Exception, ...]
    steps: tuple[Told | float | type[Exception], ...]
    calls: tuple[Purpose, ...]
    is_ours: bool = False  # the token is the gateway's own
    limit: int | None = None
    mode: Mode = Mode.NORMAL


ROWS = {
    "a miss is filled, and the next request is a hit": Row(
        None, 0.0, (ok(1),), ((1, *FIRST), (1, *HIT)), (MISS,)
    ),
    "a stale hit is answered at once and refreshed": Row(
        ok(1), STALE, (ok(2),), ((1, *REFRESHING), (2, *HIT)), (REFRESH,)
    ),
    "past the first window the upstream is waited for": Row(
        ok(1), SOFT, (ok(2),), ((2, *CHANGED), (2, *HIT)), (REVALIDATION,)
    ),
    "a 304 renews": Row(
        *(ok(1, ETAG), SOFT, (Reply(304, (), b""),)),
        ((1, *filled(Forward.STALE, 304, Detail.UNCHANGED)), (1, *HIT)),
        (REVALIDATION,),
    ),
    "the same version renews": Row(
        *(ok(1), SOFT, (ok(1),)),
        ((1, *filled(Forward.STALE, detail=Detail.UNCHANGED)), (1, *HIT)),
        (REVALIDATION,),
    ),
    "a failed miss is not remembered as content": Row(
        None, 0.0, (says(500), ok(1)), (UpstreamError, (1, *FIRST)), (MISS, MISS)
    ),
    # Stale on arrival.
    "what came stale is served without a call for one lifetime": Row(
        *(ok(1, OLD), 0.0, (ok(2, OLD),)),
        ((1, *SHIELDED), (1, *SHIELDED), STALE, (2, *CHANGED)),
        (REVALIDATION,),
    ),
    "a 404 that came stale is remembered": Row(
        says(404, OLD), 0.0, (), ((404, *NEGATIVE), (404, *NEGATIVE)), ()
    ),
    # The training is gone.
    **{
        f"a {status} replaces what is stored for ten seconds, and rescues nobody": Row(
            *(ok(1), SOFT, (says(status), says(500), ok(3))),
            (
                (status, *filled(Forward.STALE, status, Detail.CHANGED)),
                *((status, *NEGATIVE), 10.0, UpstreamError),
                (3, *filled(Forward.STALE, detail=Detail.CHANGED)),
            ),
            (REVALIDATION, REVALIDATION, REVALIDATION),
        )
        for status in (404, 410)
    },
    "a 404 found in the background ends the stale answers": Row(
        ok(1), STALE, (says(404),), ((1, *REFRESHING), (404, *NEGATIVE)), (REFRESH,)
    ),
    # The caller is refused.
    "a 401 ends what is stored, and is remembered for ten seconds": Row(
        *(ok(1), SOFT, (says(401), says(401))),
        (
            *((401, *rejected(Forward.STALE, 401)), AccessRefused, 10.0),
            (401, *rejected(Forward.URI_MISS, 401)),
        ),
        (REVALIDATION, MISS),
    ),
    "a 403 ends what is stored": Row(
        *(ok(1), SOFT, (says(403), says(403))),
        ((403, *rejected(Forward.STALE, 403)), (403, *rejected(Forward.URI_MISS, 403))),
        (REVALIDATION, MISS),
    ),
    **{
        f"a {status} in the background ends the stale answers": Row(
            *(ok(1), STALE, (says(status), says(status))),
            ((1, *REFRESHING), 10.0, (status, *rejected(Forward.URI_MISS, status))),
            (REFRESH, MISS),
        )
        for status in (401, 403)
    },
    "another 4xx passes and leaves what is stored": Row(
        *(ok(1), SOFT, (says(422), ok(1))),
        (
            (422, *rejected(Forward.STALE, 422)),
            (1, *filled(Forward.STALE, detail=Detail.UNCHANGED)),
        ),
        (REVALIDATION, REVALIDATION),
    ),
    "a 401 to the gateway's own token is rescued": Row(
        ok(1), SOFT, (says(401),), ((1, *rescued(401)),), (REVALIDATION,), is_ours=True
    ),
    "a 401 to the gateway's own token is no word to the caller": Row(
        None, 0.0, (says(401),), (UpstreamRefused,), (MISS,), is_ours=True
    ),
    # The upstream fails.
    **{
        f"rescued, and left alone for a second: {name}": Row(
            *(ok(1), SOFT, (failure, ok(2))),
            ((1, *rescued(status)), (1, *LEFT_ALONE), 1.0, (2, *CHANGED)),
            (REVALIDATION, REVALIDATION),
        )
        for name, failure, status in (
            ("a 500", says(500), 500),
            ("a page with a 403", page(403), 403),
            ("a page with a 200", page(200), 200),
            ("no training", Reply(200, (), b"{}"), None),
            ("no answer", LATE, None),
        )
    },
    **{
        f"past every window the error is the answer: {name}": Row(
            ok(1), UNUSABLE, (failure,), (UpstreamFailure,), (REVALIDATION,)
        )
        for name, failure in (("a 500", says(500)), ("a 429", LIMITED), ("no answer", LATE))
    },
    "a failing refresh is left alone for a second": Row(
        *(ok(1), STALE, (says(500), says(500))),
        ((1, *REFRESHING), (1, *LEFT_ALONE), (1, *LEFT_ALONE), 1.0, (1, *REFRESHING)),
        (REFRESH, REFRESH),
    ),
    "a refresh that succeeds ends the backoff": Row(
        *(ok(1), STALE, (says(500), ok(2), says(500), ok(3))),
        (
            *((1, *REFRESHING), 1.0, (1, *REFRESHING), STALE),
            *((2, *REFRESHING), 1.0, (2, *REFRESHING), (3, *HIT)),
        ),
        (REFRESH, REFRESH, REFRESH, REFRESH),
    ),
    "a refresh that leaves the entry stale is left alone too: a 422": Row(
        ok(2), STALE, (says(422),), ((2, *REFRESHING), (2, *LEFT_ALONE)), (REFRESH,)
    ),
    "a refresh that leaves the entry stale is left alone too: an older version": Row(
        ok(2), STALE, (ok(1),), ((2, *REFRESHING), (2, *LEFT_ALONE)), (REFRESH,)
    ),
    # No call may be made.
    "a 429 is rescued, and then the gate is closed": Row(
        ok(1), SOFT, (LIMITED,), ((1, *rescued(429)), 1.0, (1, *SHIELDED)), (REVALIDATION,)
    ),
    "a 429 without anything stored passes on, and then the gate is closed": Row(
        None, 0.0, (LIMITED,), (UpstreamRateLimited, GateClosed), (MISS,)
    ),
    "without a free call a stale response is served": Row(
        ok(1), STALE, (), ((1, *REFRESHING), (1, *SHIELDED)), (), limit=1
    ),
    # The answer is not stored.
    "no-store is answered and not kept": Row(
        *(None, 0.0, (ok(1, NO_STORE), ok(1, NO_STORE))),
        ((1, *not_stored(Forward.URI_MISS, NotStoredReason.NO_STORE)),) * 2,
        (MISS, MISS),
    ),
    "a later version with no-store ends the stale answers": Row(
        *(ok(1), STALE, (ok(2, NO_STORE), ok(2, NO_STORE))),
        ((1, *REFRESHING), (2, *not_stored(Forward.URI_MISS, NotStoredReason.NO_STORE))),
        (REFRESH, MISS),
    ),
    "an older version is not served": Row(
        ok(2), SOFT, (ok(1),), ((2, *KEPT_OLDER),), (REVALIDATION,)
    ),
    "an older version is served where the later one is unusable": Row(
        ok(2), UNUSABLE, (ok(1),), ((1, *not_stored(Forward.STALE, OLDER)),), (REVALIDATION,)
    ),
    # The mode `frozen`.
    "frozen: what is fresh is a hit": Row(ok(1), 0.0, (), ((1, *HIT),), (), mode=Mode.FROZEN),
    "frozen: a 404 is remembered": Row(
        says(404), 0.0, (), ((404, *NEGATIVE),), (), mode=Mode.FROZEN
    ),
    "frozen: what is stale is served without a call": Row(
        ok(1), STALE, (), ((1, *FROZEN),), (), mode=Mode.FROZEN
    ),
    "frozen: what may only rescue is served too": Row(
        ok(1), SOFT, (), ((1, *FROZEN),), (), mode=Mode.FROZEN
    ),
    "frozen: what is unusable is not served": Row(
        ok(1), UNUSABLE, (), (Frozen,), (), mode=Mode.FROZEN
    ),
    "frozen: nothing is fetched": Row(None, 0.0, (), (Frozen,), (), mode=Mode.FROZEN),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_what_requests_get_and_which_calls_they_make(clock: FakeClock, row: Row) -> None:
    """One request after the other, each with the background work that it begins."""
    replica = Replica(clock, limit=row.limit, caller=OURS if row.is_ours else CALLER)
    if row.stored is not None:
        replica.upstream.then(row.stored)
        await replica.get()
    clock.advance(row.age)
    await replica.modes.order(row.mode)
    replica.upstream.then(*row.upstream)
    before = replica.upstream.count

    for step in row.steps:
        if isinstance(step, float):
            clock.advance(step)
        elif isinstance(step, tuple):
            assert told(await replica.get()) == step
        else:
            with pytest.raises(step):
                await replica.get()
        await replica.land()

    assert tuple(call.purpose for call in replica.upstream.calls[before:]) == row.calls


def told(answer: Answer) -> Told:
    """The minute of the version or the status, and how the answer came about."""
    content = answer.content
    reply = content if isinstance(content, Reply) else content.entry
    number = minute_of(answer) if reply.status == 200 else reply.status
    return number, answer.outcome, answer.tier, answer.handling


@pytest.mark.parametrize(
    ("stored", "age"), [(ok(1), 0.0), (ok(1), STALE), (says(404), 0.0), (ok(1, OLD), 0.0)]
)
async def test_an_answer_from_l1_awaits_nothing(alone: Replica, stored: Reply, age: float) -> None:
    """Fresh, stale, a 404, or stale on arrival."""
    assert alone.peek() is None
    alone.upstream.then(stored, ok(2))
    first = await alone.get()
    alone.clock.advance(age)

    answer = alone.peek()
    await alone.land()

    assert answer is not None
    assert answer.content == first.content


@pytest.mark.parametrize("age", [STALE, SOFT])
async def test_while_a_training_is_left_alone_no_answer_awaits_anything(
    alone: Replica, age: float
) -> None:
    """An outage is longer than the first window, and has as many hits."""
    await serve_stale(alone, age)
    alone.upstream.always = says(500)
    await alone.get()
    await alone.land()

    answer = alone.peek()

    assert answer is not None
    assert told(answer) == (1, *LEFT_ALONE)
    alone.clock.advance(SOFT)
    assert alone.peek() is None


async def test_the_bytes_are_the_upstreams(alone: Replica) -> None:
    """As they came."""
    answer = await alone.fill(1)

    assert isinstance(answer.content, Held)
    assert answer.content.entry.body == training(1)


async def test_one_credential_does_not_see_what_another_fetched(alone: Replica) -> None:
    """Each partition fetches for itself."""
    await alone.fill(1)

    assert alone.peek(Key("p2", "trn_1")) is None
    await alone.fill(1, Key("p2", "trn_1"))
    assert alone.upstream.count == 2


@pytest.mark.parametrize(
    ("failure", "why"), [(says(500), "500"), (ZeroDivisionError(), "ZeroDivisionError()")]
)
async def test_a_refresh_that_fails_is_told(
    alone: Replica, failure: Reply | Exception, why: str
) -> None:
    """Nobody waits for it, so nobody else would hear of it. A bug backs off too."""
    await serve_stale(alone)
    alone.upstream.always = failure

    for _ in range(3):
        alone.peek()
        await alone.land()

    ((key, said, again_in),) = alone.observer.of("refresh_failed")
    assert (key, again_in) == (KEY, 1.0)
    assert why in str(said)


async def test_what_ends_a_stored_response_is_counted(alone: Replica) -> None:
    """A 404 as an invalidation, an older version as a regression; a refusal is no failure."""
    await alone.fill(2)
    alone.clock.advance(STALE)
    for reply in (ok(1), says(404), says(403)):
        alone.clock.advance(60.0)
        alone.upstream.then(reply)
        await alone.get()
        await alone.land()

    assert alone.observer.of("regressed") == [("trn_1",)]
    assert alone.observer.of("invalidated") == [(Cause.NOT_FOUND, "trn_1", 1)]
    assert len(alone.observer.of("refresh_failed")) == 1  # the older version


async def test_a_call_withheld_says_when_it_may_be_made(clock: FakeClock) -> None:
    """To a caller for whom nothing is stored."""
    replica = Replica(clock, limit=1)
    await replica.fill(1)
    with pytest.raises(BudgetExhausted) as exhausted:
        await replica.get(SECOND)
    alone = Replica(clock)
    alone.upstream.then(LIMITED)
    with pytest.raises(UpstreamRateLimited) as limited:
        await alone.get()
    with pytest.raises(GateClosed) as closed:
        await alone.get()

    assert exhausted.value.retry_after == 60.0
    assert (limited.value.retry_after, closed.value.retry_after) == (30.0, 30.0)


async def test_an_open_breaker_is_shielded(alone: Replica) -> None:
    """Ten failures of other trainings open it."""
    await serve_stale(alone, SOFT)
    failure = UpstreamError("500", FailureReason.STATUS_5XX, status=500)
    for n in range(10):
        await alone.outbound.failed(OURS, f"trn_2{n}", failure)

    assert told(await alone.get()) == (1, *SHIELDED)


async def test_a_bug_is_not_rescued(alone: Replica) -> None:
    """An error that is none of the gateway's own is raised, also where something is stored."""
    await serve_stale(alone, SOFT)
    alone.upstream.then(ZeroDivisionError("a bug"))

    with pytest.raises(ZeroDivisionError):
        await alone.get()


@pytest.mark.parametrize(
    ("age", "failed", "outcome"),
    [
        (0.0, False, Outcome.FRESH),
        (STALE, False, Outcome.STALE_REFRESHING),
        (SOFT, False, None),
        (SOFT, True, Outcome.STALE_ERROR),
    ],
)
async def test_only_if_cached_makes_no_call(
    alone: Replica, age: float, failed: bool, outcome: Outcome | None
) -> None:
    """It takes what may be served at once, also for rescue while the training is left alone."""
    with pytest.raises(OnlyIfCached):
        await alone.get(only_if_cached=True)
    await serve_stale(alone, age)
    if failed:
        alone.upstream.then(says(500))
        await alone.get()
    calls = alone.upstream.count

    if outcome is None:
        with pytest.raises(OnlyIfCached):
            await alone.get(only_if_cached=True)
    else:
        assert (await alone.get(only_if_cached=True)).outcome is outcome
    await alone.land()

    assert alone.upstream.count == calls


async def test_after_the_soft_wait_the_stale_answer_is_given(clock: FakeClock) -> None:
    """To leader and followers; the call goes on, and is there for the next."""
    alone = Replica(clock, windows=IMPATIENT)
    await serve_stale(alone, SOFT)
    alone.upstream.then(ok(2))
    alone.upstream.hold()

    answers = await asyncio.gather(*(alone.get() for _ in range(3)))

    assert [told(answer) for answer in answers] == [(1, *REFRESHING)] * 3
    alone.upstream.release()
    await alone.land()
    assert told(await alone.get()) == (2, *HIT)
    assert alone.upstream.count == 2


async def test_past_every_window_the_upstream_is_waited_for(clock: FakeClock) -> None:
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


def callers(replica: Replica, count: int) -> list[asyncio.Task[Answer]]:
    """So many at once."""
    return [asyncio.create_task(replica.get()) for _ in range(count)]


@pytest.mark.parametrize("reply", [ok(1), says(403), says(500)])
async def test_two_hundred_callers_make_one_call(replica: Replica, reply: Reply) -> None:
    """One fetch answers all, and the others say that they are collapsed. One that leaves, be it the
    first, takes nobody along."""
    replica.upstream.then(reply)
    replica.upstream.hold()
    first, *others = callers(replica, 200)
    await settle()
    assert replica.serving.fills.waiters == 199

    first.cancel()
    await settle()
    replica.upstream.release()
    ends = await asyncio.gather(*others, return_exceptions=True)

    assert first.cancelled()
    assert (replica.upstream.count, replica.serving.fills.waiters) == (1, 0)
    if reply.status == 500:
        assert {type(end) for end in ends} == {UpstreamError}
    else:
        assert all(isinstance(end, Answer) and end.handling.collapsed for end in ends)
        expected = Outcome.COLLAPSED if reply.status == 200 else Outcome.REJECTED
        assert {end.outcome for end in ends if isinstance(end, Answer)} == {expected}


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


async def test_landing_cancels_what_takes_too_long(alone: Replica) -> None:
    """Nothing outlives the replica."""
    alone.upstream.then(ok(1))
    alone.upstream.hold()
    waiter = callers(alone, 1)[0]
    await settle()

    await alone.serving.under_way.land(0.0)

    with pytest.raises(ShuttingDown):
        await waiter
    assert alone.upstream.inflight == 0


async def test_an_older_version_is_served_where_the_later_one_is_lost(alone: Replica) -> None:
    """Its version is known still, its body is not."""
    await alone.fill(2)
    alone.local.drop(KEY)

    answer = await alone.fill(1)

    assert told(answer) == (1, *not_stored(Forward.URI_MISS, OLDER))
    assert alone.peek() is None


async def test_a_call_that_was_under_way_when_the_mode_became_frozen_is_the_last(
    alone: Replica,
) -> None:
    """A refresh that has not called yet is not made. Once the mode ends, it is made at once."""
    await serve_stale(alone)
    alone.peek()  # begins a refresh
    await alone.modes.order(Mode.FROZEN)
    await alone.land()
    assert alone.upstream.count == 1

    await alone.modes.order(Mode.NORMAL)
    alone.upstream.then(ok(2))
    alone.peek()
    await alone.land()

    assert marks(await alone.get())[:2] == (2, Outcome.FRESH)
