"""The shield put to the test: replicas under a mixed load, and the simulator's own limiter.

The short forms have rates such as 10/6s, the drills the real 100 a minute. What is counted is
what the simulator saw and what callers were answered; nothing here measures speed.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx

from gateway.simulator import (
    RunningSimulator,
    SimulatorClient,
    SimulatorConfig,
    running,
)
from gateway.simulator.limiter import RetryAfter
from tests.integration.gateways import TOKEN, Planes, gateway, until
from tests.integration.replicas import hears

IDS = 2_000
# Of a hundred requests so many are for ids that are not there.
_UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """A limit, and the window it holds in (seconds)."""

    limit: int
    window: float

    @property
    def rate(self) -> str:
        """As settings have it."""
        return f"{self.limit}/{self.window:g}s"


@dataclass(slots=True)
class Stand:
    """A simulator, its control side, and the replicas in front of it."""

    pace: Pace
    upstream: RunningSimulator
    control: SimulatorClient
    redis_url: str
    settings: dict[str, str]
    stack: AsyncExitStack
    replicas: list[Planes] = field(default_factory=list)

    async def add(self) -> Planes:
        """Another replica, which hears the others."""
        planes = await self.stack.enter_async_context(
            gateway(self.upstream.base_url, self.redis_url, **self.settings)
        )
        await until(lambda: hears(planes))
        self.replicas.append(planes)
        return planes

    async def fullest(self) -> int:
        """The most calls that arrived in any window."""
        return max((await self.control.stats()).fullest_window_asked.values(), default=0)

    async def calls(self, start: float, end: float) -> int:
        """The calls that arrived in this time (monotonic)."""
        return sum(start <= each.at < end for each in await self.control.requests())

    async def refused(self) -> int:
        """429s that gateways were answered."""
        name = 'gateway_upstream_failures_total{reason="rate-limited"}'
        return int(sum([await planes.metric(name) for planes in self.replicas]))


@asynccontextmanager
async def stand(
    redis_url: str,
    pace: Pace,
    simulated: Pace | None = None,
    form: RetryAfter = RetryAfter.SECONDS,
    /,
    **settings: str,
) -> AsyncIterator[Stand]:
    """Three replicas that may make so many calls, and an upstream that lets through as many, or
    what is simulated, and says in some form when to come back."""
    own = simulated or pace
    config = SimulatorConfig(trainings=IDS, limit=own.limit, window=own.window, retry_after=form)
    async with (
        running(config) as upstream,
        SimulatorClient(upstream.base_url) as control,
        AsyncExitStack() as stack,
    ):
        chosen = {
            "upstream__rate_limit": pace.rate,
            "access__mode": "open",
            "upstream__token": TOKEN,
            "log__level": "error",
            "redis__timeout": "2s",
            **settings,
        }
        if chosen["access__mode"] == "clients":
            del chosen["upstream__token"]
        made = Stand(pace, upstream, control, redis_url, chosen, stack)
        for _ in range(3):
            await made.add()
        yield made


class Load:
    """Callers who read by Zipf with the exponent `skew`, each of a replica at random, and note what
    they were told."""

    def __init__(
        self, replicas: Sequence[Planes], callers: int = 8, seed: int = 1, skew: float = 1.0
    ) -> None:
        self.replicas = replicas
        self._random = random.Random(seed)
        self._weights = [*itertools.accumulate(n**-skew for n in range(1, IDS + 1))]
        self._callers = callers
        self.statuses: Counter[int] = Counter()
        self.dishonest: list[str] = []
        self.served: set[str] = set()

    def choose(self) -> str:
        """An id, the first ones most often; now and then one that is not there."""
        if self._random.randrange(100) < _UNKNOWN:
            return f"unknown_{self._random.randrange(IDS)}"
        bound = self._random.random() * self._weights[-1]
        low, high = 0, IDS - 1
        while low < high:
            middle = (low + high) // 2
            if self._weights[middle] < bound:
                low = middle + 1
            else:
                high = middle
        return f"trn_{low + 1:06d}"

    async def run(self, seconds: float, pause: float = 0.05) -> None:
        """Read for so long."""
        until_ = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(self._callers):
                group.create_task(self._read(until_, pause))

    async def _read(self, until_: float, pause: float) -> None:
        while time.monotonic() < until_:
            planes, wanted = self._random.choice(self.replicas), self.choose()
            self.note(wanted, await planes.get(wanted))
            await asyncio.sleep(pause)

    def note(self, wanted: str, answer: httpx.Response) -> None:
        """Count an answer, and what in it is not as promised."""
        self.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            self.served.add(wanted)
        honest = {200, 404} if wanted.startswith("unknown") else {200}
        if answer.status_code == 503:
            if not answer.headers.get("retry-after", "").isdecimal():
                self.dishonest.append("503 without Retry-After")
        elif answer.status_code not in honest:
            self.dishonest.append(f"{answer.status_code} {wanted} {answer.text[:80]}")

    def hottest(self, most: int) -> set[str]:
        """The ids that are asked for most."""
        return {f"trn_{number:06d}" for number in range(1, most + 1)}
