"""Whether Redis' own replicas have what was written: any of them may become the master.

Replication does not wait: what a master acknowledged is lost if it dies before it passed it on.
So who promises something asks afterwards, in a cluster each of its masters.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import redis.asyncio as driver
from redis.exceptions import ResponseError

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.layout.keys import Names
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Copies

# Milliseconds for which a mark stands; nobody reads it.
_MARK_KEEP: Final = 1_000


async def secured(connection: Connection, names: Names, patience: float) -> Copies | None:
    """Wait for the replicas of Redis, so many seconds at most, and count them.

    None where there are none, or where we may not ask who they are.
    """
    marks = map(names.mark, connection.tags)
    counted = await asyncio.gather(
        *(_secured(connection, mark, patience) for mark in marks), return_exceptions=True
    )
    known = acknowledged = 0
    for copies in counted:
        if isinstance(copies, BaseException):
            raise copies
        known += copies.known
        acknowledged += copies.acknowledged
    return Copies(known, acknowledged) if known else None


async def _secured(connection: Connection, mark: str, patience: float) -> Copies:
    """Those of the master where the mark stands."""

    async def count(client: Any) -> int:
        try:
            role = await client.execute_command("ROLE")
        except ResponseError:
            return 0
        return len(role[2])

    async def wait(client: driver.Redis) -> int:
        # Redis waits for what this connection wrote: a mark, behind all that others did.
        async with client.pipeline(transaction=False) as pipe:
            pipe.set(mark, b"", px=_MARK_KEEP)
            pipe.wait(known, round(patience * 1000))
            _, acknowledged = await pipe.execute()
        return int(acknowledged)

    known = await connection.execute(RedisOperation.INVALIDATE, count, at=mark)
    if known == 0:
        return Copies(0, 0)
    acknowledged = await connection.execute(
        RedisOperation.INVALIDATE, wait, at=mark, asked_to_wait=patience
    )
    return Copies(known, min(known, acknowledged))
