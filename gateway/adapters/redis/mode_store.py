"""The mode of all replicas, as an operator ordered it. Two keys in Redis store the order."""

from __future__ import annotations

import re
from typing import Any, Final

import redis.asyncio as driver

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.keys import Names
from gateway.core.vocabulary import Mode, RedisOperation
from gateway.ports import ModeOrder

# The expiry in seconds. Each read renews it, so Redis drops only keys that no gateway reads.
_KEEP: Final = 30 * 24 * 3600

_MODES: Final = {mode.value.encode(): mode for mode in Mode}
# The mode, the time in seconds, the name of the operator.
_ORDER: Final = re.compile(rb"([a-z]+) ([0-9]{1,12}\.[0-9]{3}) ([A-Za-z0-9._-]{1,64})")


class RedisMode:
    """SharedMode on Redis. One key has the mode. Another key has the mode, time and operator of the
    order.

    Earlier releases write only the first key. If the two modes differ, the second key is ignored.
    """

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection = connection
        self._name = f"{Names(prefix).prefix}:{{mode}}:m"
        self._beside = f"{Names(prefix).prefix}:{{mode}}:o"

    async def read(self) -> ModeOrder | None:
        """As `SharedMode.read`. A value that is no mode counts as no order."""

        async def command(client: driver.Redis) -> ModeOrder | None:
            mode = _MODES.get(await _text(client, self._name))
            return None if mode is None else _order(mode, await _text(client, self._beside))

        return await self._connection.execute(RedisOperation.MODE, command)

    async def write(self, order: ModeOrder) -> None:
        is_known = order.at is not None and order.by is not None
        beside = f"{order.mode} {order.at:.3f} {order.by}" if is_known else "-"

        async def command(client: driver.Redis) -> None:
            await client.set(self._beside, beside, ex=_KEEP)
            await client.set(self._name, order.mode, ex=_KEEP)

        await self._connection.execute(RedisOperation.MODE, command)


async def _text(client: driver.Redis, name: str) -> bytes:
    """The string under this key, empty if there is none. Renews the expiry."""
    if await client.type(name) != b"string":
        return b""
    raw: Any = await client.getex(name, ex=_KEEP)
    return raw or b""


def _order(mode: Mode, beside: bytes) -> ModeOrder:
    match = _ORDER.fullmatch(beside)
    if match is None or match[1] != mode.value.encode():
        return ModeOrder(mode)
    return ModeOrder(mode, float(match[2]), match[3].decode())
