"""An order, then keys of Redis that are lost, as an eviction loses them, then callers of two
gateways: no answer may be one that the order ruled out."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import redis.asyncio as driver

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.doubles.proxy import BusProxy
from tests.integration.gateways import Planes
from tests.integration.replicas import number_of, replicas
from tests.support.redis_acl import without
from tests.support.servers import RedisServer

ONE, OTHER = "trn_000001", "trn_000002"
L1_LIFETIME = 0.2
LONG = {"freshness__lifetime": "10m", "l1__lifetime": "10m", "log__level": "error"}
BRIEF = LONG | {"l1__lifetime": f"{L1_LIFETIME}s"}

Lost = list[bytes]
Choose = Callable[[random.Random, int, Lost], Lost]


def each_key(_chance: random.Random, number: int, keys: Lost) -> Lost:
    """One key after the other."""
    return [keys[number % len(keys)]]


def some_keys(chance: random.Random, _number: int, keys: Lost) -> Lost:
    """Any set of keys."""
    return chance.sample(keys, chance.randint(1, len(keys)))


@dataclass
class Losing:
    """Rounds of order, loss and questions; `old` are the answers that may not be."""

    planes: list[Planes]
    control: SimulatorClient
    redis: driver.Redis
    chance: random.Random
    rounds: Counter[str] = field(default_factory=Counter)
    lost: set[bytes] = field(default_factory=set)
    old: list[str] = field(default_factory=list)
    _edits: int = 0

    async def run(self, order: str, number: int, choose: Choose) -> None:
        """One round; where not all confirmed, once what they hold has to be asked about."""
        if order == "revoked":
            await self._revoked(number, choose)
            return
        first = await self._edit()
        await asyncio.gather(*(planes.get(ONE) for planes in self.planes))
        edited = await self.control.edit(ONE, f"{first + 1}")
        self._edits = first + 1
        status = await self._order(order, edited["updated_at"])
        await self._lose(number, choose)
        if status == 202:
            await asyncio.sleep(1.25 * L1_LIFETIME)
        for planes in self.chance.sample(self.planes, len(self.planes)):
            answer = await planes.get(ONE)
            assert answer.status_code == 200, answer.text
            if number_of(answer) <= first:
                self.old.append(f"{order} {status}: {answer.headers['cache-status']}")
        self.rounds[f"{order} {status}"] += 1

    async def _edit(self) -> int:
        """A version that both tiers of both gateways hold, unless keys were lost: its number."""
        self._edits += 1
        edited = await self.control.edit(ONE, f"{self._edits}")
        await self._order("bound", edited["updated_at"])
        return self._edits

    async def _order(self, order: str, updated_at: object) -> int:
        admin = self.chance.choice(self.planes[:1] if order == "deaf" else self.planes).admin
        match order:
            case "bound":
                words: dict[str, object] = {"ids": [ONE], "updated_at": updated_at}
            case "purge" | "soft purge":
                words = {"soft": order == "soft purge"}
            case _:
                words = {"ids": [ONE]}
        answer = await admin.post("/purge" if "soft" in words else "/invalidate", json=words)
        assert answer.status_code in (200, 202), answer.text
        return answer.status_code

    async def _revoked(self, number: int, choose: Choose) -> None:
        """A token that the API refuses: whatever it stored is ended."""
        bearer = {"Authorization": f"Bearer token-{number}-{self.chance.random()}"}
        token = bearer["Authorization"].split()[1]
        await self.control.add_key(token)
        for planes in self.planes:
            answer = await planes.data.get(f"/training/{ONE}", headers=bearer)
            assert answer.status_code == 200, answer.text
        await self.control.revoke_key(token)
        refused = await self.planes[0].data.get(f"/training/{OTHER}", headers=bearer)
        assert refused.status_code == 401
        await self._lose(number, choose)
        await asyncio.sleep(1.25 * L1_LIFETIME)  # a notice is not waited for
        for planes in self.planes:
            answer = await planes.data.get(f"/training/{ONE}", headers=bearer)
            if answer.status_code != 401:
                self.old.append(f"revoked: {answer.headers.get('cache-status')}")
        self.rounds["revoked"] += 1

    async def _lose(self, number: int, choose: Choose) -> None:
        keys: Lost = sorted(await self.redis.keys("gateway:*"))  # type: ignore[arg-type]
        lost = choose(self.chance, number, keys)
        self.lost.update(lost)
        await self.redis.delete(*lost)


async def evict_records(
    upstream: RunningSimulator, control: SimulatorClient, server: RedisServer, *, rounds: int
) -> tuple[int, list[str]]:
    """Orders for many trainings at a Redis without room, which evicts until a third of what it had
    is gone; how many keys it evicted in all, and the old answers."""
    ids = [f"trn_{number:06d}" for number in range(1, 41)]
    old: list[str] = []
    async with (
        driver.Redis.from_url(without(server.url), socket_timeout=60.0) as redis,
        replicas(upstream.base_url, [server.url] * 2, **LONG) as planes,
    ):
        for number in range(1, rounds + 1):
            await asyncio.gather(*(each.get(one) for one in ids for each in planes))
            await asyncio.gather(*(control.edit(one, f"{number}") for one in ids))
            ordered = await planes[number % 2].admin.post("/invalidate", json={"ids": ids})
            assert ordered.status_code in {200, 202}  # 202: the record of the replicas was evicted
            await _evict(redis)
            for each in planes:
                answers = await asyncio.gather(*map(each.get, ids))
                old += [each.text for each in answers if number_of(each) < number]
        evicted = int((await redis.info("stats"))["evicted_keys"])
    return evicted, old


async def _evict(redis: driver.Redis) -> None:
    """Fill it with what nobody wants, until much of what is wanted is gone."""
    before = len(await redis.keys("gateway:*"))
    used = int((await redis.info("memory"))["used_memory"])
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    # So that it takes any key, not just one of the oldest: what an order wrote is the newest.
    await redis.config_set("maxmemory-samples", 1)
    await redis.config_set("maxmemory", used + 20_000)
    for number in range(2_000):
        await redis.set(f"noise:{number}", b"x" * 1_000)
        if number % 20 == 0 and len(await redis.keys("gateway:*")) < before * 2 / 3:
            break
    await redis.config_set("maxmemory", 0)
    await redis.delete(*(await redis.keys("noise:*") or [b"noise"]))


async def lose_records(
    upstream: RunningSimulator,
    control: SimulatorClient,
    url: str,
    orders: list[str],
    *,
    choose: Choose,
    rounds: int,
) -> Losing:
    """So many rounds, whose orders come in turn; "deaf": one gateway hears of none."""
    deaf = "deaf" in orders
    async with (
        BusProxy(url) as proxy,
        driver.Redis.from_url(without(url), socket_timeout=60.0) as redis,
        replicas(
            upstream.base_url,
            [url, proxy.url if deaf else url],
            **(BRIEF if deaf or "revoked" in orders else LONG),
        ) as planes,
    ):
        proxy.mute = deaf
        losing = Losing(planes, control, redis, random.Random(rounds))
        for number in range(rounds):
            await losing.run(orders[number % len(orders)], number // len(orders), choose)
        return losing
