"""The mode in which all replicas serve: one key, in which an operator's word is kept."""

from __future__ import annotations

from typing import Any, Final

import redis.asyncio as driver

from gateway.adapters.redis.connection import Connection
from gateway.adapters.redis.names import Names
from gateway.core.vocabulary import Mode, RedisOperation

# Renewed at each look, so that what nobody reads any more goes.
_KEEP: Final = 30 * 24 * 3600

_MODES: Final = {mode.value.encode(): mode for mode in Mode}


class RedisMode:
    """SharedMode on Redis."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection = connection
        self._name = f"{Names(prefix).prefix}:{{mode}}:m"

    async def read(self) -> Mode | None:
        """What was ordered last; None where nothing was, or what stands there is no mode."""

        async def command(client: driver.Redis) -> Mode | None:
            if await client.type(self._name) != b"string":
                return None
            raw: Any = await client.getex(self._name, ex=_KEEP)
            return None if raw is None else _MODES.get(raw)

        return await self._connection.execute(RedisOperation.MODE, command, at=self._name)

    async def write(self, mode: Mode) -> None:
        """Order it; raises RedisUnavailable."""

        async def command(client: driver.Redis) -> None:
            await client.set(self._name, mode, ex=_KEEP)

        await self._connection.execute(RedisOperation.MODE, command, at=self._name)
