"""Invalidates whole partitions, by means of a record in Redis: the *share* of the partition.

Each entry is stored with the share that was read when its fetch began. An invalidation replaces the
share. A look-up does not return entries with another share, so an invalidation does not have to
search for entries. If Redis loses the share, an invalidation is perhaps lost with it. So the next
fetch makes a different share.

A fetch can use a share that a look-up has just read. If the share was replaced meanwhile, no later
look-up finds the response of the fetch.
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
# A share is the time at which it was made, in microseconds. If a fetch made the share, `b` stands
# before the time.
_SHARE = re.compile(rb"b?\d{16}")

_READ_FOR: Final = 1.0  # seconds for which a fetch can use a share that was read
# The method `keep` renews the expiry of a share at most once in this number of seconds (or in a
# quarter of the share's life, if that is shorter).
_KEPT_FOR: Final = 10.0
_MOST: Final = 4_096  # shares that are remembered


@dataclass(frozen=True, slots=True)
class PartitionState:
    """The share of a partition, as a look-up read it (None: lost), and when the partition was last
    invalidated (-inf: not known)."""

    share: str | None
    struck_at: float


_WITHOUT_SHARE: Final = PartitionState("", -math.inf)


class PartitionInvalidations:
    """Invalidates partitions, and reads and renews their shares.

    A share lives for `keep` ms, longer than any body. `are_possible` is True if callers bring their
    own tokens, so that a 401 invalidates a partition. If it is False, no shares are used.
    """

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
        """As `SharedStore.invalidate_partition`. Raises RedisUnavailable."""
        name = self._name(partition)
        self._read.pop(name, None)
        await self._connection.run_script(
            RedisOperation.INVALIDATE, self._script, (name,), (self._keep,), lambda _: None
        )

    async def share(self, key: Key, operation: RedisOperation, keep: int) -> str:
        """The share for a fetch that begins now ("": no shares are used). If no look-up has just
        read the share, Redis is asked, and keeps the share for at least `keep` ms. Raises
        RedisUnavailable."""
        if not self._are_possible:
            return ""
        read = self._read.get(self._name(key.partition))
        return await self._ask(key, operation, keep) if read is None else read

    async def keep(self, key: Key, share: str, operation: RedisOperation) -> None:
        """Make the share live longer than an entry that was just stored with it. Raises
        RedisUnavailable."""
        if not self._are_possible:
            return
        name = self._name(key.partition)
        if self._kept.get(name) != share:
            self._kept[name] = await self._ask(key, operation, self._keep)

    async def _ask(self, key: Key, operation: RedisOperation, keep: int) -> str:
        arguments = (keep,)
        share = await self._connection.run_script(
            operation,
            self._share,
            (self._name(key.partition),),
            arguments,
            lambda reply: _share(reply[0]),
        )
        if share is None:
            raise RedisUnavailable(operation, "its reply has no share")
        return share

    async def read(
        self, operation: RedisOperation, names: Sequence[str], keys: Sequence[Key]
    ) -> tuple[list[Any], list[PartitionState]]:
        """The records with these names, and for each key the state of its partition."""
        if not self._are_possible:
            return await self._connection.read(operation, names), [_WITHOUT_SHARE] * len(keys)
        share_names = [self._name(key.partition) for key in keys]
        distinct = list(dict.fromkeys(share_names))
        reply = await self._connection.read(operation, [*names, *distinct])
        told = {
            name: PartitionState(_share(record), read_invalidated_at(record))
            for name, record in zip(distinct, reply[len(names) :], strict=True)
        }
        for name, each in told.items():
            self._note(name, each.share)
        return reply[: len(names)], [told[name] for name in share_names]

    def _note(self, name: str, share: str | None) -> None:
        if share is None:
            self._read.pop(name, None)
        else:
            self._read[name] = share

    def _name(self, partition: str) -> str:
        return f"{self._prefix}:{{{partition}}}:x"


def _share(record: bytes | None) -> str | None:
    return record.decode() if record is not None and _SHARE.fullmatch(record) else None


def read_invalidated_at(record: bytes | None) -> float:
    """The time (seconds) of the invalidation that made the share in `record`. -inf if a fetch made
    the share, or if there is no share."""
    if record is None or _INVALIDATED_AT.fullmatch(record) is None:
        return -math.inf
    return int(record) / 1_000_000


def without_invalidated(found: Found, struck_at: float) -> Found:
    """The result of a look-up, after an invalidation of the partition at `struck_at`. An entry that
    was last confirmed at that time or earlier is left out."""
    struck_at = max(struck_at, found.struck_at)
    entry = found.entry
    if entry is not None and entry.confirmed_at <= struck_at:
        entry = None
    return Found(entry, found.floor, struck_at)


def standing_invalidated(standing: Standing | None, struck_at: float) -> Standing | None:
    """The state, after an invalidation of the partition at `struck_at`."""
    if standing is None:
        return None
    return replace(standing, struck_at=max(struck_at, standing.struck_at))
