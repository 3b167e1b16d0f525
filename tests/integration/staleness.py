"""How old the answers of a replica are that hears little of the others, as seen from outside."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import httpx

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.doubles.proxy import BusProxy
from tests.integration.gateways import Planes, apart, until
from tests.integration.replicas import hears, number_of, replicas
from tests.support.servers import KNOWN

ONE = "trn_000001"
L1_LIFETIME = 0.4
LIFETIME = 60.0
SETTINGS = {"l1__lifetime": f"{L1_LIFETIME}s", "freshness__lifetime": f"{LIFETIME}s"}
# Where Redis is away as well, the entry's own freshness is all there is.
SHORT = {
    **SETTINGS,
    "freshness__lifetime": "500ms",
    "freshness__stale_while_revalidate": "500ms",
    "freshness__soft_wait": "5s",
}
SHORT_WINDOWS = 1.0


@dataclass
class Truth:
    """When each version was published, and when the one before it was ruled out in Redis."""

    published: dict[int, float] = field(default_factory=dict)
    ruled_out: dict[int, float] = field(default_factory=dict)
    answers: list[tuple[float, int]] = field(default_factory=list, repr=False)

    def staleness(self, since: dict[int, float]) -> float:
        """The longest time since the version after it that an answer was asked for."""
        return max((sent - since[n + 1] for sent, n in self.answers if n + 1 in since), default=0.0)


async def bus_troubled(
    upstream: RunningSimulator, control: SimulatorClient, redis: str, trouble: str, seconds: float
) -> Truth:
    """Edit and invalidate at one replica while another one's bus is cut, mute or mangled."""
    async with (
        BusProxy(redis) as proxy,
        replicas(upstream.base_url, [redis, proxy.url], **SETTINGS) as (one, other),
    ):
        _begin(proxy, trouble)
        truth = await _edit_and_read(control, one, other, seconds)
        assert proxy.spoilt > 0 if trouble != "cut" else not await hears(other)
        proxy.mend()
        await until(lambda: hears(other))
        await until(lambda: _is_confirmed(one))
        return truth


async def redis_cut(
    upstream: RunningSimulator, control: SimulatorClient, redis: str, seconds: float
) -> Truth:
    """The same while the other replica reaches no Redis at all."""
    async with (
        BusProxy(redis, whole=True) as proxy,
        replicas(upstream.base_url, [redis, proxy.url], **SHORT) as (one, other),
    ):
        await asyncio.sleep(KNOWN)
        proxy.cut()
        truth = await _edit_and_read(control, one, other, seconds)
        proxy.mend()
        await until(lambda: hears(other))
        await until(lambda: _is_confirmed(one))
        return truth


def _begin(proxy: BusProxy, trouble: str) -> None:
    match trouble:
        case "cut":
            proxy.cut()
        case "mute":
            proxy.mute = True
        case _:
            proxy.chance = 0.6


async def _edit_and_read(
    control: SimulatorClient, one: Planes, other: Planes, seconds: float
) -> Truth:
    truth = Truth()
    reading = asyncio.create_task(_read(other, truth))
    orders: list[asyncio.Task[httpx.Response]] = []
    until_then = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until_then:
        number += 1
        await control.edit(ONE, f"{number}")
        truth.published[number] = time.monotonic()
        order = one.admin.post("/invalidate", json={"ids": [ONE]})
        orders.append(asyncio.create_task(order))
        # Redis acts first: as soon as this replica answers anew, the old version is ruled out.
        while number_of(await one.get(ONE)) < number:
            pass
        truth.ruled_out[number] = time.monotonic()
        await asyncio.sleep(0.6)
    reading.cancel()
    await asyncio.wait({reading})
    answers = await asyncio.gather(*orders)
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert len(truth.answers) > 10 * seconds
    return truth


async def _read(planes: Planes, truth: Truth) -> None:
    async with apart(planes) as own:
        while True:
            sent = time.monotonic()
            answer = await own.get(ONE)
            assert answer.status_code == 200, answer.text
            truth.answers.append((sent, number_of(answer)))
            await asyncio.sleep(0.005)


async def _is_confirmed(planes: Planes) -> bool:
    answer = await planes.admin.post("/invalidate", json={"ids": [ONE]})
    return bool(answer.json() == {"replicas": {"known": 2, "confirmed": 2}})
