from __future__ import annotations

import asyncio

from gateway.core.vocabulary import Part
from gateway.flow.singleflight import Flights
from gateway.flow.timings import Spent, on, sharing, watched
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import KEY, Redis, Replica, ok, settle


def test_parts_are_summed_in_the_order_of_their_beginning(clock: FakeClock) -> None:
    """One that still lasts counts up to now."""
    spent = Spent(clock)
    with watched(spent):
        for part, seconds in ((Part.LOOKUP, 0.5), (Part.UPSTREAM, 2.0), (Part.LOOKUP, 0.25)):
            with on(part):
                clock.advance(seconds)
            clock.advance(10.0)

    assert list(spent.seconds().items()) == [(Part.LOOKUP, 0.75), (Part.UPSTREAM, 2.0)]


def test_nobody_is_told_who_does_not_ask(clock: FakeClock) -> None:
    """Outside of `watched`, and after it."""
    spent = Spent(clock)
    with watched(spent):
        pass
    with on(Part.STORE):
        clock.advance(1.0)

    assert spent.seconds() == {}


def test_a_caller_takes_what_fell_into_its_own_wait(clock: FakeClock) -> None:
    """Who joins late did not wait for what was before, who leaves early not for the rest."""
    fetch, caller = Spent(clock), Spent(clock)
    with watched(fetch), on(Part.UPSTREAM):
        clock.advance(3.0)
        with watched(caller), sharing(fetch):
            clock.advance(2.0)
        clock.advance(4.0)

    assert caller.seconds() == {Part.UPSTREAM: 2.0}
    assert fetch.seconds() == {Part.UPSTREAM: 9.0}


async def test_what_a_flight_waits_for_is_its_own(clock: FakeClock) -> None:
    """Not its first caller's, who may be gone by then; each who joins takes a share."""
    flights: Flights[str, int] = Flights(clock)
    go_on = asyncio.Event()

    async def work(_: object) -> int:
        with on(Part.BUDGET):
            await go_on.wait()
        return 1

    first, second = Spent(clock), Spent(clock)

    async def join(spent: Spent) -> None:
        with watched(spent):
            await (flights.under_way("a") or flights.start("a", work)).join()

    one = asyncio.create_task(join(first))
    await settle()
    clock.advance(1.0)
    two = asyncio.create_task(join(second))
    await settle()
    one.cancel()
    await settle()
    clock.advance(5.0)
    go_on.set()
    await two

    assert first.seconds() == {Part.BUDGET: 1.0}
    assert second.seconds() == {Part.BUDGET: 5.0}


async def test_a_miss_says_what_it_waited_for(clock: FakeClock) -> None:
    """Each part, in its order; upstream took its time."""
    replica = Replica(clock, Redis(clock))
    spent = Spent(clock)
    held = asyncio.Event()
    replica.upstream.then(ok(1))
    call = replica.upstream.call

    async def slow(asked: object) -> object:
        await held.wait()
        return await call(asked)  # type: ignore[arg-type]

    replica.upstream.call = slow  # type: ignore[assignment, method-assign]

    async def ask() -> None:
        with watched(spent):
            await replica.get(KEY)

    asking = asyncio.create_task(ask())
    await settle()
    clock.advance(2.5)
    held.set()
    await asking

    assert list(spent.seconds()) == [*Part]
    assert spent.seconds()[Part.UPSTREAM] == 2.5
