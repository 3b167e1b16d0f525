"""background: so many at once, and room for the next when one ends."""

from __future__ import annotations

import asyncio

from gateway.flow.fill.background_limit import Background
from tests.unit.flow.house import settle


async def test_there_is_room_until_so_many_are_under_way() -> None:
    """And again once one has ended."""
    background = Background(2)
    background.begin()
    rooms = [background.has_room]
    background.begin()
    rooms.append(background.has_room)
    background.end()

    assert [*rooms, background.has_room] == [True, False, True]


async def test_the_room_of_one_that_has_ended_rests() -> None:
    """Whoever waits for it waits so long."""
    background = Background(1, rest=0.02)
    background.begin()
    ended = asyncio.get_running_loop().time()
    background.end()
    assert not background.has_room

    await background.room()

    assert asyncio.get_running_loop().time() - ended >= 0.02


async def test_who_waits_for_room_goes_when_one_has_ended() -> None:
    """One of two, where there is room for one."""
    background = Background(1)
    background.begin()
    gone = []

    async def wait(name: str) -> None:
        await background.room()
        background.begin()
        gone.append(name)

    waiting = [asyncio.create_task(wait(name)) for name in "ab"]
    await settle()
    assert gone == []
    background.end()
    await settle()
    assert gone == ["a"]

    background.end()
    await asyncio.gather(*waiting)

    assert gone == ["a", "b"]
