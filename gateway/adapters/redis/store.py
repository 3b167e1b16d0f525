"""SharedStore on Redis: bodies and version floors that all replicas see.

The rules are in lua/store.lua. The last orders about a training are in a record of their own, the
event. Look-ups apply it to the floor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from gateway.adapters.redis.connect.batching import Gathering
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.key_state import encode_last, read_found, standing_after
from gateway.adapters.redis.keys import Names
from gateway.adapters.redis.partition_invalidation import (
    PartitionInvalidations,
    standing_invalidated,
    without_invalidated,
)
from gateway.adapters.redis.records import (
    EPOCH_LENGTH,
    encode,
    micros,
    of_share,
    read_floor,
    version,
)
from gateway.core.cache.entry import Entry, Floor, Key, Ticket
from gateway.core.errors import RedisUnavailable
from gateway.core.instant import Instant
from gateway.core.vocabulary import RedisOperation, StoreVerdict
from gateway.ports import Found, Observer, Standing, Stored

# The most keys of one round trip. A longer reply would perhaps come too late. A reply to look-ups
# has bodies, a reply to confirmations has none.
_LOOKED_UP_AT_ONCE = 200
_CONFIRMED_AT_ONCE = 500


class RedisStore:
    """Bodies and version floors in Redis, both with an expiry.

    longest_keep   most seconds for which a body is kept. A floor or an event is kept twice as long,
                   so that it outlives the bodies that it ruled out
    longest_fetch  most seconds from `begin` to `store`. `begin` keeps a new floor for twice this
                   time, and not for longer, so that fetches that store nothing take little memory
    entropy        makes the epoch of a new floor: 16 hex digits, never those of a lost floor
    believe_after  seconds; see core/cache/version_verdict.py

    If Redis loses a floor or an event, no look-up finds the bodies that this record has perhaps
    ruled out. For `has_partition_invalidations` see `are_possible` of PartitionInvalidations.
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        observer: Observer,
        *,
        longest_keep: float,
        longest_fetch: float,
        entropy: Callable[[], str],
        believe_after: float = 60.0,
        has_partition_invalidations: bool = True,
    ) -> None:
        self._connection = connection
        self._names = Names(prefix)
        self._observer = observer
        self._longest_keep = longest_keep
        self._floor_keep = _milliseconds(2 * longest_keep)
        self._fetch_keep = _milliseconds(2 * longest_fetch)
        self._entropy = entropy
        self._believe_after = round(believe_after * 1_000_000)
        self._lookups = Gathering(lambda _: RedisOperation.LOOKUP, self._read, _LOOKED_UP_AT_ONCE)
        self._confirms = Gathering(
            lambda _: RedisOperation.CONFIRM, self._read_floors, _CONFIRMED_AT_ONCE
        )
        self._begin = Script.load("store", "begin", needs=["floor"])
        self._store = Script.load("store", "store", needs=["floor"])
        self._drop = Script.load("store", "drop", needs=["floor"])
        self._invalidate_key = Script.load("store", "invalidate_key", needs=["floor"])
        self._invalidate = Script.load("store", "invalidate", needs=["floor"])
        self.partition_invalidations = PartitionInvalidations(
            connection, prefix, self._floor_keep, are_possible=has_partition_invalidations
        )

    @property
    def is_up(self) -> bool:
        """Whether Redis is up."""
        return self._connection.is_up

    @property
    def holds_bodies(self) -> bool:
        """Always True."""
        return True

    def lookup(self, key: Key) -> asyncio.Future[Found]:
        if self.is_up:
            return self._lookups.ask(key)
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        answer.set_exception(RedisUnavailable(RedisOperation.LOOKUP, "it is away"))
        return answer

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Standing | None]:
        if keys and not self.is_up:
            raise RedisUnavailable(RedisOperation.CONFIRM, "it is away")
        standings = await asyncio.gather(*map(self._confirms.ask, keys))
        return dict(zip(keys, standings, strict=True))

    async def begin(self, key: Key) -> Ticket:
        def read(reply: Sequence[Any]) -> tuple[Floor | None, float]:
            return read_floor(reply[0]), int(reply[1]) / 1_000_000

        share = await self.partition_invalidations.share(
            key, RedisOperation.BEGIN, self._fetch_keep
        )
        floor, started = await self._connection.run_script(
            RedisOperation.BEGIN,
            self._begin,
            self._names.touched(key),
            (self._entropy(), self._fetch_keep),
            read,
        )
        if floor is None:
            raise RedisUnavailable(RedisOperation.BEGIN, "its reply has no floor")
        return Ticket(floor.epoch + share, floor.generation, started)

    async def store(self, key: Key, entry: Entry, keep: float) -> Stored:
        """As `SharedStore.store`. The script in store.lua decides whether the entry is stored.

        If store.lua now believes a version that it refused before, the floor gets a new generation.
        The entry is then offered again, with that generation.
        """
        stored = await self._offer(key, entry, keep)
        # If this fails, the share can expire before the entry. That is harmless: no look-up then
        # finds the entry.
        with suppress(RedisUnavailable):
            share = entry.epoch[EPOCH_LENGTH:]
            await self.partition_invalidations.keep(key, share, RedisOperation.STORE)
        if stored.verdict is not StoreVerdict.BELIEVED or stored.floor is None:
            return stored
        entry = entry.but(generation=stored.floor.generation)
        again = await self._offer(key, entry, keep)
        return again if again.verdict.is_refusal else Stored(StoreVerdict.BELIEVED, again.floor)

    async def _offer(self, key: Key, entry: Entry, keep: float) -> Stored:
        share = entry.epoch[EPOCH_LENGTH:]

        def read(reply: Sequence[Any]) -> Stored:
            floor = read_floor(reply[1])
            known = None if floor is None else of_share(floor, share)
            return Stored(StoreVerdict(reply[0].decode()), known)

        return await self._connection.run_script(
            RedisOperation.STORE,
            self._store,
            self._names.judged(key),
            (
                entry.epoch[:EPOCH_LENGTH],
                entry.generation,
                version(entry.updated_at),
                "n" if entry.updated_at is None else "v",
                entry.digest,
                micros(entry.confirmed_at),
                encode(key, entry),
                _milliseconds(min(keep, self._longest_keep)),
                self._floor_keep,
                int(entry.is_ahead),
                self._believe_after,
                encode_last(entry),
            ),
            read,
        )

    async def drop(self, key: Key) -> None:
        """Raise the generation, forget the version and remove the body of one key."""
        await self._connection.run_script(
            RedisOperation.INVALIDATE,
            self._drop,
            self._names.judged(key),
            (self._floor_keep, 0),
            lambda _: None,
        )

    async def invalidate(
        self, training_id: str, updated_at: int | None, *, soft: bool = False
    ) -> None:
        await self._connection.run_script(
            RedisOperation.INVALIDATE,
            self._invalidate,
            (self._names.event(training_id),),
            (_bound(updated_at), self._floor_keep, int(soft)),
            lambda _: None,
        )

    async def invalidate_key(self, key: Key) -> None:
        await self._connection.run_script(
            RedisOperation.INVALIDATE,
            self._invalidate_key,
            self._names.touched(key),
            (self._entropy(), self._floor_keep),
            lambda _: None,
        )

    async def invalidate_partition(self, partition: str) -> None:
        await self.partition_invalidations.invalidate_partition(partition)

    async def purge(self, partition: str | None, *, soft: bool) -> int:
        """As `SharedStore.purge`. It searches Redis for floors. Each fetch makes a floor first, so
        a key without a floor has nothing to drop."""
        keys: set[Key] = set()
        pattern, how = self._names.floors(partition), (self._floor_keep, int(soft))
        async for names in self._connection.scan(RedisOperation.INVALIDATE, pattern):
            new = {key for name in names if (key := self._names.key_of(name))} - keys
            calls = [(self._names.judged(key), how) for key in new]
            await self._connection.run_many(
                RedisOperation.INVALIDATE, self._drop, calls, lambda _: None
            )
            keys |= new
        return len(keys)

    async def _read_floors(self, keys: list[Key]) -> list[Standing | None]:
        names = [name for key in keys for name in self._names.touched(key)[:2]]
        reply, beside = await self.partition_invalidations.read(RedisOperation.CONFIRM, names, keys)
        told = map(standing_after, reply[::2], reply[1::2], (each.share for each in beside))
        struck = (each.struck_at for each in beside)
        return list(map(standing_invalidated, told, struck))

    async def _read(self, keys: list[Key]) -> list[Found]:
        names = [name for key in keys for name in self._names.touched(key)]
        reply, beside = await self.partition_invalidations.read(RedisOperation.LOOKUP, names, keys)
        records = zip(reply[::3], reply[1::3], reply[2::3], strict=True)
        refused = self._observer.envelope_refused
        told = (
            read_found(key, each, by.share, refused)
            for key, each, by in zip(keys, records, beside, strict=True)
        )
        struck = (each.struck_at for each in beside)
        return list(map(without_invalidated, told, struck))


def _bound(updated_at: int | None) -> str:
    return version(None if updated_at is None else Instant(updated_at))


def _milliseconds(seconds: float) -> int:
    """The time in milliseconds, but at least 1, because Redis refuses an expiry of 0."""
    return max(1, int(seconds * 1000))
