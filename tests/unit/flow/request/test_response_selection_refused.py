from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from gateway.core.cache.entry import Key
from gateway.core.errors import AccessRefused, UpstreamError, UpstreamRefused
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Cause, Detail, Forward, NotStoredReason, Outcome, Tier
from gateway.flow.request.response_selection import Answer
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    KEY,
    OURS,
    SOFT,
    Redis,
    Replica,
    minute_of,
    ok,
    says,
    serve_stale,
    settle,
)

SECOND = Key("p1", "trn_2")
GONE = Handling(Detail.NEGATIVE)


@pytest.mark.parametrize("status", [404, 410])
async def test_gone_replaces_what_was_stored(alone: Replica, status: int) -> None:
    """Whoever waits for the call is told, and so are those who come within ten seconds."""
    await serve_stale(alone, SOFT)
    alone.upstream.then(says(status))

    first, second = await alone.get(), await alone.get()

    assert first.outcome is Outcome.FILLED
    assert first.handling == Handling(Detail.CHANGED, Forward.STALE, status, stored=True)
    assert second == Answer(first.content, Outcome.NEGATIVE, Tier.L1, GONE)
    assert alone.observer.of("invalidated") == [(Cause.NOT_FOUND, "trn_1", 1)]


async def test_a_remembered_404_does_not_rescue(alone: Replica, clock: FakeClock) -> None:
    """Nor does what it replaced: the error is the answer."""
    await serve_stale(alone, SOFT)
    alone.upstream.then(says(404))
    await alone.get()
    clock.advance(10.0)
    alone.upstream.always = says(500)

    for _ in range(2):
        with pytest.raises(UpstreamError):
            await alone.get()


async def test_a_remembered_404_is_asked_for_again(alone: Replica, clock: FakeClock) -> None:
    """After ten seconds; the training may have been made."""
    alone.upstream.then(says(404))
    await alone.get()
    clock.advance(10.0)

    answer = await alone.fill(1)

    assert (minute_of(answer), answer.outcome) == (1, Outcome.FILLED)


async def test_a_404_found_in_the_background_ends_the_stale_answers(alone: Replica) -> None:
    """The next caller is told."""
    await serve_stale(alone)
    alone.upstream.then(says(404))

    assert (await alone.get()).outcome is Outcome.STALE_REFRESHING
    await alone.land()

    assert (await alone.get()).outcome is Outcome.NEGATIVE


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_concerns_the_caller(alone: Replica, status: int) -> None:
    """It passes as it is, and nothing stale stands in for it, then or later."""
    await serve_stale(alone, SOFT)
    alone.upstream.always = says(status)

    answers = [await alone.get()]
    alone.clock.advance(10.0)
    answers.append(await alone.get())

    stale = Handling(None, Forward.STALE, status)
    miss = Handling(None, Forward.URI_MISS, status)
    assert answers == [
        Answer(says(status), Outcome.REJECTED, Tier.UPSTREAM, handling)
        for handling in (stale, miss)
    ]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_in_the_background_ends_the_stale_answers(
    alone: Replica, status: int
) -> None:
    """The next caller asks upstream itself."""
    await serve_stale(alone)
    alone.upstream.always = says(status)

    assert (await alone.get()).outcome is Outcome.STALE_REFRESHING
    await alone.land()

    alone.clock.advance(10.0)
    assert (await alone.get()).outcome is Outcome.REJECTED
    assert alone.observer.of("refresh_failed") == []


async def test_a_401_ends_the_other_entries_of_the_credential(
    replica: Replica, redis: Redis
) -> None:
    """In both tiers; a 403 of one training spares the others."""
    await replica.fill(1)
    await replica.fill(1, SECOND)
    third = Key("p1", "trn_3")
    replica.upstream.then(says(403))
    await replica.get(third)
    assert (await replica.get(SECOND)).outcome is Outcome.FRESH

    replica.upstream.then(says(401))
    await replica.get(third)

    assert replica.peek() is None
    assert replica.peek(SECOND) is None
    assert (await redis.store.lookup(SECOND)).entry is None
    assert replica.observer.of("invalidated") == [(Cause.PURGE, "*", 2)]


async def test_a_401_ends_the_fetches_of_the_credential(replica: Replica, redis: Redis) -> None:
    """Those who wait get what they asked for; it is kept nowhere, and nobody joins any more."""
    release = asyncio.Event()

    async def slowly(call: object) -> Reply:
        await release.wait()
        return ok(1)

    replica.upstream.then(slowly, says(401))
    waiter = asyncio.create_task(replica.get())
    await settle()

    await replica.get(SECOND)
    assert replica.serving.fills.under_way(KEY) is None
    release.set()
    answer = await waiter

    assert minute_of(answer) == 1
    assert answer.handling.not_stored is NotStoredReason.INVALIDATED
    assert replica.local.entries == 0
    assert (await redis.store.lookup(KEY)).entry is None


@pytest.mark.parametrize("is_up", [True, False])
async def test_no_other_fetch_of_the_credential_ends_meanwhile(
    replica: Replica, redis: Redis, monkeypatch: pytest.MonkeyPatch, is_up: bool
) -> None:
    """While the other replicas are told of the 401: the refused caller does not get what it
    brought."""
    redis.switch.is_up = is_up
    release = asyncio.Event()

    async def slowly(call: object) -> Reply:
        await release.wait()
        return ok(1)

    async def announce(notice: object) -> None:
        release.set()
        await waiter

    monkeypatch.setattr(replica.invalidation, "_bus", SimpleNamespace(announce=announce))
    replica.upstream.then(slowly, says(401))
    waiter = asyncio.create_task(replica.get())
    await settle()
    replica.clock.advance(1.0)
    await replica.get(SECOND)

    assert waiter.done()
    assert replica.local.entries == 0
    with pytest.raises(AccessRefused):
        await replica.get()


async def test_a_401_in_the_gateways_name_is_not_the_callers(clock: FakeClock) -> None:
    """In the mode `open` it is our fault, and an error where nothing is stored."""
    replica = Replica(clock, caller=OURS)
    replica.upstream.then(says(401))

    with pytest.raises(UpstreamRefused):
        await replica.get()


async def test_another_4xx_passes_and_leaves_what_is_stored(alone: Replica) -> None:
    """It concerns this one call."""
    await serve_stale(alone, SOFT)
    alone.upstream.then(says(422), ok(1))

    answers = [await alone.get(), await alone.get()]

    assert [answer.outcome for answer in answers] == [Outcome.REJECTED, Outcome.REVALIDATED]


async def test_followers_of_a_refusal_are_of_the_same_credential(alone: Replica) -> None:
    """They get the same words, marked as collapsed."""
    alone.upstream.then(says(403))
    alone.upstream.hold()
    waiting = [asyncio.create_task(alone.get()) for _ in range(2)]
    await settle()

    alone.upstream.release()
    answers = await asyncio.gather(*waiting)

    assert [answer.outcome for answer in answers] == [Outcome.REJECTED] * 2
    assert [answer.handling.collapsed for answer in answers] == [False, True]
