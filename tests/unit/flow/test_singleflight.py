from __future__ import annotations

import asyncio
import gc

import pytest

from gateway.flow.singleflight import Flight, Flights
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import settle

Complaint = dict[str, object]


class Work:
    """What a flight does: waits until it is told how to end."""

    def __init__(self) -> None:
        self.started = 0
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self, flight: Flight[str]) -> str:
        self.started += 1
        return await self.end


@pytest.fixture
def flights() -> Flights[str, str]:
    """None under way."""
    return Flights(FakeClock())


@pytest.fixture
async def work() -> Work:
    """Work that waits for its end."""
    return Work()


async def test_all_who_join_get_the_one_result(flights: Flights[str, str], work: Work) -> None:
    """Two hundred wait, one works."""
    flight = flights.start("a", work)
    waiting = [asyncio.create_task(flight.join()) for _ in range(200)]
    await settle()

    work.end.set_result("done")

    assert await asyncio.gather(*waiting) == ["done"] * 200
    assert work.started == 1


async def test_a_flight_is_under_way_until_it_has_landed(
    flights: Flights[str, str], work: Work
) -> None:
    """Then the next one may start."""
    flight = flights.start("a", work)
    assert flights.under_way("a") is flight
    assert flights.under_way("b") is None

    work.end.set_result("done")
    await flight.join()

    assert flights.under_way("a") is None


@pytest.mark.parametrize("waiters", [0, 2])
async def test_a_failure_that_nobody_waits_for_is_no_complaint(
    flights: Flights[str, str], waiters: int
) -> None:
    """asyncio says nothing of exceptions never retrieved, whether all had left or none came."""
    complaints: list[Complaint] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))

    async def fail(flight: Flight[str]) -> str:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        raise ValueError("no")

    flight = flights.start("a", fail)
    waiting = [asyncio.create_task(flight.join()) for _ in range(waiters)]
    await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    await settle()
    del flight, waiting
    gc.collect()

    assert flights.under_way("a") is None
    assert complaints == []


async def test_patience_ends_the_waiting_alone(flights: Flights[str, str], work: Work) -> None:
    """The flight goes on."""
    flight = flights.start("a", work)

    with pytest.raises(TimeoutError):
        await flight.join(0.0)

    work.end.set_result("done")
    assert await flight.join() == "done"


async def test_a_forgotten_flight_is_outdated(flights: Flights[str, str], work: Work) -> None:
    """Nobody joins it any more, those who wait get its result, and it knows."""
    flight = flights.start("a", work)
    waiter = asyncio.create_task(flight.join())
    await settle()
    was_current = flight.is_current

    flights.forget("a")
    work.end.set_result("done")

    assert (was_current, flight.is_current) == (True, False)
    assert flights.under_way("a") is None
    assert await waiter == "done"


async def test_a_forgotten_flight_does_not_end_its_successor(
    flights: Flights[str, str], work: Work
) -> None:
    """When it lands, the new flight of that name stays joinable."""
    old = flights.start("a", work)
    flights.forget("a")
    next_work = Work()
    new = flights.start("a", next_work)

    work.end.set_result("old")
    await old.join()

    assert flights.under_way("a") is new
    next_work.end.set_result("new")
    assert await new.join() == "new"


async def test_flights_are_forgotten_by_name(flights: Flights[str, str], work: Work) -> None:
    """Those whose name matches, and no other."""
    one, two = flights.start("p1.a", work), flights.start("p2.a", work)

    flights.forget_where(lambda name: name.startswith("p1"))

    assert (one.is_current, two.is_current) == (False, True)
    work.end.set_result("done")
    await flights.land(5.0)


@pytest.mark.parametrize("name", ["a", None])
async def test_a_retired_flight_is_forgotten_all_the_same(
    flights: Flights[str, str], work: Work, name: str | None
) -> None:
    """Nobody joins it, what it brings may be kept, until an order comes."""
    flight = flights.start("a", work)
    await settle()
    flights.retire(name)
    assert flights.under_way("a") is None
    was_current = flight.is_current

    flights.forget_where(lambda name: name == "a")

    assert (was_current, flight.is_current) == (True, False)
    work.end.set_result("done")
    await flights.land(5.0)


async def test_followers_are_counted_while_they_wait(
    flights: Flights[str, str], work: Work
) -> None:
    """Also those who lose patience."""
    flight = flights.start("a", work)
    follower = asyncio.create_task(flights.follow(flight))
    await settle()
    assert flights.waiters == 1

    with pytest.raises(TimeoutError):
        await flights.follow(flight, 0.0)
    assert flights.waiters == 1

    work.end.set_result("done")
    assert await follower == "done"
    assert flights.waiters == 0


async def test_landing_waits_for_all(flights: Flights[str, str], work: Work) -> None:
    """What ends in time ends well."""
    flight = flights.start("a", work)
    asyncio.get_running_loop().call_soon(work.end.set_result, "done")

    await flights.land(5.0)

    assert await flight.join() == "done"


async def test_landing_cancels_who_is_late(flights: Flights[str, str], work: Work) -> None:
    """Nothing is left behind, and the name is free."""
    flights.start("a", work)
    await settle()

    await flights.land(0.0)

    assert work.end.cancelled()
    assert flights.under_way("a") is None


async def test_a_flight_that_is_brought_a_result_before_its_work_begins_is_over(
    flights: Flights[str, str], work: Work
) -> None:
    """A later request does not join it: it would get a response from back then."""
    flight = flights.start("a", work)
    flight.bring("early")

    assert await flight.join() == "early"
    await settle()
    assert (flights.under_way("a"), work.started) == (None, 0)
