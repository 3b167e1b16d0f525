from __future__ import annotations

from gateway.core.http.cache_status import Handling
from gateway.core.vocabulary import Forward, NotStoredReason, Outcome, Tier
from tests.unit.flow.house import (
    SOFT,
    STALE,
    UNUSABLE,
    Redis,
    Replica,
    marks,
    minute_of,
    ok,
    serve_stale,
)


async def test_no_store_is_answered_and_not_kept(alone: Replica) -> None:
    """Each caller costs a call."""
    alone.upstream.always = ok(1, (b"cache-control", b"no-store"))

    answers = [await alone.get(), await alone.get()]

    handling = Handling(None, Forward.URI_MISS, 200, not_stored=NotStoredReason.NO_STORE)
    assert [marks(answer) for answer in answers] == [(1, Outcome.FILLED, handling)] * 2
    assert alone.upstream.count == 2


async def test_a_new_version_with_no_store_ends_the_stale_answers(alone: Replica) -> None:
    """The old one is not served for want of a new one that may be kept."""
    await serve_stale(alone)
    alone.upstream.always = ok(2, (b"cache-control", b"no-store"))
    alone.peek()
    await alone.land()

    assert minute_of(await alone.get()) == 2


async def test_an_older_version_is_not_served(alone: Replica) -> None:
    """The newer stored one is, marked as stale on error."""
    await alone.fill(2)
    alone.clock.advance(SOFT)

    answer = await alone.fill(1)

    reason = NotStoredReason.OLDER_VERSION
    handling = Handling(None, Forward.STALE, 200, not_stored=reason)
    assert marks(answer) == (2, Outcome.STALE_ERROR, handling)
    assert answer.tier is Tier.L1
    assert alone.observer.of("regressed") == [("trn_1",)]


async def test_an_older_version_is_served_where_the_newer_one_is_lost(alone: Replica) -> None:
    """Its version is known still, its body is not: better the older one than none."""
    await alone.fill(2)
    for key in list(alone.local.keys()):
        alone.local.drop(key)

    answer = await alone.fill(1)

    assert (minute_of(answer), answer.outcome) == (1, Outcome.FILLED)
    assert answer.handling.not_stored is NotStoredReason.OLDER_VERSION
    assert alone.peek() is None


async def test_an_older_version_is_served_where_the_newer_one_is_unusable(alone: Replica) -> None:
    """Past every window nothing stored stands in for anything."""
    await alone.fill(2)
    alone.clock.advance(UNUSABLE)

    assert minute_of(await alone.fill(1)) == 1


async def test_a_version_behind_an_event_is_served_where_it_is_the_latest_there_is(
    replica: Replica, redis: Redis
) -> None:
    """The event told of a version that upstream does not show yet: it is served, not kept."""
    await replica.fill(1)
    replica.clock.advance(STALE)
    await redis.store.invalidate("trn_1", 2**62)

    answer = await replica.fill(3)

    assert (minute_of(answer), answer.outcome) == (3, Outcome.FILLED)
    assert answer.handling.not_stored is NotStoredReason.OLDER_VERSION
