"""What a connection holds for a caller that asks for large trainings and reads nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.web.wire.hits import LARGEST_PIECE
from tests.unit.web.planes import Data, training_reply
from tests.unit.web.wires import Door, Line, get, quiet, statuses

BODY = training_reply("a", words="x" * 300_000).body
# uvicorn pauses an application whose connection has more than this to write.
HIGH_WATER = 65_536


class Unread(Line):
    """A transport as asyncio's, whose caller reads when the test says so."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        super().write(data)
        self.backlog += len(data)
        if self.backlog > HIGH_WATER:
            self._protocol.pause_writing()

    def read(self) -> None:
        """The caller takes all that is there."""
        self.backlog = 0
        self._protocol.resume_writing()


@asynccontextmanager
async def unread(door: Door) -> AsyncIterator[Unread]:
    """A new connection to this door, with such a transport. In the end it is lost."""
    door.connect()
    line = Unread(door.wire)
    door.line = line
    door.wire.connection_made(line)
    try:
        yield line
    finally:
        door.wire.connection_lost(None)
        await quiet()


async def test_a_caller_that_does_not_read_holds_two_pieces() -> None:
    """Of any number of large answers; once it reads, it gets all of them whole."""
    door = Door(Data(training_reply("a", words="x" * 300_000)))
    await door.ask(get("a"))
    async with unread(door) as line:
        for _ in range(6):
            door.feed(get("a"))
            await quiet()
        held = line.backlog

        assert held < HIGH_WATER + LARGEST_PIECE + 2_000
        while line.backlog:
            line.read()
            await quiet()
        assert statuses(line.written) == [b"200"] * 6
        assert line.written.count(BODY) == 6
