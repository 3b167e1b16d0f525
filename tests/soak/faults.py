"""What goes wrong in a soak, one thing after another, at random."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random

from gateway.simulator.faults import FaultMode
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
# The file is read twice a second, and taken when two looks in a row found the same.
KNOWN_AFTER = 3.0
# Until shares are lived on after a loss, and a look more.
TOLD_AFTER = 4.0

Fault = Callable[[World, Random], Awaitable[None]]


async def redis_hangs(world: World, chance: Random) -> None:
    """Connections stay, and nothing is answered."""
    world.redis.pause()
    await asyncio.sleep(chance.uniform(0.5, 3.0))
    world.redis.resume()


async def redis_dies(world: World, chance: Random) -> None:
    """It comes back empty."""
    world.redis.kill()
    await asyncio.sleep(chance.uniform(0.2, 3.0))
    await asyncio.to_thread(world.redis.start)
    world.lost_at = time.monotonic()


async def redis_is_flushed(world: World, chance: Random) -> None:
    """All keys are gone."""
    del chance
    with world.redis.client() as client:
        client.flushall()
    world.lost_at = time.monotonic()


async def upstream_fails(world: World, chance: Random) -> None:
    """In one of its ways, for a while."""
    mode = chance.choice(UPSTREAM)
    delay = {FaultMode.LATE: 1.5, FaultMode.RATE_LIMITED: 2.0}.get(mode)
    await world.upstream.fault(mode, delay=delay)
    await asyncio.sleep(chance.uniform(1.0, 5.0))
    await world.behave()


async def replica_dies(world: World, chance: Random) -> None:
    """By SIGKILL; the first one lives on, so that its memory can be watched."""
    await _leave(world, chance, kill=True)


async def replica_is_replaced(world: World, chance: Random) -> None:
    """By SIGTERM."""
    await _leave(world, chance, kill=False)


async def _leave(world: World, chance: Random, *, kill: bool) -> None:
    # Who goes before it told a Redis that forgot takes along what it alone knew to be spent.
    await asyncio.sleep(max(0.0, world.lost_at + TOLD_AFTER - time.monotonic()))
    replica = chance.choice(world.replicas[1:])
    replica.is_up = False
    process = replica.gateway.process
    await asyncio.to_thread(process.kill if kill else process.stop)
    await asyncio.sleep(chance.uniform(0.0, 2.0))
    await asyncio.to_thread(replica.start)


async def key_rotates(world: World, chance: Random) -> None:
    """The new key is in force before callers use it, the old one until they do not."""
    client = f"{chance.choice(ORGANISATIONS)}-web"
    tenant, (old,) = world.clients.keys[client]
    new = f"gw_{tenant}-{chance.randrange(10**9)}"
    world.clients.keys[client] = (tenant, [new, old])
    world.clients.write()
    await asyncio.sleep(KNOWN_AFTER)
    world.clients.keys[client] = (tenant, [old, new])  # callers use the last one
    await asyncio.sleep(KNOWN_AFTER)
    world.clients.keys[client] = (tenant, [new])
    world.clients.write()


async def clients_file_is_faulty(world: World, chance: Random) -> None:
    """The version before it holds."""
    world.clients.write(faulty=True)
    await asyncio.sleep(chance.uniform(0.5, 3.0))
    world.clients.write()


FAULTS: tuple[Fault, ...] = (
    redis_hangs,
    redis_dies,
    redis_is_flushed,
    upstream_fails,
    upstream_fails,
    replica_dies,
    replica_is_replaced,
    key_rotates,
    clients_file_is_faulty,
)
