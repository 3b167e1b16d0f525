"""The line: each its turn, nobody alone in it."""

from __future__ import annotations

import asyncio

from gateway.core.budget.priority import Rank
from gateway.flow.budget.call_permits import Place, WaitQueue
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import settle

RANK = Rank.CALLER
LATE = 1100.0  # later than all turns


def place(at: float, who: str = "a", scope: str = "s", rank: Rank = RANK) -> Place[str]:
    """A turn so many seconds from the start, paid with its own name."""
    return Place(scope, rank, who, 1000.0 + at, f"{who}{at:g}")


async def queue(line: WaitQueue[str], *places: Place[str]) -> list[asyncio.Task[bool]]:
    """Let them wait."""
    waiting = [asyncio.create_task(line.wait(each)) for each in places]
    await settle()
    return waiting


async def test_each_waits_for_its_turn_and_no_longer() -> None:
    """In the order of their turns."""
    clock = FakeClock(waiting=True)
    line: WaitQueue[str] = WaitQueue(clock)
    later, sooner = await queue(line, place(5.0), place(2.0))

    clock.advance(2.0)
    await settle()
    assert (sooner.done(), later.done()) == (True, False)

    clock.advance(3.0)
    assert all(await asyncio.gather(sooner, later))


async def test_the_line_is_bounded() -> None:
    """Who comes when it is full has to be told so; a turn makes room."""
    clock = FakeClock(waiting=True)
    line: WaitQueue[str] = WaitQueue(clock, most=2)
    waiting = await queue(line, place(1.0), place(2.0))
    full = [line.is_full]

    clock.advance(1.0)
    await settle()

    assert [*full, line.is_full] == [True, False]
    clock.advance(1.0)
    await asyncio.gather(*waiting)


async def test_whoever_has_most_makes_room() -> None:
    """The last of its places goes to somebody who has at least two less."""
    clock = FakeClock(waiting=True)
    line: WaitQueue[str] = WaitQueue(clock)
    waiting = await queue(line, place(1.0), place(3.0), place(2.0), place(1.5, "b"))

    freed = line.oust("s", RANK, "c", LATE)

    assert freed is not None
    assert (freed.paid, freed.at) == ("a3", 1003.0)
    assert await waiting[1] is False
    clock.advance(2.0)
    assert all(await asyncio.gather(waiting[0], waiting[2], waiting[3]))


async def test_who_has_fewer_makes_room_if_only_its_turn_comes_in_time() -> None:
    """The turns of the one with the most places come too late."""
    clock = FakeClock(waiting=True)
    line: WaitQueue[str] = WaitQueue(clock)
    late = [place(at) for at in (20.0, 21.0, 22.0)]
    waiting = await queue(line, *late, place(1.0, "b"), place(2.0, "b"), place(3.0, "c"))

    freed = line.oust("s", RANK, "d", 1005.0)

    assert freed is not None
    assert freed.paid == "b2"
    assert line.oust("s", RANK, "d", 1005.0) is None
    clock.advance(22.0)
    assert sum(await asyncio.gather(*waiting)) == 5


async def test_nobody_is_ousted_for_one_who_has_as_many() -> None:
    """One place less is no reason, nor are places of others' budgets or ranks."""
    clock = FakeClock(waiting=True)
    line: WaitQueue[str] = WaitQueue(clock)
    waiting = await queue(
        line, place(1.0), place(2.0), place(3.0, "b"), place(4.0, "z", "t"), place(4.0, "z", "t")
    )

    assert line.oust("s", RANK, "b", LATE) is None
    assert line.oust("s", Rank.SWEEP, "c", LATE) is None
    assert line.oust("u", RANK, "c", LATE) is None

    clock.advance(4.0)
    assert all(await asyncio.gather(*waiting))


async def test_who_leaves_leaves_no_place() -> None:
    """A caller that is cancelled is no rival any more."""
    line: WaitQueue[str] = WaitQueue(FakeClock(waiting=True))
    waiting = await queue(line, place(1.0), place(2.0))

    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert line.oust("s", RANK, "c", LATE) is None


async def test_who_is_cancelled_twice_leaves_no_place() -> None:
    """It disconnects, and the process ends at the same moment."""
    line: WaitQueue[str] = WaitQueue(FakeClock(waiting=True), most=1)
    [waiting] = await queue(line, place(1.0))

    for _ in range(2):
        waiting.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(waiting, return_exceptions=True)

    assert not line.is_full


async def test_those_of_a_scope_are_woken_before_their_turn() -> None:
    """They have not lost it; others wait on."""
    line: WaitQueue[str] = WaitQueue(FakeClock(waiting=True))
    woken, other = await queue(line, place(5.0), place(5.0, scope="t"))

    line.wake("s")
    await settle()

    assert await woken
    assert not other.done()
    other.cancel()
