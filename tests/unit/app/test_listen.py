"""Server: when it looks after callers, and what it holds against them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import uvicorn

from gateway.app.listen import Server
from gateway.web.wire import Wire
from tests.doubles.loop_time import pass_time, stall


class Looked(Wire):
    """A connection that only notes what it is told."""

    def __init__(self) -> None:
        self.excused: list[float] = []
        self.looks = 0

    def excuse(self, seconds: float) -> None:
        self.excused.append(seconds)

    def look(self, now: float) -> None:
        self.looks += 1


async def test_a_look_that_comes_late_is_not_held_against_callers() -> None:
    """The time beyond a second is our own; a look in time excuses nothing."""
    server = Server(uvicorn.Config(cast(Any, None), log_config=None))
    caller = Looked()
    server.server_state.connections.add(caller)
    server.looked_at = asyncio.get_running_loop().time()

    await pass_time(1.0)
    await server.on_tick(10)
    assert (caller.looks, caller.excused) == (1, [])

    stall(61.0)
    await server.on_tick(20)
    (excused,) = caller.excused
    assert 59.9 < excused < 61.0
