"""Whether Redis' own replicas have what was written: any of them may become the master.

Replication does not wait: what a master acknowledged is lost if it dies before it passed it on.
So who promises something asks afterwards.
"""

from __future__ import annotations

from typing import Any, Final

import redis.asyncio as driver
from redis.exceptions import ResponseError

from gateway.adapters.redis.connection import Connection
from gateway.core.status import RedisOperation
from gateway.ports import Copies

# Milliseconds for which a mark stands; nobody reads it.
_MARK_KEEP: Final = 1_000


async def secured(connection: Connection, mark: str, patience: float) -> Copies | None:
    """Wait for the replicas of Redis, so many seconds at most, and count them.

    None where there are none, or where we may not ask who they are. `mark` is a key of ours.
    """

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

    known = await connection.execute(RedisOperation.INVALIDATE, count)
    if known == 0:
        return None
    acknowledged = await connection.execute(RedisOperation.INVALIDATE, wait, asked_to_wait=patience)
    return Copies(known, min(known, acknowledged))
