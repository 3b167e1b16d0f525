"""Many callers for one cold training, spread over three gateways, processes of their own.

So that what is measured is the gateways, connections are open before anybody asks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.simulator import SimulatorClient
from gateway.simulator.faults import FaultMode
from tests.bench.load import cpu_seconds
from tests.integration.gateways import TOKEN, until
from tests.support.cheap_connection import Line
from tests.system.commands import Gateway, address, simulator

ONE = "trn_000001"
CALL = 0.5
CORES = 2
REQUEST = (
    f"GET /training/{ONE} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
)
PATIENCE = 60.0


@dataclass
class Crowd:
    """What became of them: the statuses for each gateway, and seconds until the last answer.

    `cost` is the seconds of CPU that gateways and callers spent: reading all requests, before
    the call could be sent, and writing all answers. While it is under way they have nothing to do.
    """

    statuses: list[set[int]] = field(default_factory=list)
    slowest: float = 0.0
    cost: float = 0.0
    calls: int = 0
    hits: float = 0.0

    @property
    def beyond(self) -> float:
        """Seconds that the last waited longer than the call and what two cores had to do."""
        return self.slowest - CALL - self.cost / CORES


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


@asynccontextmanager
async def connected(gateways: list[Gateway], callers: int) -> AsyncIterator[list[list[Line]]]:
    """So many callers, a list for each gateway."""
    groups: list[list[Line]] = [[] for _ in gateways]
    try:
        for number in range(callers):
            groups[number % 3].append(await Line.to(gateways[number % 3].data))
        yield groups
    finally:
        for group in groups:
            for caller in group:
                caller.close()


async def gather(upstream: str, gateways: list[Gateway], callers: int) -> Crowd:
    """Let so many ask at once for what nobody holds, and all once more for what all hold."""
    crowd = Crowd()
    async with SimulatorClient(upstream) as control, connected(gateways, callers) as groups:
        await control.latency(CALL)
        before = _cpu(gateways)
        crowd.slowest = await _ask_all(groups, crowd)
        crowd.cost = _cpu(gateways) - before
        crowd.calls = await _calls(control)
        crowd.hits = await _ask_all(groups, Crowd())
        assert await _calls(control) == crowd.calls
    return crowd


async def gather_and_kill(upstream: str, gateways: list[Gateway], callers: int) -> Crowd:
    """The gateway that calls upstream dies in mid-call; `slowest` counts from its death."""
    crowd = Crowd()
    async with SimulatorClient(upstream) as control, connected(gateways, callers) as groups:
        await control.fault(FaultMode.HELD)
        groups[0][0].ask(REQUEST)
        await until(lambda: _is_called(control))
        asked = asyncio.create_task(_ask_all([groups[0][1:], *groups[1:]], crowd))
        await asyncio.sleep(CALL)
        died = time.monotonic()
        gateways[0].process.kill()
        await control.clear_faults()
        await asked
        crowd.slowest = time.monotonic() - died
        crowd.calls = await _calls(control)
    return crowd


async def _ask_all(groups: list[list[Line]], crowd: Crowd) -> float:
    """Seconds until the last of all was answered."""
    began = time.monotonic()
    answers = [[caller.ask(REQUEST) for caller in group] for group in groups]
    async with asyncio.timeout(PATIENCE):
        told = [await asyncio.gather(*group) for group in answers]
    crowd.statuses = [{reply.status for reply in group} for group in told]
    return max(reply.at for group in told for reply in group) - began


def _cpu(gateways: list[Gateway]) -> float:
    return time.process_time() + sum(cpu_seconds(each.process.pid) for each in gateways)


async def _calls(control: SimulatorClient) -> int:
    return (await control.stats()).by_id.get(ONE, 0)


async def _is_called(control: SimulatorClient) -> bool:
    return await _calls(control) == 1
