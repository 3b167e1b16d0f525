"""ListStore on Redis: one pipeline holds a page of the list against what is known.

Each training by its own step, whose keys share a slot; the rules are in lua/sweep.lua.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.adapters.redis.connect.clock_offsets import of_floor
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.layout.key_state import encode_renewed, read_standing
from gateway.adapters.redis.layout.keys import Names
from gateway.adapters.redis.layout.records import micros, version
from gateway.core.cache.entry import Key
from gateway.core.instant import Instant
from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Compared


class RedisLists:
    """Floors and bodies of RedisStore; `longest_keep` (seconds) is RedisStore's as well."""

    def __init__(self, connection: Connection, prefix: str, *, longest_keep: float) -> None:
        self._connection = connection
        self._names = Names(prefix)
        self._longest_keep = longest_keep
        self._compare = Script.load("sweep", "compare", needs=["floor", "doubt"])
        self._take_back = Script.load("sweep", "take_back", needs=["floor"])

    async def compare(self, partition: str, items: Sequence[Listed], keep: float) -> list[Compared]:
        """Hold a page against what is known, in one round trip a node; see `compare` in sweep.lua.

        Times are those of the node where a training stands, as in store.py.
        """
        body_keep = max(1, int(min(keep, self._longest_keep) * 1000))
        floor_keep = self._floor_keep
        keys = [Key(partition, item.training_id) for item in items]
        skews = [self._connection.skew(self._names.floor(key)) for key in keys]
        there = [
            replace(item, confirmed_at=item.confirmed_at + skew)
            for item, skew in zip(items, skews, strict=True)
        ]
        calls = [
            (
                self._names.judged(key),
                (
                    version(item.updated_at),
                    micros(item.confirmed_at),
                    int(item.is_ahead),
                    encode_renewed(item),
                    body_keep,
                    floor_keep,
                ),
            )
            for key, item in zip(keys, there, strict=True)
        ]
        told = await self._connection.run_many(RedisOperation.SWEEP, self._compare, calls, _read)
        return [
            replace(each, floor=of_floor(each.floor, skew))
            for each, skew in zip(told, skews, strict=True)
        ]

    async def take_back(self, key: Key, updated_at: Instant) -> bool:
        """No longer know a version that the list alone claimed; see `take_back` in sweep.lua."""
        return await self._connection.run_script(
            RedisOperation.SWEEP,
            self._take_back,
            self._names.touched(key)[:2],
            (version(updated_at), self._floor_keep),
            lambda reply: int(reply[0]) == 1,
        )

    @property
    def _floor_keep(self) -> int:
        return int(2 * self._longest_keep * 1000)


def _read(reply: Sequence[Any]) -> Compared:
    said, record, held = reply
    standing = read_standing(record) if record else None
    verdict, is_held = ListVerdict(said.decode()), int(held) == 1
    if standing is None:
        return Compared(verdict, None, is_held)
    return Compared(verdict, standing.floor, is_held, standing.last)
