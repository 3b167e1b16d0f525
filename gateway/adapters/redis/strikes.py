"""Strikes: until when all that was fetched for a partition is ruled out.

A look-up reads them beside its entries and compares; nothing is ever searched for. In a cluster
a strike is written many times over, so that it can be read from the node that has the entry:
else all that a tenant has would hang on one node.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.adapters.redis.connection import Connection
from gateway.adapters.redis.script import Script
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
        names = [self._name(partition, region) for region in self._connection.regions]
        calls = [((name,), (self._keep,)) for name in names]
        operation = RedisOperation.INVALIDATE
        await self._connection.run_many(operation, self._script, calls, lambda _: None)

    async def read(
        self, operation: RedisOperation, names: Sequence[str], keys: Sequence[Key]
    ) -> tuple[list[Any], list[float]]:
        """What stands under the names, as many for each key, and beside it when the key's
        partition was struck, on the shared clock."""
        each = len(names) // len(keys)
        beside = [self.name(key, name) for key, name in zip(keys, names[::each], strict=True)]
        strikes = list(dict.fromkeys(beside))
        reply = await self._connection.read(operation, [*names, *strikes])
        struck = {
            name: read_strike(record) - self._connection.skew(name)
            for name, record in zip(strikes, reply[len(names) :], strict=True)
        }
        return reply[: len(names)], [struck[name] for name in beside]

    def name(self, key: Key, beside: str) -> str:
        """Where the strike stands that is read beside another name of the key."""
        return self._name(key.partition, self._connection.region(beside))

    def _name(self, partition: str, region: str | None) -> str:
        if region is None:
            return f"{self._prefix}:{{{partition}}}:x"
        return f"{self._prefix}:{{{region}}}:x:{partition}"


def read_strike(record: bytes | None) -> float:
    """The time that 16 digits of microseconds mean; before all, for what is none."""
    if record is None or _STRIKE.fullmatch(record) is None:
        return -math.inf
    return int(record) / 1_000_000


def unstruck(found: Found, struck_at: float) -> Found:
    """Without a body that was fetched before its partition was struck."""
    struck_at = max(struck_at, found.struck_at)
    entry = found.entry
    if entry is not None and entry.confirmed_at <= struck_at:
        entry = None
    return Found(entry, found.floor, struck_at)


def standing_struck(standing: Standing | None, struck_at: float) -> Standing | None:
    """With the time up to which its partition is ruled out."""
    if standing is None:
        return None
    return replace(standing, struck_at=max(struck_at, standing.struck_at))
