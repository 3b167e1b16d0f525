"""Many callers for one cold training, spread over three gateways, processes of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from gateway.simulator import SimulatorClient
from tests.integration.gateways import until
from tests.system.commands import CALLER, Gateway, address, simulator

ONE = "trn_000001"
CALL = 2.0


@dataclass
class Crowd:
    """What the callers of each gateway got: the status, and when, in seconds since the first."""

    answers: list[list[tuple[int, float]]] = field(default_factory=lambda: [[], [], []])
    calls: int = 0

    @property
    def slowest(self) -> float:
        """Seconds until the last of all was answered."""
        return max(seconds for answers in self.answers for _, seconds in answers)


@contextmanager
def three_gateways(folder: Path, redis: str) -> Iterator[tuple[str, list[Gateway]]]:
    """The upstream's address, and three replicas in front of it."""
    settings = {
        "GATEWAY_REDIS__URL": redis,
        "GATEWAY_REDIS__TIMEOUT": "1s",
        "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
    }
    with ExitStack() as stack:
        process = stack.enter_context(simulator(folder, "--trainings", "10", "--limit", "0"))
        upstream = address(process)
        gateways = [Gateway(folder, upstream, **settings) for _ in range(3)]
        for each in gateways:
            stack.enter_context(each.process)
        yield upstream, gateways


async def gather(upstream: str, gateways: list[Gateway], callers: int, *, kill: bool) -> Crowd:
    """Let so many ask at once; with `kill` the gateway that calls upstream dies in mid-call."""
    crowd = Crowd()
    limits = httpx.Limits(max_connections=None)
    async with (
        SimulatorClient(upstream) as control,
        httpx.AsyncClient(headers=CALLER, trust_env=False, timeout=60, limits=limits) as client,
    ):
        await control.latency(CALL)
        began = time.monotonic()

        async def ask(number: int) -> None:
            try:
                answer = await client.get(f"{gateways[number].data}/training/{ONE}")
                status = answer.status_code
            except httpx.TransportError:
                status = 0
            crowd.answers[number].append((status, time.monotonic() - began))

        first = asyncio.create_task(ask(0))

        async def is_called() -> bool:
            return (await control.stats()).by_id.get(ONE, 0) == 1

        if kill:
            await until(is_called)
        others = [asyncio.create_task(ask(number % 3)) for number in range(1, callers)]
        if kill:
            await asyncio.sleep(CALL / 2)
            gateways[0].process.kill()
        await asyncio.gather(first, *others)
        crowd.calls = (await control.stats()).by_id[ONE]
    return crowd
