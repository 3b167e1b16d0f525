"""A store and its connection on a cluster, and the training ids that stand at each node."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from redis.crc import key_slot

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.keys import Names
from gateway.adapters.redis.store import RedisStore
from gateway.app.clock import SystemClock
from gateway.core.cache.entry import Entry, Key
from gateway.core.vocabulary import RedisOperation
from tests.doubles.observer import RecordingObserver
from tests.doubles.stored import entry_of, version
from tests.support.redis_cluster import ClusterNode, ClusterServers

PARTITION = "0123456789abcdef" * 2
NAMES = Names("gateway")


@dataclass(frozen=True, slots=True)
class Reader:
    """A replica's way to Redis."""

    connection: Connection
    store: RedisStore
    observer: RecordingObserver
    clock: SystemClock

    async def put(self, key: Key, later: int = 0) -> Entry:
        """Fetch and store a version of the key."""
        entry = entry_of(await self.store.begin(key), version(later))
        stored = await self.store.store(key, entry.facts, entry, 600.0)
        assert not stored.verdict.is_refusal, stored
        return entry

    def questions(self, operation: RedisOperation) -> int:
        """How many of that kind Redis has answered."""
        return [each for each, _ in self.observer.of("redis_timed")].count(operation)


@asynccontextmanager
async def reader(url: str, timeout: float = 10.0) -> AsyncIterator[Reader]:
    """Looked at once."""
    observer, clock = RecordingObserver(), SystemClock()
    connection = Connection(url, clock, observer, timeout=timeout, on_time=clock.learn)
    await connection.check()
    store = RedisStore(
        connection,
        "gateway",
        observer,
        longest_keep=600.0,
        longest_fetch=20.0,
        new_word=lambda: secrets.token_hex(8),
    )
    try:
        yield Reader(connection, store, observer, clock)
    finally:
        await connection.close()


async def until_up(connection: Connection) -> None:
    """Look again and again, as the watch does, until all is there."""
    async with asyncio.timeout(30):
        while not await connection.check():  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.05)


def keys_at(servers: ClusterServers, node: ClusterNode, count: int) -> list[Key]:
    """Keys of trainings that stand at that node."""
    keys = (Key(PARTITION, f"trn_{number}") for number in itertools.count())
    there = (key for key in keys if servers.holder(NAMES.mark(key.training_id)) is node)
    return list(itertools.islice(there, count))


def slot_of_key(key: Key) -> int:
    """Where all that belongs to it stands."""
    return key_slot(NAMES.mark(key.training_id).encode())


@contextmanager
def moving(servers: ClusterServers, key: Key) -> Iterator[tuple[ClusterNode, ClusterNode]]:
    """The key's slot is being handed over, from the first to the second; at the end it is back."""
    source = servers.holder(NAMES.mark(key.training_id))
    target = servers.other(source)
    servers.begin_move(slot_of_key(key), source, target)
    try:
        yield source, target
    finally:
        servers.end_move(slot_of_key(key), source, target)
        servers.begin_move(slot_of_key(key), target, source)
        servers.end_move(slot_of_key(key), target, source)
