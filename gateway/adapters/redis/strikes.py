"""Strikes: until when all that was fetched for a partition is ruled out, one key each.

A look-up reads them beside its entries and compares; nothing is ever searched for.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import redis.asyncio as driver

from gateway.adapters.redis.connection import Connection, Script
from gateway.core.entry import Key
from gateway.core.status import RedisOperation
from gateway.ports import Found, Standing

_STRIKE = re.compile(rb"\d{16}")


class Strikes:
    """Those of one gateway; `keep` (ms) is longer than that of any body."""

    def __init__(self, connection: Connection, prefix: str, keep: int) -> None:
        self._connection = connection
        self._prefix = prefix
        self._keep = keep
        self._script = Script.load("floor", "strike")

    async def strike(self, partition: str) -> None:
        """Rule out all that was fetched for it up to now; raises RedisUnavailable."""
        names, options = (self._name(partition),), (self._keep,)
        await self._connection.run_script(
            RedisOperation.INVALIDATE, self._script, names, options, lambda _: None
        )

    async def read(
        self, client: driver.Redis, names: list[str], keys: list[Key]
    ) -> tuple[list[Any], list[float]]:
        """What stands under the names, and beside it when each key's partition was struck."""
        partitions = list(dict.fromkeys(key.partition for key in keys))
        reply: list[Any] = await client.mget([*names, *map(self._name, partitions)])
        strikes = map(read_strike, reply[len(names) :])
        struck = dict(zip(partitions, strikes, strict=True))
        return reply[: len(names)], [struck[key.partition] for key in keys]

    def _name(self, partition: str) -> str:
        return f"{self._prefix}:{{{partition}}}:x"


def read_strike(record: bytes | None) -> float:
    """The time that 16 digits of microseconds mean; before all, for what is none."""
    if record is None or _STRIKE.fullmatch(record) is None:
        return -math.inf
    return int(record) / 1_000_000


def unstruck(found: Found, struck_at: float) -> Found:
    """Without a body that was fetched before its partition was struck."""
    entry = found.entry
    if entry is not None and entry.confirmed_at <= struck_at:
        entry = None
    return Found(entry, found.floor, struck_at)


def standing_struck(standing: Standing | None, struck_at: float) -> Standing | None:
    """With the time up to which its partition is ruled out."""
    return None if standing is None else replace(standing, struck_at=struck_at)
