"""Three replicas, their Redis and their upstream as real processes, and a clients file."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.simulator import SimulatorClient
from gateway.simulator.faults import FaultMode
from tests.integration.client_files import ClientsFile, two_tenants
from tests.soak.replica import Replica, running
from tests.soak.truth import IDS, ORGANISATIONS, Truth, Windows
from tests.support.servers import RedisServer
from tests.system.commands import address, simulator

LIMIT, WINDOW = 120, 10.0
UNDER_WAY = 0.3
DRAIN_DELAY = 1.0
L1_LIFETIME = 1.0
UPSTREAM_TIMEOUT = 3.0
WINDOWS = Windows(lifetime=2.0, stale=4.0, rescue=300.0, soft_wait=1.0, fetch=UPSTREAM_TIMEOUT)
SETTINGS = {
    "GATEWAY_ACCESS__MODE": "clients",
    "GATEWAY_FRESHNESS__LIFETIME": f"{WINDOWS.lifetime:g}s",
    "GATEWAY_FRESHNESS__STALE_WHILE_REVALIDATE": f"{WINDOWS.stale:g}s",
    "GATEWAY_FRESHNESS__STALE_IF_ERROR": f"{WINDOWS.rescue:g}s",
    "GATEWAY_FRESHNESS__SOFT_WAIT": f"{WINDOWS.soft_wait:g}s",
    "GATEWAY_L1__LIFETIME": f"{L1_LIFETIME:g}s",
    "GATEWAY_SERVER__DRAIN_DELAY": f"{DRAIN_DELAY:g}s",
    "GATEWAY_UPSTREAM__TIMEOUT": f"{UPSTREAM_TIMEOUT:g}s",
}


@dataclass(slots=True)
class World:
    """All that runs, and what is true of it."""

    redis: RedisServer
    replicas: list[Replica]
    upstream: SimulatorClient
    clients: ClientsFile
    truth: Truth
    _editing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def alone(self, what: str) -> asyncio.Lock:
        """Held by the fault that spoils it: other things may go wrong meanwhile."""
        return self._locks[what]

    def key_of(self, organisation: str) -> str:
        """The key with which its callers ask now: the newest one."""
        return self.clients.keys[f"{organisation}-web"][1][-1]

    async def behave(self) -> None:
        """No faults but one that is always there: answers were true when they were asked for."""
        await self.upstream.clear_faults()
        await self.upstream.fault(FaultMode.LATE, delay=UNDER_WAY)

    async def edit(self, organisation: str, training_id: str) -> None:
        """Publish the next version; it says whose it is, and its number."""
        training = (organisation, training_id)
        async with self._editing:  # two at once would both publish the same number
            number = self.truth.latest(training) + 1
            content = f"{organisation} {training_id} {number}"
            await self.upstream.edit(training_id, content, org=organisation)
            self.truth.publish(training, time.monotonic())


@asynccontextmanager
async def world(folder: Path, count: int = 3) -> AsyncIterator[World]:
    """Start everything; each training has its first numbered version."""
    clients = two_tenants(folder, ORGANISATIONS)
    clients.budgets = dict.fromkeys(ORGANISATIONS, f"{LIMIT}/{WINDOW:g}s")
    clients.write()
    keys = [word for name in ORGANISATIONS for word in ("--key", f"T-{name}={name}")]
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder))
        redis.settle()
        # No limit of its own: it counts what it is asked in any such window.
        options = ("--trainings", str(len(IDS)), "--limit", "0", "--window", f"{WINDOW:g}")
        process = stack.enter_context(simulator(folder, *keys, *options))
        settings = SETTINGS | {"GATEWAY_ACCESS__CLIENTS_FILE": str(clients.path)}
        async with SimulatorClient(address(process)) as upstream:
            built = World(redis, [], upstream, clients, Truth(WINDOWS))
            for organisation, training_id in itertools.product(ORGANISATIONS, IDS):
                await built.edit(organisation, training_id)
            await built.behave()
            # Not before: a sweep would keep what has no number.
            for _ in range(count):
                replica = running(folder, redis.port, address(process), settings)
                built.replicas.append(stack.enter_context(replica))
            yield built
