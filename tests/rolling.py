"""A steady stream of requests through replicas that come and go, as a load balancer sends them."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from gateway.simulator import SimulatorClient
from tests.raw import Answer, Caller
from tests.servers import ROOT
from tests.system.commands import TOKEN, Gateway

IDS = [f"trn_{number:06}" for number in range(1, 41)]
_PROBE = b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
_SCHEMA = re.compile(r"^(SCHEMA(?:: Final)? = )(\d+)$", re.MULTILINE)
_SCHEMAS = ("wire", "standing", "notices", "endings")


def previous_release(folder: Path) -> dict[str, str]:
    """A copy of the package as it was a release ago: every format that replicas share has the
    schema number before; what a process needs in its environment to be of that release."""
    package = folder / "previous" / "gateway"
    shutil.copytree(ROOT / "gateway", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _SCHEMAS:
        path = package / "adapters" / "redis" / f"{name}.py"
        text = path.read_text()
        older, numbers = _SCHEMA.subn(lambda found: f"{found[1]}{int(found[2]) - 1}", text)
        assert numbers == 1, f"{name} has no schema number any more"
        path.write_text(older)
    return {"PYTHONPATH": str(package.parent)}


class Fleet:
    """The replicas behind a balancer, which asks each whether it is ready."""

    def __init__(self) -> None:
        self.ready: list[Gateway] = []
        self.all: list[Gateway] = []

    async def add(self, replica: Gateway) -> None:
        """Start one more, and return once it is sent requests."""
        await asyncio.to_thread(replica.process.start)
        self.all.append(replica)
        async with asyncio.timeout(60):
            while replica not in self.ready:  # noqa: ASYNC110 - nobody sets an event
                await asyncio.sleep(0.01)

    async def retire(self, replica: Gateway) -> None:
        """Ask one to end, as an orchestrator does, and return once it has; code 0."""
        assert await asyncio.to_thread(replica.process.stop, 60) == 0
        self.all.remove(replica)

    async def watch(self) -> None:
        """Ask all, ten times a second."""
        while True:
            asked = list(self.all)
            told = await asyncio.gather(*map(_is_ready, asked))
            self.ready = [each for each, ready in zip(asked, told, strict=True) if ready]
            await asyncio.sleep(0.1)


async def _is_ready(replica: Gateway) -> bool:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(2):
            answer = await _once(replica)
            return answer is not None and answer.status == 200
    return False


async def _once(replica: Gateway) -> Answer | None:
    caller = await _connect(replica)
    try:
        return await (await caller.send(_PROBE)).answer()
    finally:
        await caller.close()


async def _connect(replica: Gateway) -> Caller:
    where = urlsplit(replica.data)
    return Caller(*await asyncio.open_connection(where.hostname, where.port))


@dataclass
class Stream:
    """What became of the requests. `retried`: sent on a kept connection that was closed without
    a word, and sent again, as HTTP clients do with a GET."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    went_back: list[str] = field(default_factory=list)
    retried: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.statuses.total() / self.seconds

    def __str__(self) -> str:
        return (
            f"{self.statuses.total()} answers in {self.seconds:.1f} s ({self.rate:.0f}/s), "
            f"{dict(self.statuses)}, {self.retried} retried, "
            f"{len(self.faults)} failed, {len(self.went_back)} went back"
        )


class _Client:
    """One caller on one connection, who stays with a replica for as long as that is ready."""

    def __init__(self, fleet: Fleet, stream: Stream, seed: int) -> None:
        self._fleet = fleet
        self._stream = stream
        self._random = Random(seed)
        self._replica: Gateway | None = None
        self._caller: Caller | None = None
        self._last: dict[str, int] = {}

    async def run(self, every: float) -> None:
        """Ask once in so many seconds, late ones at once, until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._random.random() * every
        try:
            while True:
                await asyncio.sleep(max(0.0, due - loop.time()))
                due += every
                await self._ask(self._random.choice(IDS))
        finally:
            await self._hang_up()

    async def _ask(self, training_id: str) -> None:
        kept = await self._move_on()
        answer = await self._send(training_id)
        if answer is None and kept:
            self._stream.retried += 1
            await self._hang_up()
            await self._move_on()
            answer = await self._send(training_id)
        if answer is None or answer.fields.get("connection") == "close":
            await self._hang_up()
        self._judge(training_id, answer)

    async def _move_on(self) -> bool:
        """Be connected to a replica that is ready; whether that was so before."""
        if self._caller is not None and self._replica in self._fleet.ready:
            return True
        await self._hang_up()
        if self._replica not in self._fleet.ready:
            self._replica = self._random.choice(self._fleet.ready)
            # Another replica may not have heard yet of what the former one answered with last.
            self._last.clear()
        self._caller = await _connect(self._replica)
        return False

    async def _hang_up(self) -> None:
        caller, self._caller = self._caller, None
        if caller is not None:
            await caller.close()

    async def _send(self, training_id: str) -> Answer | None:
        assert self._caller is not None
        head = f"GET /training/{training_id} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}"
        return await (await self._caller.send(f"{head}\r\n\r\n".encode())).answer()

    def _judge(self, training_id: str, answer: Answer | None) -> None:
        where = "nowhere" if self._replica is None else self._replica.data
        if answer is None or answer.status != 200:
            self._stream.faults.append(f"{where}: {answer}")
            return
        self._stream.statuses[answer.status] += 1
        text = str(json.loads(answer.body)["content"])
        version = int(text) if text.isdecimal() else 0
        last = self._last.get(training_id, 0)
        if version < last:
            status = answer.fields["cache-status"]
            self._stream.went_back.append(f"{where}: {training_id} {last} -> {version}, {status}")
        self._last[training_id] = version


@asynccontextmanager
async def steady(
    fleet: Fleet, control: SimulatorClient, *, rate: float, callers: int = 40
) -> AsyncIterator[Stream]:
    """So many requests a second for as long as the block lasts, while somebody edits."""
    loop, stream = asyncio.get_running_loop(), Stream()
    clients = [_Client(fleet, stream, seed) for seed in range(callers)]
    tasks = [asyncio.create_task(client.run(callers / rate)) for client in clients]
    tasks.append(asyncio.create_task(_edit(control)))
    began = loop.time()
    try:
        yield stream
    finally:
        stream.seconds = loop.time() - began
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    stream.faults += [repr(end) for end in ends if not isinstance(end, asyncio.CancelledError)]


async def _edit(control: SimulatorClient) -> None:
    """A new version of each training in turn, twenty a second."""
    number = 0
    while True:
        number += 1
        for training_id in IDS:
            await control.edit(training_id, str(number))
            await asyncio.sleep(0.05)
