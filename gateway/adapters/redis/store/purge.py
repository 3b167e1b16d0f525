"""Purging: every key that stands in Redis, or those of a partition, found and dropped.

The one step that searches. It goes by the floors: keys without one have nothing to drop, since
a fetch makes the floor before it starts.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

import redis.asyncio as driver

from gateway.adapters.redis.connect.connection import Connection, all_of
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.layout.keys import Names
from gateway.core.cache.entry import Key
from gateway.core.vocabulary import RedisOperation

_DROPPED_AT_ONCE: Final = 100
_SCANNED_AT_ONCE: Final = 500
# What changes hands while it is searched may be overlooked on both sides; then once more.
_SEARCHES: Final = 3


class Purging:
    """`drop` is the script for one key, `keep` (ms) how long the floors that it leaves last."""

    def __init__(self, connection: Connection, names: Names, drop: Script, keep: int) -> None:
        self._connection = connection
        self._names = names
        self._drop = drop
        self._keep = keep

    async def purge(self, partition: str | None, *, soft: bool) -> int:
        """Drop every key (of a partition); `soft` leaves the bodies for rescue; how many.

        Raises RedisUnavailable where a part of Redis could not be searched; the rest was.
        """
        keys: set[Key] = set()
        for _ in range(_SEARCHES):
            before = self._connection.layout
            tags = self._connection.tags
            await all_of(self._purge_at(tag, partition, keys, soft) for tag in tags)
            if not await self._connection.has_moved_since(before):
                break
        return len(keys)

    async def _purge_at(self, tag: str, partition: str | None, keys: set[Key], soft: bool) -> None:
        """Those that stand where the tag does, added to `keys`."""
        cursor = 0
        while True:
            cursor, found = await self._scan(tag, cursor, partition)
            new = found - keys
            await self._drop_all(new, soft=soft)
            keys |= new
            if cursor == 0:
                return

    async def _scan(self, tag: str, cursor: int, partition: str | None) -> tuple[int, set[Key]]:
        pattern = self._names.floors(partition)

        async def command(client: driver.Redis) -> tuple[int, set[Key]]:
            after, found = await client.scan(cursor, match=pattern, count=_SCANNED_AT_ONCE)
            return int(after), {key for name in found if (key := self._names.key_of(name))}

        there = self._names.mark(tag)
        return await self._connection.execute(RedisOperation.INVALIDATE, command, at=there)

    async def _drop_all(self, keys: set[Key], *, soft: bool) -> None:
        rest = iter(keys)
        while some := list(islice(rest, _DROPPED_AT_ONCE)):
            calls = [(self._names.judged(key), (self._keep, int(soft))) for key in some]
            await self._connection.run_many(
                RedisOperation.INVALIDATE, self._drop, calls, lambda _: None
            )
