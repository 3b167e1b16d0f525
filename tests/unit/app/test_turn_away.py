"""What ends the work of the data plane at a stop."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

from gateway.app import run
from gateway.app.compose import House


async def test_writes_are_ended_before_reads() -> None:
    """A write behind a read on one connection begins when the read has been turned away. Then it
    must not be sent any more."""
    ended: list[str] = []

    def part(name: str) -> SimpleNamespace:
        async def land(_patience: float) -> None:
            ended.append(name)

        return SimpleNamespace(land=land)

    serving, lists = {"under_way": part("serving")}, {"flights": part("lists")}
    house = SimpleNamespace(serving=SimpleNamespace(**serving), lists=SimpleNamespace(**lists))
    house.writing = part("writing")
    plane = asyncio.create_task(asyncio.sleep(0))
    await plane
    await run._turn_away(cast("House", house), plane)

    assert ended == ["writing", "serving", "lists"]
