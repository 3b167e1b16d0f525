"""What a partition fetched is known by its share, and when all of that was ruled out.

There is a record from before the first fetch on, and each entry carries what it was then. A
look-up reads it beside its entries and compares; nothing is ever searched for. An invalidation
makes it another one; so does its loss, since an invalidation may have been lost with it. In a
cluster it is written many times over, so that it can be read from the node that has the entry: else
all that a partition has would hang on one node. These copies need not agree.

A fetch may go by the share that a look-up has just read: if it is another one by now, what is
fetched is ruled out, and is asked for once more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cachetools import TTLCache

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.keys import Names
from gateway.core.cache.entry import Key
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Found, Standing

_INVALIDATED_AT = re.compile(rb"\d{16}")
_SHARE = re.compile(rb"b?\d{16}")

# Seconds for which a share that was read will do for a fetch, and for which a record that was made
# to outlive all bodies is known to: as much of its time must be left then.
_READ_FOR: Final = 1.0
_KEPT_FOR: Final = 10.0
_MOST: Final = 4_096  # partitions remembered so


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside an entry of its partition: `share` None is unknown, or lost."""

    share: str | None
    struck_at: float


_NONE: Final = Beside("", -math.inf)


class PartitionInvalidations:
    """Those of one gateway; `keep` (ms) is longer than that of any body. Where callers do not
    bring tokens of their own (`are_possible`) nothing is ever invalidated so, and nothing is
    kept."""

    def __init__(
        self, connection: Connection, prefix: str, keep: int, *, are_possible: bool
    ) -> None:
        self._connection = connection
        self._names = Names(prefix)
        self._prefix = prefix
        self._keep = keep
        self._are_possible = are_possible
        self._script = Script.load("partition_invalidation", "strike", needs=["floor"])
        self._share = Script.load("partition_invalidation", "share", needs=["floor"])
        clock = connection.monotonic
        self._read: TTLCache[str, str] = TTLCache(_MOST, _READ_FOR, clock)
        self._kept: TTLCache[str, str] = TTLCache(_MOST, min(_KEPT_FOR, keep / 4_000), clock)

    async def invalidate_partition(self, partition: str) -> None:
        """Rule out all that was fetched for it up to now; raises RedisUnavailable."""
        names = [self._name(partition, region) for region in self._connection.regions]
        for name in names:
            self._read.pop(name, None)
        calls = [((name,), (self._keep,)) for name in names]
        operation = RedisOperation.INVALIDATE
        await self._connection.run_many(operation, self._script, calls, lambda _: None)

    async def share(self, key: Key, operation: RedisOperation, keep: int) -> str:
        """By what is known whatever is fetched for the key from now on, remembered for so many
        ms; raises RedisUnavailable."""
        if not self._are_possible:
            return ""
        read = self._read.get(self.name(key))
        return await self._ask(key, operation, keep) if read is None else read

    async def keep(self, key: Key, share: str, operation: RedisOperation) -> None:
        """Have the record outlive what was stored for the key under that share; raises
        RedisUnavailable."""
        if not self._are_possible:
            return
        name = self.name(key)
        if self._kept.get(name) != share:
            self._kept[name] = await self._ask(key, operation, self._keep)

    async def _ask(self, key: Key, operation: RedisOperation, keep: int) -> str:
        arguments = (keep,)
        share = await self._connection.run_script(
            operation, self._share, (self.name(key),), arguments, lambda reply: _share(reply[0])
        )
        if share is None:
            raise RedisUnavailable(operation, "nonsense")
        return share

    async def read(
        self, operation: RedisOperation, names: Sequence[str], keys: Sequence[Key]
    ) -> tuple[list[Any], list[Beside]]:
        """What stands under the names, and what stands beside each key."""
        if not self._are_possible:
            return await self._connection.read(operation, names), [_NONE] * len(keys)
        beside = [self.name(key) for key in keys]
        strikes = list(dict.fromkeys(beside))
        reply = await self._connection.read(operation, [*names, *strikes])
        told = {
            name: Beside(_share(record), read_invalidated_at(record) - self._connection.skew(name))
            for name, record in zip(strikes, reply[len(names) :], strict=True)
        }
        for name, each in told.items():
            self._note(name, each.share)
        return reply[: len(names)], [told[name] for name in beside]

    def _note(self, name: str, share: str | None) -> None:
        if share is None:
            self._read.pop(name, None)
        else:
            self._read[name] = share

    def name(self, key: Key) -> str:
        """Where the record stands that is read beside the floor of the key."""
        return self._name(key.partition, self._connection.region(self._names.floor(key)))

    def _name(self, partition: str, region: str | None) -> str:
        if region is None:
            return f"{self._prefix}:{{{partition}}}:x"
        return f"{self._prefix}:{{{region}}}:x:{partition}"


def _share(record: bytes | None) -> str | None:
    return record.decode() if record is not None and _SHARE.fullmatch(record) else None


def read_invalidated_at(record: bytes | None) -> float:
    """The time that 16 digits of microseconds mean; before all, for what is none."""
    if record is None or _INVALIDATED_AT.fullmatch(record) is None:
        return -math.inf
    return int(record) / 1_000_000


def without_invalidated(found: Found, struck_at: float) -> Found:
    """Without a body that was fetched before its partition was invalidated."""
    struck_at = max(struck_at, found.struck_at)
    entry = found.entry
    if entry is not None and entry.confirmed_at <= struck_at:
        entry = None
    return Found(entry, found.floor, struck_at)


def standing_invalidated(standing: Standing | None, struck_at: float) -> Standing | None:
    """With the time up to which its partition is ruled out."""
    if standing is None:
        return None
    return replace(standing, struck_at=max(struck_at, standing.struck_at))
