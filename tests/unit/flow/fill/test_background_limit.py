"""background: so many at once, half of them for one partition, and room again when one ends."""

from __future__ import annotations

import asyncio

from gateway.flow.fill.background_limit import Background


def test_one_partition_has_half_of_the_places() -> None:
    """A tenant whose calls hang leaves the other places free."""
    background = Background(4)
    background.begin("a")
    background.begin("a")

    assert (background.has_room("a"), background.has_room("b")) == (False, True)


def test_there_is_room_until_so_many_are_under_way() -> None:
    """And again once one has ended."""
    background = Background(2)
    background.begin("a")
    rooms = [background.has_room("b")]
    background.begin("b")
    rooms.append(background.has_room("c"))
    background.end("a")

    assert [*rooms, background.has_room("c")] == [True, False, True]


def test_one_place_is_for_every_partition() -> None:
    """Half of one place is one."""
    assert Background(1).has_room("a")


async def test_the_place_of_a_fetch_that_has_ended_rests() -> None:
    """It is free, and `stirred` is set, so many seconds later."""
    background = Background(1, rest=0.02)
    background.begin("a")
    ended = asyncio.get_running_loop().time()
    background.end("a")
    assert not background.has_room("a")

    await background.stirred.wait()

    assert background.has_room("a")
    assert asyncio.get_running_loop().time() - ended >= 0.02
