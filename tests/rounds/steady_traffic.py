"""A steady stream of requests, as a load balancer sends them, while somebody edits."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import msgspec

from gateway.simulator import SimulatorClient
from tests.rounds.rolling_update import Fleet
from tests.support.cheap_connection import Line, Reply
from tests.system.commands import TOKEN, Gateway

IDS = [f"trn_{number:06}" for number in range(1, 41)]
_FIELDS = f"Host: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
_REQUESTS = {each: f"GET /training/{each} HTTP/1.1\r\n{_FIELDS}".encode() for each in IDS}
# Seconds after which a caller has given up.
_PATIENCE = 10.0
# Seconds between two looks at how late the loop is.
_LOOK = 0.01
_NOBODY = Reply(0, b"", b"", 0.0)


class _Training(msgspec.Struct):
    content: str


_version = msgspec.json.Decoder(_Training)


@dataclass
class Stream:
    """What became of the requests. `offered` are those that came due in `seconds`, which were all
    answered `overtime` seconds later. `retried`: sent on a kept connection that was closed without
    a word, and sent again, as HTTP clients do with a GET. `stalled`: for how many seconds at most
    this process itself did nothing for them."""

    until: float = math.inf
    offered: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    went_back: list[str] = field(default_factory=list)
    retried: int = 0
    slowest: tuple[float, str] = (0.0, "")
    stalled: float = 0.0
    seconds: float = 0.0
    overtime: float = 0.0

    @property
    def rate(self) -> float:
        """Requests offered a second."""
        return self.offered / self.seconds

    @property
    def pace(self) -> float:
        """Answers a second, until the last one."""
        return self.statuses.total() / (self.seconds + self.overtime)

    def __str__(self) -> str:
        return (
            f"{self.offered} requests in {self.seconds:.1f} s ({self.rate:.1f}/s), the last "
            f"answered {self.overtime:.3f} s later ({self.pace:.1f}/s), {dict(self.statuses)}, "
            f"{self.retried} retried, slowest {self.slowest[0]:.3f} s ({self.slowest[1]}), "
            f"callers stalled for {self.stalled:.3f} s at most, "
            f"{len(self.faults)} failed, {len(self.went_back)} went back"
        )


class _Caller:
    """One caller on one connection, who stays with a replica for as long as that is ready."""

    def __init__(self, fleet: Fleet, stream: Stream, seed: int) -> None:
        self._fleet = fleet
        self._stream = stream
        self._random = Random(seed)
        self._replica: Gateway | None = None
        self._line: Line | None = None
        self._last: dict[str, int] = {}

    async def run(self, every: float) -> None:
        """Ask once in so many seconds, late ones at once, until all that was due is answered."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._random.random() * every
        try:
            while True:
                await asyncio.sleep(max(0.0, due - loop.time()))
                if due > self._stream.until:
                    return
                self._stream.offered += 1
                due += every
                await self._ask(self._random.choice(IDS))
        finally:
            self._hang_up()

    async def _ask(self, training_id: str) -> None:
        began = time.monotonic()
        is_kept = self._is_connected()
        reply = await self._send(training_id)
        if reply.status == 0 and is_kept:
            self._stream.retried += 1
            self._hang_up()
            reply = await self._send(training_id)
        if reply.status == 0 or b"\r\nconnection: close" in reply.head.lower():
            self._hang_up()
        self._judge(training_id, reply, time.monotonic() - began)

    def _is_connected(self) -> bool:
        return self._line is not None and self._line.is_open and self._replica in self._fleet.ready

    async def _send(self, training_id: str) -> Reply:
        try:
            async with asyncio.timeout(_PATIENCE):
                if not self._is_connected():
                    await self._connect()
                assert self._line is not None
                return await self._line.ask(_REQUESTS[training_id])
        except (OSError, IndexError):  # refused, timed out; nobody is ready
            return _NOBODY

    async def _connect(self) -> None:
        self._hang_up()
        if self._replica not in self._fleet.ready:
            self._replica = self._random.choice(self._fleet.ready)
            # Another replica may not have heard yet of what the former one answered with last.
            self._last.clear()
        assert self._replica is not None
        self._line = await Line.to(self._replica.data)

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line = None

    def _judge(self, training_id: str, reply: Reply, seconds: float) -> None:
        where = "nowhere" if self._replica is None else self._replica.data
        if reply.status != 200:
            self._stream.faults.append(f"{where}: {training_id} {reply}")
            return
        self._stream.statuses[reply.status] += 1
        if seconds > self._stream.slowest[0]:
            self._stream.slowest = seconds, _cache_status(reply)
        text = _version.decode(reply.body).content
        version = int(text) if text.isdecimal() else 0
        last = self._last.get(training_id, 0)
        if version < last:
            told = f"{where}: {training_id} {last} -> {version}, {_cache_status(reply)}"
            self._stream.went_back.append(told)
        self._last[training_id] = version


def _cache_status(reply: Reply) -> str:
    _, _, rest = reply.head.lower().partition(b"\r\ncache-status: ")
    return rest.partition(b"\r\n")[0].decode()


@asynccontextmanager
async def steady(
    fleet: Fleet, control: SimulatorClient, *, rate: float, callers: int = 40
) -> AsyncIterator[Stream]:
    """So many requests a second for as long as the block lasts, while somebody edits."""
    loop, stream = asyncio.get_running_loop(), Stream()
    clients = [_Caller(fleet, stream, seed) for seed in range(callers)]
    began = loop.time()
    asking = [asyncio.create_task(client.run(callers / rate)) for client in clients]
    others = [asyncio.create_task(each) for each in (_edit(control), _watch(stream))]
    try:
        yield stream
    finally:
        stream.until = loop.time()
        stream.seconds = stream.until - began
        ends = await asyncio.gather(*asking, return_exceptions=True)
        stream.overtime = loop.time() - stream.until
        for task in others:
            task.cancel()
        ends += await asyncio.gather(*others, return_exceptions=True)
    failed = [end for end in ends if end and not isinstance(end, asyncio.CancelledError)]
    stream.faults += map(repr, failed)


async def _watch(stream: Stream) -> None:
    """How late this process' own event loop is."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LOOK
        await asyncio.sleep(_LOOK)
        stream.stalled = max(stream.stalled, loop.time() - due)


async def _edit(control: SimulatorClient) -> None:
    """A new version of each training in turn, twenty a second."""
    number = 0
    while True:
        number += 1
        for training_id in IDS:
            await control.edit(training_id, str(number))
            await asyncio.sleep(0.05)
