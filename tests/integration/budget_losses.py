"""Redis is lost in some way while callers ask for ever new ids: what the upstream sees of it.

Three replicas, each with a way to Redis of its own. What counts is when calls arrive at the
simulator, which refuses none.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import struct
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from gateway.simulator import SimulatorClient, SimulatorConfig, running
from tests.doubles.proxy import Link, Proxy
from tests.integration.client_files import ClientsFile, bearer
from tests.integration.gateways import Planes, apart, gateway
from tests.support.servers import RedisServer

LIMIT, WINDOW = 20, 4.0
_CALLERS, _REPLICAS = 18, 3
_IDS = 20_000
# Round trips of a slow Redis (seconds); a replica waits 50 ms.
_ROUND_TRIP = 0.010, 0.048
# Seconds of load before the loss, or without any, and of load from a moment before it on.
_BEFORE, _AFTER = 9.0, 12.0
# A stall of the loop (seconds) beyond which arrivals say nothing: a call has 0.4 s for its way.
_STALL, _TRIES = 0.3, 4


class Loss(StrEnum):
    """What happens to Redis."""

    KILLED = "killed"
    HUNG = "hung"
    SLOW = "slow"
    CUT = "cut"  # nothing passes between it and one replica
    REFUSED = "refused"  # to one replica
    FORGOTTEN = "forgotten"
    AHEAD_3 = "+3"  # its clock is set
    AHEAD_10 = "+10"
    BEHIND_3 = "-3"
    BEHIND_10 = "-10"
    BEHIND_60 = "-60"

    @property
    def step(self) -> float:
        """Seconds by which its clock is set."""
        return float(self) if self[0] in "+-" else 0.0


class Way(Proxy):
    """Between a replica and Redis: slow, without an end, or shut."""

    def __init__(self, url: str, seed: int) -> None:
        super().__init__(url)
        self._random = random.Random(seed)
        self.is_slow = self.swallows = False

    async def forward(self, link: Link, data: bytes) -> bytes:
        return await self._pass(data)

    async def back(self, link: Link, data: bytes) -> bytes:
        return await self._pass(data)

    async def _pass(self, data: bytes) -> bytes:
        if self.is_slow:
            await asyncio.sleep(self._random.uniform(*_ROUND_TRIP) / 2)
        while self.swallows:  # noqa: ASYNC110 - until the test ends
            await asyncio.sleep(0.1)
        return data

    def shut(self) -> None:
        """Refuse connections, and end those there are."""
        self._server.close()
        for link in self.links:
            link.cut()


class SetClock:
    """A library that lets a process read its clock so many seconds ahead, told by a file."""

    _SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static volatile long long *ahead;
static long long micros(void) {
  if (!ahead) {
    int file = open(getenv("CLOCK_AHEAD"), O_RDONLY);
    ahead = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
  }
  return *ahead;
}
int clock_gettime(clockid_t which, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(which, at);
  if (which == CLOCK_REALTIME) at->tv_sec += micros() / 1000000;
  return failed;
}
int gettimeofday(struct timeval *at, void *zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}
"""

    def __init__(self, folder: Path) -> None:
        self._file, source, library = folder / "ahead", folder / "clock.c", folder / "clock.so"
        self.set(0.0)
        source.write_text(self._SOURCE)
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_AHEAD": str(self._file)}

    def set(self, seconds: float) -> None:
        """From now on, for who reads it."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("q", round(seconds * 1_000_000)))


@dataclass(slots=True)
class Figures:
    """The most calls in any window, of any tenant; all calls, and how callers were answered."""

    fullest: int = 0
    calls: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    lag: float = 0.0  # the longest stall of the loop in which all of it runs


@dataclass(slots=True)
class Stand:
    """Three replicas, the ways to their Redis, and its clock."""

    replicas: list[Planes]
    ways: list[Way]
    server: RedisServer
    clock: SetClock | None
    keys: list[str]
    figures: Figures = field(default_factory=Figures)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def lose(self, loss: Loss) -> None:
        """Now."""
        match loss:
            case Loss.KILLED:
                self.server.kill()
            case Loss.HUNG:
                self.server.pause()
            case Loss.SLOW:
                for way in self.ways:
                    way.is_slow = True
            case Loss.CUT:
                self.ways[0].swallows = True
            case Loss.REFUSED:
                self.ways[0].shut()
            case Loss.FORGOTTEN:
                self.server.flush()
            case _:
                assert self.clock is not None
                self.clock.set(loss.step)

    async def read(self, seconds: float) -> None:
        """Callers ask for ever new ids, for so long."""
        ends = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for number in range(_CALLERS):
                group.create_task(self._read(self.replicas[number % _REPLICAS], ends))

    async def _read(self, replica: Planes, ends: float) -> None:
        async with apart(replica) as own:
            while time.monotonic() < ends:
                number = next(self._numbers)
                # Most ask for the first two tenants, so that these have their limits used up.
                busy = len(self.keys) if number % 5 == 0 else 2
                key = self.keys[number % min(busy, len(self.keys))]
                path = f"/training/trn_{number % _IDS:06d}"
                answer = await own.data.get(path, headers=bearer(key))
                self.figures.statuses[answer.status_code] += 1
                if answer.status_code != 200:
                    await asyncio.sleep(0.05)

    async def greet(self) -> None:
        """Each replica makes a call for each of the first tenants."""
        for replica in self.replicas:
            for key in self.keys[:5]:
                path = f"/training/trn_{next(self._numbers):06d}"
                await replica.data.get(path, headers=bearer(key))


async def _watch(figures: Figures) -> None:
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.01)
        figures.lag = max(figures.lag, time.monotonic() - before - 0.01)


@asynccontextmanager
async def stand(folder: Path, tenants: int, *, sets_clock: bool) -> AsyncIterator[Stand]:
    """So many tenants, each with the same limit."""
    names = [f"t{number}" for number in range(tenants)]
    file = ClientsFile(
        folder / "clients.toml",
        {name: f"T-{name}" for name in names},
        {f"{name}-web": (name, [f"gw_{name}"]) for name in names},
    )
    file.write()
    config = SimulatorConfig(
        trainings=_IDS, limit=None, window=WINDOW, keys={f"T-{name}": "demo" for name in names}
    )
    settings = {
        "upstream__rate_limit": f"{LIMIT}/{WINDOW:g}s",
        "redis__timeout": "50ms",
        "log__level": "error",
        **file.settings,
    }
    server = RedisServer(folder)
    clock = SetClock(folder) if sets_clock else None
    if clock is not None:
        server._environment |= clock.environment
    with server:
        async with AsyncExitStack() as stack:
            upstream = await stack.enter_async_context(running(config))
            control = await stack.enter_async_context(SimulatorClient(upstream.base_url))
            ways, replicas = [], []
            for number in range(_REPLICAS):
                way = await stack.enter_async_context(Way(server.url, number))
                planes = gateway(upstream.base_url, way.url, **settings)
                replicas.append(await stack.enter_async_context(planes))
                ways.append(way)
            made = Stand(replicas, ways, server, clock, [f"gw_{name}" for name in names])
            yield made
            stats = await control.stats()
            made.figures.fullest = max(stats.fullest_window_asked.values(), default=0)
            made.figures.calls = stats.requests
            for way in ways:
                way.swallows = False
            server.resume() if server.running else server.start()


async def lost(
    folder: Path,
    loss: Loss,
    *,
    is_used: bool,
    tenants: int = 1,
    before: float = _BEFORE,
    after: float = _AFTER,
) -> Figures:
    """Lose Redis that way, after so many seconds in which callers have asked for all there is, or
    for nothing; they ask on, or begin to, half a second before that. Once more, a few times, where
    the loop stood still for so long that calls arrived in another window than they went in."""
    for number in range(_TRIES):
        own = folder / f"{number}"
        own.mkdir()
        async with stand(own, tenants, sets_clock=loss.step != 0.0) as made:
            await _lose(made, loss, before if is_used else -before, after)
        figures = made.figures
        if figures.lag < _STALL:
            break
    return figures


async def _lose(made: Stand, loss: Loss, before: float, after: float) -> None:
    """`before`: seconds of use, less than 0 for such a time without any."""
    watching = asyncio.create_task(_watch(made.figures))
    if before > 0.0:
        await made.read(before)
    else:
        await made.greet()
        await asyncio.sleep(-before)
    reading = asyncio.create_task(made.read(after))
    await asyncio.sleep(0.5)
    await made.lose(loss)
    await reading
    watching.cancel()
