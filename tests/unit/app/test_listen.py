"""Server: when it looks after callers, and what it holds against them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import uvicorn

from gateway.app.listen import Server
from gateway.web.wire import Wire
from tests.doubles.loop_time import pass_time, stall
from tests.unit.web.wires import Line


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
    server = Server(uvicorn.Config(cast(Any, None), log_config=None), Looked)
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


async def test_one_connection_does_not_end_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that fails costs that connection, and the others are looked after."""
    server = Server(uvicorn.Config(cast(Any, None), log_config=None), Looked)
    server.looked_at = asyncio.get_running_loop().time()
    broken, sound = Looked(), Looked()
    monkeypatch.setattr(broken, "look", lambda now: 1 / 0)
    broken.transport = line = Line()
    server.server_state.connections |= {broken, sound}

    await server.on_tick(10)

    assert (line.end(), sound.looks) == ("aborted", 1)
