"""Proxies that spoil what passes: answers that arrive late, a bus that is cut, mute or mangled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

from tests.support.servers import HOST

_MOST = 1 << 16


class Link:
    """One connection on its way through."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self._ends = (near, far)
        self.is_bus = False
        self.frames = Frames()

    def cut(self) -> None:
        """End it for both sides, at once."""
        for end in self._ends:
            end.transport.abort()


class Proxy:
    """Passes on what comes for `url`; what subclasses override may hold it up or change it."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._target = (where.hostname or HOST, where.port or 0)
        self._scheme = where.scheme
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._port = 0

    @property
    def url(self) -> str:
        """Where it listens, with the target's scheme."""
        return f"{self._scheme}://{HOST}:{self._port}"

    @property
    def links(self) -> list[Link]:
        """The connections that are open."""
        return list(self._links)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        tasks = list(self._links.values())
        for link in self.links:
            link.cut()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def forward(self, link: Link, data: bytes) -> bytes:
        """What of `data` goes on to the server."""
        return data

    async def back(self, link: Link, data: bytes) -> bytes:
        """What of `data` goes back to the client."""
        return data

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, far)
        task = asyncio.current_task()
        assert task is not None, "the server runs this in a task"
        self._links[link] = task
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(link, reader, far, self.forward))
                both.create_task(self._pump(link, far_reader, writer, self.back))
        finally:
            link.cut()
            del self._links[link]

    async def _pump(
        self,
        link: Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        change: Callable[[Link, bytes], Awaitable[bytes]],
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_MOST):
                writer.write(await change(link, data))
                await writer.drain()
        link.cut()


class LateAnswers(Proxy):
    """In front of an HTTP server: each answer is made at once, and delivered when it wants."""

    def __init__(self, url: str, longest: float, seed: int = 0) -> None:
        super().__init__(url)
        self._longest = longest
        self._random = random.Random(seed)

    async def back(self, link: Link, data: bytes) -> bytes:
        await asyncio.sleep(self._random.random() * self._longest)
        return data


class BusProxy(Proxy):
    """In front of Redis: knows the connections that subscribe, and spoils those alone (all, with
    `whole`).

    cut     they end, and new ones do not come about
    mute    they stay open, and nothing arrives
    chance  how likely a message is dropped, or said twice, or waits until after the next one
    """

    def __init__(self, url: str, seed: int = 0, *, whole: bool = False) -> None:
        super().__init__(url)
        self._random = random.Random(seed)
        self._whole = whole
        self._is_cut = False
        self.mute = False
        self.chance = 0.0
        self.spoilt = 0
        self._waiting: list[bytes] = []

    def cut(self) -> None:
        """End each subscription, and let none be made until `mend`."""
        self._is_cut = True
        for link in self.links:
            if link.is_bus or self._whole:
                link.cut()

    def mend(self) -> None:
        """Spoil nothing any more."""
        self._is_cut = self.mute = False
        self.chance = 0.0

    async def forward(self, link: Link, data: bytes) -> bytes:
        link.is_bus = link.is_bus or b"SUBSCRIBE" in data
        if (link.is_bus or self._whole) and self._is_cut:
            link.cut()
            return b""
        return b"" if link.is_bus and self.mute else data

    async def back(self, link: Link, data: bytes) -> bytes:
        if not link.is_bus:
            return data
        frames = list(link.frames.feed(data))
        if self.mute:
            self.spoilt += len(frames)
            return b""
        return b"".join(map(self._mangle, frames))

    def _mangle(self, frame: bytes) -> bytes:
        if b"\r\nmessage\r\n" not in frame[:20]:
            return frame
        rest, self._waiting = b"".join(self._waiting), []
        if self._random.random() >= self.chance:
            return frame + rest
        self.spoilt += 1
        match self._random.choice(["drop", "twice", "late"]):
            case "drop":
                return rest
            case "twice":
                return frame + rest + frame
            case _:
                self._waiting = [frame]
                return rest


class Frames:
    """Whole RESP2 replies cut out of a stream: arrays of strings and numbers, and lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The replies that are whole with this."""
        self._rest += data
        while end := _end(self._rest, 0):
            yield self._rest[:end]
            self._rest = self._rest[end:]


def _end(data: bytes, at: int) -> int:
    """Where the reply that begins at `at` ends; 0 where it is not whole."""
    line = data.find(b"\r\n", at)
    if line < 0:
        return 0
    after = line + 2
    match data[at : at + 1]:
        case b"$":
            length = int(data[at + 1 : line])
            after = after if length < 0 else after + length + 2
        case b"*":
            for _ in range(int(data[at + 1 : line])):
                if not (after := _end(data, after)):
                    return 0
        case _:
            pass
    return after if after <= len(data) else 0
