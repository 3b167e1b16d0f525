"""Connections without a network: what is fed to the protocol, and what it writes."""

from __future__ import annotations

import asyncio
import re
from typing import cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from gateway.core.vocabulary import AccessRefusal
from gateway.ports import RefusedRequest
from gateway.web.wire.connection import Terms, Wire
from gateway.web.wire.hot_path import HotPath
from gateway.web.wire.request_head import Limits
from tests.unit.web.planes import Data, training_reply

LIMITS = Limits(8_000, 30, 10_000, 5, head_timeout=10.0, write_timeout=30.0)


class Line(asyncio.Transport):
    """A transport that keeps what is written, and whose backlog the test sets."""

    def __init__(self) -> None:
        super().__init__({"socket": None, "peername": None, "sockname": None})
        self.writes: list[bytes] = []
        self.backlog = 0
        self._end = ""

    @property
    def written(self) -> bytes:
        """All of it."""
        return b"".join(self.writes)

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        self.writes.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.backlog

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return bool(self._end)

    def pause_reading(self) -> None:
        """Nothing is read but what a test feeds."""

    def resume_reading(self) -> None:
        """Nothing is read but what a test feeds."""

    def end(self) -> str:
        """How it ended, if it has."""
        return self._end

    def close(self) -> None:
        self._end = "closed"

    def abort(self) -> None:
        self._end = "aborted"


class Door:
    """The door of a data plane, and a connection to it; not `short`: all goes to Starlette."""

    def __init__(self, data: Data, *, short: bool = True) -> None:
        self.data = data
        self.state = ServerState()
        self.refused: list[AccessRefusal] = []
        terms = Terms(LIMITS, data.clock, lambda: "made-here", self._note)
        self.kind: type[Wire] = Wire.under(terms)
        if short:
            self.kind = HotPath.beside(hits := data.plane.hits(), data.plane.many(hits), terms)
        self._app = data.application
        self.connect()

    def _note(self, reason: AccessRefusal, _request: RefusedRequest) -> None:
        self.refused.append(reason)

    def connect(self) -> None:
        """Another connection takes the place of the one before."""
        app = cast("ASGIApp", self._app)
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, ws="none", proxy_headers=False
        )
        self.wire = self.kind(config, self.state, {})
        self.line = Line()
        self.wire.connection_made(self.line)

    def feed(self, head: bytes) -> None:
        """What arrives in one turn of the loop, and the end of that turn."""
        self.wire.data_received(head)
        self.end_turn()

    def end_turn(self) -> None:
        """What was answered in it is written."""
        if issubclass(self.kind, HotPath):
            self.kind.outbox.flush()

    async def ask(self, *pieces: bytes) -> bytes:
        """What is written back to these bytes, once all is quiet."""
        before = len(self.line.written)
        for piece in pieces:
            if not self.line.is_closing():
                self.wire.data_received(piece)
        await quiet()
        return self.line.written[before:]


async def holding() -> Door:
    """A connection to a plane that holds `a`, and whose upstream has nothing more to say."""
    door = Door(Data(training_reply("a")))
    await door.ask(get("a"))
    door.connect()
    return door


def statuses(said: bytes) -> list[bytes]:
    """The status lines, in order."""
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", said)


async def quiet() -> None:
    """Let all that can go on go on."""
    for _ in range(60):
        await asyncio.sleep(0)


def get(training_id: str, *lines: bytes, method: bytes = b"GET") -> bytes:
    """A plain head."""
    head = b"%b /training/%b HTTP/1.1" % (method, training_id.encode())
    fields = (b"Host: a", b"Authorization: Bearer t-1", *lines)
    return b"\r\n".join((head, *fields, b"", b""))
