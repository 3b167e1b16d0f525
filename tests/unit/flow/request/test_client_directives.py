"""`freshness.client_directives`: which directives of callers are granted, and what they cost."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from gateway.core.budget.window_log import Rate, Rates
from gateway.core.cache.entry import Key
from gateway.core.errors import OnlyIfCached
from gateway.core.http.cache_control import RequestDirectives
from gateway.core.instant import parse_instant
from gateway.core.vocabulary import Detail, Forward, Outcome
from gateway.flow.answer import Answer, Ask
from gateway.flow.gateway import Gateway
from gateway.flow.request import client_directives
from gateway.flow.request.client_directives import (
    CallShare,
    Grants,
)
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    CALLER,
    KEY,
    SOFT,
    UNUSABLE,
    Replica,
    gateway_of,
    minute_of,
    ok,
    says,
    serve_stale,
    settle,
    share_of,
)
from tests.unit.flow.offering import version_in_l1

NO_CACHE = RequestDirectives(no_cache=True)
TENTH = Rate(100, 60.0)


@pytest.fixture
def handler(alone: Replica) -> Gateway:
    """Grants the first directive for each key."""
    return gateway_of(alone)


@pytest.fixture
def limited(alone: Replica) -> Gateway:
    """Grants some."""
    return gateway_of(alone, of_directives=share_of(alone.clock, TENTH))


async def get(
    handler: Gateway, directives: RequestDirectives | None, *, only_if_cached: bool = False
) -> Answer:
    """What is answered to a caller with these directives."""
    return await handler.get(Ask(KEY, CALLER, only_if_cached, directives=directives))


async def test_no_cache_asks_the_upstream(alone: Replica, handler: Gateway) -> None:
    """Though what is stored is fresh; it is marked so, and what came is stored for others."""
    await alone.fill(1)
    alone.upstream.then(ok(2))

    answer = await get(handler, NO_CACHE)

    assert minute_of(answer) == 2
    assert (answer.handling.forward, answer.handling.detail) == (Forward.REQUEST, Detail.CHANGED)
    assert minute_of(await get(handler, None)) == 2


async def test_what_fails_for_a_directive_is_rescued(alone: Replica, handler: Gateway) -> None:
    """By what is stored, marked as such."""
    await alone.fill(1)
    alone.upstream.then(says(503))

    answer = await get(handler, NO_CACHE)

    assert (minute_of(answer), answer.outcome) == (1, Outcome.STALE_ERROR)


async def test_max_stale_is_answered_at_once(alone: Replica, handler: Gateway) -> None:
    """Where another caller would wait; another one is fetched behind it."""
    await alone.fill(1)
    alone.clock.advance(400.0)
    alone.upstream.then(ok(2))

    answer = await get(handler, RequestDirectives(max_stale=math.inf))
    await alone.land()

    assert (minute_of(answer), answer.outcome) == (1, Outcome.STALE_REFRESHING)


async def test_what_is_not_to_be_stored_is_not(alone: Replica, handler: Gateway) -> None:
    """`no-store` on a miss; what is stored already may be given."""
    alone.upstream.then(ok(1))
    await get(handler, RequestDirectives(no_store=True))

    assert alone.local.entries == 0
    await alone.fill(2)
    assert minute_of(await get(handler, RequestDirectives(no_store=True))) == 2


@pytest.mark.parametrize("age", [SOFT, UNUSABLE])
async def test_no_store_holds_beside_a_stored_response_too(
    alone: Replica, handler: Gateway, age: float
) -> None:
    """The stored response is too old to be served at once. The fetched one is not stored, and the
    stored one stays."""
    await serve_stale(alone, age)
    alone.upstream.then(ok(2))

    assert minute_of(await get(handler, RequestDirectives(no_store=True))) == 2
    assert version_in_l1(alone) == parse_instant("2023-11-14T22:01:00Z")


async def test_no_other_request_joins_a_fetch_that_is_not_stored(
    alone: Replica, handler: Gateway
) -> None:
    """It makes its own call, and what that brings is stored."""
    alone.upstream.then(ok(1), ok(1))
    alone.upstream.hold()
    unkept = asyncio.create_task(get(handler, RequestDirectives(no_store=True)))
    await settle()
    usual = asyncio.create_task(get(handler, None))
    await settle()
    alone.upstream.release()

    answers = await asyncio.gather(unkept, usual)

    assert [answer.handling.stored for answer in answers] == [False, True]
    assert [answer.handling.collapsed for answer in answers] == [False, False]
    assert (alone.upstream.count, alone.local.entries) == (2, 1)


async def test_a_fetch_that_is_not_stored_ends_no_sharing(alone: Replica, handler: Gateway) -> None:
    """The requests before and after it share one call."""
    alone.upstream.always = ok(1)
    alone.upstream.hold()
    asked = []
    for directives in (None, RequestDirectives(no_store=True), None):
        asked.append(asyncio.create_task(get(handler, directives)))
        await settle()
    alone.upstream.release()

    answers = await asyncio.gather(*asked)

    assert alone.upstream.count == 2
    assert [answer.handling.stored for answer in answers] == [True, False, True]
    assert [answer.handling.collapsed for answer in answers] == [False, False, True]


async def test_who_wants_what_is_stored_pays_for_no_call(alone: Replica, limited: Gateway) -> None:
    """Each such request is refused, and the next directive is still granted."""
    await alone.fill(1)
    alone.upstream.then(ok(2))

    for _ in range(2):
        with pytest.raises(OnlyIfCached):
            await get(limited, NO_CACHE, only_if_cached=True)

    assert minute_of(await get(limited, NO_CACHE)) == 2


async def test_the_next_directive_for_an_entry_waits(alone: Replica, limited: Gateway) -> None:
    """What was fetched for one is good enough for ten seconds, whoever asks for it."""
    await alone.fill(1)
    alone.upstream.then(ok(2), ok(3))

    first = await get(limited, NO_CACHE)
    alone.clock.advance(9.9)
    second = await get(limited, NO_CACHE)
    alone.clock.advance(0.2)
    third = await get(limited, NO_CACHE)

    assert [minute_of(answer) for answer in (first, second, third)] == [2, 2, 3]
    assert second.outcome is Outcome.FRESH


async def test_the_share_pays_for_wishes(clock: FakeClock) -> None:
    """A directive that it does not pay for may be granted later, as one that was never made."""
    grants = Grants(clock, share_of(clock, TENTH))

    granted = [grants.take(Key("p1", str(i)), CALLER) for i in range(12)]

    assert granted == [True] * 10 + [False] * 2
    clock.advance(60.0)
    assert grants.take(Key("p1", "11"), CALLER)


async def test_keys_that_come_and_go_are_forgotten(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest are known."""
    monkeypatch.setattr(client_directives, "_MOST_KEYS", 10)
    grants = Grants(clock, share_of(clock, None))

    assert all(grants.take(Key("p1", f"{n}"), CALLER) for n in range(100))

    assert len(grants._last) == 10


HUNDRED = Rate(100, 60.0)


def taken(share: CallShare, client: str, attempts: int = 20) -> int:
    """How many calls that client has of so many it wants."""
    caller = replace(CALLER, client=client)
    return sum(share.take(caller) is not None for _ in range(attempts))


def test_one_caller_has_half_of_what_is_left(clock: FakeClock) -> None:
    """So there is a part for whoever comes next; together they have no more than a tenth."""
    share = share_of(clock, HUNDRED, is_divided=True)

    assert [taken(share, client) for client in "abcdef"] == [5, 3, 1, 1, 0, 0]


def test_callers_of_several_partitions_are_several(clock: FakeClock) -> None:
    """In `passthrough` all have one name, and each token a partition."""
    share = share_of(clock, HUNDRED, is_divided=True)
    taken(share, "a")

    assert share.take(replace(CALLER, client="a", partition="p2")) is not None


def test_a_caller_alone_in_its_scope_has_all(clock: FakeClock) -> None:
    """Where there is nobody to leave a part to."""
    assert taken(share_of(clock, HUNDRED), "a") == 10


def test_what_leaves_the_window_is_free_again(clock: FakeClock) -> None:
    """And that is what a caller without a call is told to wait for."""
    share = share_of(clock, HUNDRED)
    taken(share, "a", 4)
    clock.advance(20.0)
    taken(share, "a", 10)

    assert share.wait(CALLER.scope) == 40.0
    clock.advance(share.wait(CALLER.scope))
    assert taken(share, "a") == 4


def test_what_was_given_back_is_free_again(clock: FakeClock) -> None:
    """Once, however often it is given back."""
    share = share_of(clock, HUNDRED, is_divided=True)
    call = share.take(CALLER)
    assert call is not None
    taken(share, CALLER.client)

    share.give_back(call)
    share.give_back(call)

    assert taken(share, CALLER.client) == 1


def test_each_scope_has_a_share_of_its_own_rate(clock: FakeClock) -> None:
    """A tenant's rate may be another than most have, or none."""
    rates = Rates(HUNDRED, {"small": Rate(10, 60.0), "free": None})
    share = CallShare(clock, rates, lambda: 1, is_divided=False)

    found = []
    for scope in ("default", "small", "free"):
        caller = replace(CALLER, scope=scope)
        found.append(sum(share.take(caller) is not None for _ in range(20)))

    assert found == [10, 1, 20]


@pytest.mark.parametrize(("replicas", "calls"), [(1, 10), (3, 3), (50, 1)])
def test_replicas_divide_it(clock: FakeClock, replicas: int, calls: int) -> None:
    """Each has one call at least."""
    share = CallShare(clock, Rates(HUNDRED), lambda: replicas, is_divided=False)

    assert taken(share, "a") == calls


def test_scopes_that_come_and_go_are_forgotten(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a budget for each credential there are as many as tokens; the latest are known."""
    monkeypatch.setattr(client_directives, "_MOST_SCOPES", 10)
    share = share_of(clock, HUNDRED)

    for number in range(100):
        share.take(replace(CALLER, scope=f"scope {number}"))

    assert list(share._charged) == [f"scope {number}" for number in range(90, 100)]


def test_callers_that_come_and_go_are_forgotten(clock: FakeClock) -> None:
    """None is remembered that has no call in the window."""
    share = share_of(clock, Rate(2_000, 60.0), is_divided=True)
    for number in range(1_000):
        clock.advance(1.0)
        taken(share, f"client {number}", 1)

    assert len(share._charged[CALLER.scope].by_caller) == 60
