from __future__ import annotations

import asyncio

import pytest

from gateway.core.vocabulary import Part
from gateway.flow.singleflight import Flights
from gateway.flow.timings import Spent, on, watch
from gateway.ports import Attributes, Served
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import KEY, Redis, Replica, ok, settle


async def test_parts_are_summed(clock: FakeClock) -> None:
    """What passes between them counts for none."""
    spent = Spent(clock)
    watch(spent)
    for part, seconds in ((Part.LOOKUP, 0.5), (Part.UPSTREAM, 2.0), (Part.LOOKUP, 0.25)):
        with on(part):
            clock.advance(seconds)
        clock.advance(10.0)

    assert spent.seconds == {Part.LOOKUP: 0.75, Part.UPSTREAM: 2.0}


async def test_nobody_is_told_who_does_not_ask(clock: FakeClock) -> None:
    """As the sweep does."""
    with on(Part.STORE) as span:
        clock.advance(1.0)

    assert span is None


async def test_what_a_flight_waits_for_is_its_own(clock: FakeClock) -> None:
    """It is not noted for its first caller, which may be gone by then. Each request that joined has
    it, whenever it joined."""
    flights: Flights[str, int] = Flights(clock)
    go_on = asyncio.Event()

    async def work(_: object) -> int:
        with on(Part.BUDGET):
            await go_on.wait()
        return 1

    first, second = Spent(clock), Spent(clock)

    async def join(spent: Spent) -> None:
        watch(spent)
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

    assert first.seconds == {}
    assert second.seconds == {Part.BUDGET: 6.0}


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
        watch(spent)
        await replica.get(KEY)

    asking = asyncio.create_task(ask())
    await settle()
    clock.advance(2.5)
    held.set()
    await asking

    assert list(spent.seconds) == [*Part]
    assert spent.seconds[Part.UPSTREAM] == 2.5


class ListedSpan:
    """A Span that writes down its parts, in the order in which they end."""

    def __init__(self, name: str) -> None:
        self.name, self.traceparent = name, f"00-{name}".encode()
        self.ended: list[tuple[str, str | None]] = []
        self.around: ListedSpan | None = None

    def part(self, name: str) -> ListedSpan:
        part = ListedSpan(name)
        part.around = self
        return part

    def note(self, attributes: Attributes) -> None:
        """Nothing is told here."""

    def serve(self, served: Served) -> None:
        """No request is answered here."""

    def end(self, fault: str | None = None) -> None:
        assert self.around is not None
        self.around.ended.append((self.name, fault))


async def test_a_part_of_a_kept_trace_is_a_span(clock: FakeClock) -> None:
    """One that fails says by what."""
    span = ListedSpan("request")
    watch(Spent(clock, span))
    with on(Part.LOOKUP) as part:
        assert part is not None
    with pytest.raises(KeyError), on(Part.STORE):
        raise KeyError

    assert span.ended == [("lookup", None), ("store", "KeyError")]


async def test_who_begins_a_fetch_has_its_parts_and_who_joins_one(clock: FakeClock) -> None:
    """Whatever the follower's own trace is; the fetch may outlive who began it."""
    leader, follower = ListedSpan("leader"), ListedSpan("follower")
    flights: Flights[str, None] = Flights(clock)

    async def fetch(_: object) -> None:
        with on(Part.UPSTREAM):
            await settle()

    watch(Spent(clock, leader))
    flight = flights.start("a", fetch)
    watch(Spent(clock, follower))
    await flight.join()

    assert leader.ended == [("upstream", None)]
    assert follower.ended == [("follow", None)]
