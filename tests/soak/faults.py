"""What goes wrong in a soak, at random; each fault has what it spoils for itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

import httpx

from gateway.simulator.faults import FaultMode
from tests.soak.callers import LONGEST
from tests.soak.replica import Replica
from tests.soak.truth import ORGANISATIONS
from tests.soak.world import World

UPSTREAM = (
    FaultMode.STATUS_500,
    FaultMode.HANG,
    FaultMode.LATE,
    FaultMode.RESET,
    FaultMode.RATE_LIMITED,
    FaultMode.HTML_503,
    FaultMode.HTML_200,
    FaultMode.MALFORMED_JSON,
    FaultMode.CUT_BODY,
    FaultMode.WRONG_ID,
    FaultMode.DRIBBLE,
)
# Seconds within which a new key is known, on busy cores: the file is parsed in a process.
KNOWN_WITHIN = 60.0
# By SECURITY.md a replica goes by another file after so many seconds.
_TAKEN_WITHIN = 2.0
# Until shares are lived on after a loss, and a look more.
TOLD_AFTER = 4.0
# In which a new replica has its part of the budget.
PART_AFTER = 2.0
# Seconds for which a process stands still, as a CPU quota makes it, or a machine that swaps.
SHORT, LONG = 0.08, 5.0
# For how long a replica may rescue with what an order ruled out that it and Redis do not know of.
FORGIVEN = 60.0
# In which a replica that was cut off finds Redis again: it looks for it each half second.
_BACK_WITHIN = 2.0

Fault = Callable[[World, Random], Awaitable[None]]


async def redis_hangs(world: World, chance: Random) -> None:
    """Connections stay, and nothing is answered for up to three seconds."""
    seconds = chance.uniform(0.5, 3.0)
    async with world.alone("redis"):
        world.redis.pause()
        await asyncio.sleep(seconds)
        world.redis.resume()


async def redis_dies(world: World, chance: Random) -> None:
    """It comes back empty."""
    seconds = chance.uniform(0.2, 3.0)
    async with world.alone("redis"):
        await _all_told(world)
        world.redis.kill()
        world.truth.lose(time.monotonic())
        await asyncio.sleep(seconds)
        await asyncio.to_thread(world.redis.start)
        world.truth.lose(time.monotonic())


async def redis_is_flushed(world: World, chance: Random) -> None:
    """All keys are gone."""
    del chance
    async with world.alone("redis"):
        await _all_told(world)
        with world.redis.client() as client:
            client.flushall()
        world.truth.lose(time.monotonic())


async def redis_loses_keys(world: World, chance: Random) -> None:
    """One key or several, of any kind, as eviction takes them, a few times in a row."""
    losses = [(chance.choice((0.0, 0.1, 0.5)), chance.random()) for _ in range(5)]
    async with world.alone("redis"):
        for share, which in losses:
            await _all_told(world)
            world.truth.seen["keys lost"] += _lose(world, share, Random(which))
            world.truth.lose(time.monotonic())
            await asyncio.sleep(0.3)


def _lose(world: World, share: float, chance: Random) -> int:
    """Delete that share of all keys, one at least; how many."""
    with world.redis.client() as client:
        keys = sorted(client.keys())
        lost = chance.sample(keys, min(len(keys), max(1, round(share * len(keys)))))
        return client.delete(*lost) if lost else 0


async def upstream_fails(world: World, chance: Random) -> None:
    """In one of its ways, for a while."""
    mode, seconds = chance.choice(UPSTREAM), chance.uniform(1.0, 5.0)
    delay = {FaultMode.LATE: 1.5, FaultMode.RATE_LIMITED: 2.0}.get(mode)
    async with world.alone("upstream"):
        await world.upstream.fault(mode, delay=delay)
        await asyncio.sleep(seconds)
        await world.behave()


async def upstream_hangs_up(world: World, chance: Random) -> None:
    """It closes each connection some milliseconds after its answer, perhaps as we send again."""
    delay, seconds = chance.choice((0.0, 0.003, 0.02)), chance.uniform(2.0, 6.0)
    async with world.alone("upstream"):
        await world.upstream.clear_faults()
        await world.upstream.fault(FaultMode.HANG_UP, delay=delay)
        await asyncio.sleep(seconds)
        await world.behave()


async def replica_dies(world: World, chance: Random) -> None:
    """By SIGKILL; the first one lives on, so that its memory can be watched."""
    replica, seconds = chance.choice(world.replicas[1:]), chance.uniform(0.0, 2.0)
    async with world.alone(f"{replica.gateway.data}"):
        await _old_enough(world)
        await asyncio.to_thread(replica.kill)
        await asyncio.sleep(seconds)
        await _start(world, replica)


async def replica_is_replaced(world: World, chance: Random) -> None:
    """By SIGTERM; a caller that keeps a connection to it must not lose a request."""
    replica, seconds = chance.choice(world.replicas[1:]), chance.uniform(0.0, 2.0)
    async with world.alone(f"{replica.gateway.data}"):
        await _old_enough(world)
        wrong = await asyncio.to_thread(replica.drain)
        world.truth.wrong += [wrong] if wrong else []
        await asyncio.sleep(seconds)
        await _start(world, replica)


async def _start(world: World, replica: Replica) -> None:
    """Not while Redis is away or forgot: a new replica may then spend more than its part (see
    docs/budget.md), which the soak would take for a violation."""
    way = f"redis of {replica.gateway.data}"
    # A faulty clients file rightly stops a start.
    async with world.alone("clients"), world.alone("redis"), world.alone(way):
        await _old_enough(world)
        await asyncio.to_thread(replica.start)
        await asyncio.sleep(PART_AFTER)


async def _all_told(world: World) -> None:
    # A second loss would let the others forget the part of a replica that is cut off all along (see
    # docs/budget.md).
    lost_at = world.truth.lost_at
    while any(each.may_not_have_told(lost_at, TOLD_AFTER) for each in world.replicas):  # noqa: ASYNC110
        await asyncio.sleep(0.2)


async def _old_enough(world: World) -> None:
    # Who goes before it told a Redis that forgot takes along what it alone knew to be spent.
    await asyncio.sleep(max(0.0, world.truth.lost_at + TOLD_AFTER - time.monotonic()))


async def replica_stands_still(world: World, chance: Random) -> None:
    """Often and shortly, or once for seconds; what was asked meanwhile is answered after it."""
    replica = chance.choice(world.replicas)
    stops = [SHORT] * 20 if chance.random() < 0.5 else [chance.uniform(0.3, LONG)]
    async with world.alone(f"{replica.gateway.data}"):
        for seconds in stops:
            replica.pause()
            try:
                await asyncio.sleep(seconds)
            finally:
                replica.resume()
            await asyncio.sleep(chance.uniform(0.05, 0.2))


async def replica_is_cut_off(world: World, chance: Random) -> None:
    """It alone has no Redis: nothing comes back, or connections are refused."""
    replica = chance.choice(world.replicas)
    is_refused, seconds = chance.random() < 0.5, chance.uniform(1.0, 15.0)
    async with world.alone(f"redis of {replica.gateway.data}"):
        began = time.monotonic()
        await _cut(replica, seconds, is_refused=is_refused)
        if world.truth.lost_at >= began:
            replica.forgiven_until = time.monotonic() + FORGIVEN


async def _cut(replica: Replica, seconds: float, *, is_refused: bool) -> None:
    replica.is_cut_off, replica.cut_off_at = True, time.monotonic()
    if is_refused:
        replica.redis.kill()
    else:
        replica.redis.pause()
    try:
        await asyncio.sleep(seconds)
    finally:
        if is_refused:
            await asyncio.to_thread(replica.redis.start)
        else:
            replica.redis.resume()
        replica.forgiven_until = max(replica.forgiven_until, time.monotonic() + _BACK_WITHIN)
        replica.is_cut_off, replica.back_at = False, time.monotonic()


async def log_is_not_read(world: World, chance: Random) -> None:
    """Nobody reads what a replica writes, for longer than any answer may take."""
    replica, seconds = chance.choice(world.replicas), LONGEST + chance.uniform(2.0, 5.0)
    async with world.alone(f"log of {replica.gateway.data}"):
        replica.log.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            replica.log.resume()


async def key_rotates(world: World, chance: Random) -> None:
    """The new key is in force before callers use it, the old one until they do not."""
    client = f"{chance.choice(ORGANISATIONS)}-web"
    number = chance.randrange(10**9)
    async with world.alone("clients"):
        tenant, (old,) = world.clients.keys[client]
        new = f"gw_{tenant}-{number}"
        world.clients.keys[client] = (tenant, [new, old])
        world.clients.write()
        try:
            async with asyncio.timeout(KNOWN_WITHIN):
                await asyncio.gather(*(_know(each, new) for each in world.replicas))
        except TimeoutError:
            world.truth.wrong.append(f"a new key is not known after {KNOWN_WITHIN:g} s")
        await asyncio.sleep(
            _TAKEN_WITHIN
        )  # one that is told to end was not asked, and answers still
        world.clients.keys[client] = (tenant, [old, new])  # callers use the last one
        await asyncio.sleep(1.0)  # until nobody asks with the old one
        world.clients.keys[client] = (tenant, [new])
        world.clients.write()


async def _know(replica: Replica, key: str) -> None:
    """Return once it lets the key in, or does not run: it reads the file when it starts."""
    async with httpx.AsyncClient(base_url=replica.gateway.data, trust_env=False) as client:
        while replica.is_up and not await _lets_in(client, key):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def _lets_in(client: httpx.AsyncClient, key: str) -> bool:
    headers = {"Authorization": f"Bearer {key}"}
    try:
        answer = await client.get("/training/trn_000001", headers=headers)
    except httpx.TransportError:
        return False
    return answer.status_code != httpx.codes.UNAUTHORIZED


async def clients_file_is_faulty(world: World, chance: Random) -> None:
    """The version before it holds."""
    seconds = chance.uniform(0.5, 3.0)
    async with world.alone("clients"):
        world.clients.write(faulty=True)
        await asyncio.sleep(seconds)
        world.clients.write()


FAULTS: dict[str, Fault] = {
    each.__name__.replace("_", "-"): each
    for each in (
        redis_hangs,
        redis_dies,
        redis_is_flushed,
        redis_loses_keys,
        upstream_fails,
        upstream_hangs_up,
        replica_dies,
        replica_is_replaced,
        replica_stands_still,
        replica_is_cut_off,
        log_is_not_read,
        key_rotates,
        clients_file_is_faulty,
    )
}


class Planned(NamedTuple):
    """Which fault, after how many seconds of rest, with which chance of its own."""

    name: str
    rest: float
    chance: Random


def plan(seed: int, names: Sequence[str] = tuple(FAULTS)) -> Iterator[Planned]:
    """All of them in one order, then in another, for ever; a seed's plan is always the same."""
    chance = Random(seed)
    while True:
        for name in chance.sample(sorted(names), len(names)):
            yield Planned(name, chance.uniform(0.2, 1.5), Random(chance.random()))
