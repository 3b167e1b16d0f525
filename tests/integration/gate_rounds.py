"""Rounds of one gate: one replica hears a 429, and another one is asked right after that.

The journal of the simulator tells which calls started after the first replica had told Redis:
its caller has the answer by then, and it makes no other call in the round.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from gateway.simulator import SimulatorClient, SimulatorConfig, running
from gateway.simulator.faults import FaultMode
from tests.doubles.proxy import BusProxy
from tests.integration.client_files import ClientsFile
from tests.integration.gateways import BEARER, TOKEN, Planes, gateway, until

MODES = ("passthrough", "open", "clients")
# The lowest that 429s leave of the second is more than all rounds spend.
LIMITS = ("unlimited", "600/6s")
# The gate opens later than callers wait: half of the deadline of a call.
_HOLD = 6.0
_HASTY = {
    "freshness__lifetime": "200ms",
    "redis__timeout": "2s",
    "upstream__timeout": "4s",
    "log__level": "error",
}


@dataclass
class Pair:
    """A replica that hears a 429, and another one whose way to Redis can be cut."""

    first: Planes
    other: Planes
    way: BusProxy
    control: SimulatorClient

    def __post_init__(self) -> None:
        self._numbers = count(1)

    async def round(self, *, cut: bool) -> int:
        """The calls that start after the first replica has told Redis of a 429; with `cut` the
        other one was without Redis just before, and pays from its share."""
        stored = self._ids(4)
        for each in stored:
            assert (await self.other.get(each)).status_code == 200
        if cut:
            await self._lose_redis()
        await asyncio.sleep(0.25)  # stale by now
        await self.control.fault(FaultMode.RATE_LIMITED, delay=_HOLD)
        refused = await self.first.get(*self._ids(1))
        told = time.monotonic()
        assert refused.json()["type"] == "urn:gateway:problem:upstream-rate-limited", refused.text
        statuses = await self._ask_other(stored[:2])
        await asyncio.sleep(0.5)
        statuses += await self._ask_other(stored[2:])
        await asyncio.sleep(0.1)
        # The gate reopens after its hold, which began before that was told.
        ends = told + _HOLD - 1.0
        late = [each for each in await self.control.requests() if told < each.at < ends]
        assert sorted(statuses) == [200] * 4 + [503] * 4
        await self.control.clear_faults()
        await until(self._is_open)
        return len(late)

    async def _ask_other(self, stale: list[str]) -> list[int]:
        """Two that it holds, and two that nobody has."""
        asked = [*stale, *self._ids(2)]
        return [each.status_code for each in await asyncio.gather(*map(self.other.get, asked))]

    async def _lose_redis(self) -> None:
        self.way.cut()
        await until(self._other_pays)  # what it does not know to be unspent becomes free evenly
        await until(lambda: self.other.reads("gateway_redis_up", 0))
        self.way.mend()
        await until(lambda: self.other.reads("gateway_redis_up", 1))

    async def _other_pays(self) -> bool:
        """Whether it serves what nobody has."""
        return (await self.other.get(*self._ids(1))).status_code == 200

    async def _is_open(self) -> bool:
        """Whether both serve what nobody has."""
        both = self.first, self.other
        answers = [(await each.get(*self._ids(1))).status_code for each in both]
        return answers == [200, 200]

    def _ids(self, how_many: int) -> list[str]:
        return [f"trn_{next(self._numbers):06d}" for _ in range(how_many)]


@asynccontextmanager
async def pair(redis_url: str, folder: Path, mode: str, limit: str) -> AsyncIterator[Pair]:
    """Two gateways in that access mode with that limit, on one Redis."""
    settings = {**_HASTY, "upstream__rate_limit": limit, **_access(folder, mode)}
    async with (
        # Each look at a closed gate asks for trainings of its own: dozens a second.
        running(SimulatorConfig(trainings=50_000, limit=None)) as upstream,
        BusProxy(redis_url, whole=True) as way,
        SimulatorClient(upstream.base_url) as control,
        gateway(upstream.base_url, redis_url, **settings) as first,
        gateway(upstream.base_url, way.url, **settings) as other,
    ):
        yield Pair(first, other, way, control)


def _access(folder: Path, mode: str) -> dict[str, str]:
    """Whoever presents the simulator's key is let in."""
    if mode == "passthrough":
        return {}
    if mode == "open":
        return {"access__mode": "open", "upstream__token": TOKEN}
    key = BEARER["Authorization"].split()[1]
    file = ClientsFile(folder / "clients.toml", {"acme": TOKEN}, {"web": ("acme", [key])})
    file.write()
    return dict(file.settings)
