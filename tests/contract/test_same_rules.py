"""Ledger and Redis follow the same rules: what one says to any history, the other says, too."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.ledger import Ledger
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.store import RedisStore
from gateway.core.cache.entry import Entry, Key, Ticket
from gateway.ports import SharedStore, Standing
from tests.contract.conftest import epochs
from tests.doubles.clocks import RealClock, TickingClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.stored import entry_of, version
from tests.support.servers import RedisServer

FAR = 200_000_000_000_000_000_000  # nanoseconds after the first version: in the year 8361
KEYS = [Key(partition, training) for partition in ("p1", "p2") for training in ("a", "b")]


@dataclass(frozen=True)
class Begin:
    key: Key


@dataclass(frozen=True)
class Store:
    """Offer what the fetch that began as the `ticket`-th last brought; None is a 404."""

    key: Key
    ticket: int
    version: int | None
    body: bytes


@dataclass(frozen=True)
class Drop:
    key: Key


@dataclass(frozen=True)
class Invalidate:
    training_id: str
    bound: int | None
    soft: bool


@dataclass(frozen=True)
class Purge:
    partition: str | None


@dataclass(frozen=True)
class Wait:
    """Fetches begin so many seconds later from now on."""

    seconds: float


@dataclass(frozen=True)
class Repeat:
    """The same answer to so many fetches in a row, half a minute apart."""

    key: Key
    version: int
    times: int


Step = Begin | Store | Drop | Invalidate | Purge | Wait | Repeat

keys = st.sampled_from(KEYS)
versions = st.none() | st.integers(0, 3)
brought = versions | st.integers(FAR, FAR + 2)
fetches = st.builds(Store, keys, st.integers(0, 2), brought, st.sampled_from([b"{}", b'{"a":1}']))
repeated = st.integers(0, 1) | st.integers(FAR, FAR + 1)
steps = st.one_of(
    st.builds(Begin, keys),
    fetches,
    fetches,
    st.builds(Drop, keys),
    st.builds(Invalidate, st.sampled_from(["a", "b"]), versions, st.booleans()),
    st.builds(Purge, st.sampled_from([None, "p1"])),
    st.builds(Wait, st.sampled_from([1.0, 30.0, 60.0])),
    st.builds(Repeat, keys, repeated, st.integers(1, 3)),
)


class History:
    """A store, what happened to it, and all it ever took."""

    def __init__(self, store: SharedStore) -> None:
        self._store = store
        self._tickets: dict[Key, list[Ticket]] = {key: [] for key in KEYS}
        self._taken: list[tuple[Key, Entry]] = []
        self._ahead = 0.0

    async def take(self, step: Step) -> object:
        """Do the step; what the store says to it."""
        match step:
            case Begin(key):
                await self._begin(key)
            case Wait(seconds):
                self._ahead += seconds
            case Repeat():
                return [await self._repeat(step) for _ in range(step.times)]
            case Store():
                return await self._offer(step)
            case Drop(key):
                await self._store.drop(key)
            case Invalidate(training_id, bound, soft):
                later = None if bound is None else version(bound)
                await self._store.invalidate(training_id, later, soft=soft)
            case Purge(partition):
                return await self._store.purge(partition, soft=False)
        return None

    async def _begin(self, key: Key) -> None:
        ticket = await self._store.begin(key)
        self._tickets[key].append(replace(ticket, started=ticket.started + self._ahead))

    async def _repeat(self, step: Repeat) -> object:
        self._ahead += 30.0
        await self._begin(step.key)
        return await self._offer(Store(step.key, 0, step.version, b"{}"))

    async def _offer(self, step: Store) -> object:
        tickets = self._tickets[step.key][-1 - step.ticket :]
        if not tickets:
            return None
        updated_at = None if step.version is None else version(step.version)
        entry = entry_of(tickets[0], updated_at, step.body)
        self._taken.append((step.key, entry))
        return (await self._store.store(step.key, entry, 60.0)).verdict

    async def seen(self) -> list[object]:
        """The versions known, and which of all entries could still be served."""
        founds = {key: await self._store.lookup(key) for key in KEYS}
        standings = await self._store.confirm(KEYS)
        assert {key: each and each.floor for key, each in standings.items()} == {
            key: found.floor for key, found in founds.items()
        }
        self._check_confirmations(standings)
        for found in founds.values():
            assert found.entry is None or found.floor is not None
        floors = {key: found.floor for key, found in founds.items()}
        known = [floor and (floor.updated_at, floor.digest) for floor in floors.values()]
        return [
            *known,
            *(
                (floor := floors[key]) is None or entry.is_below(floor)
                for key, entry in self._taken
            ),
        ]

    def _check_confirmations(self, standings: dict[Key, Standing | None]) -> None:
        """Whatever a replica may still hold: none of what is ruled out is confirmed, and what
        is renewed is word for word what a fetch of that key brought."""
        for key, entry in self._taken:
            standing = standings[key]
            if standing is None:
                continue
            confirmed = entry.confirmed_by(standing.floor, standing.last())
            if confirmed is None:
                continue
            assert (key, confirmed) in self._taken
            assert entry.is_negative or not entry.is_below(standing.floor)
            assert not confirmed.is_below(standing.floor)


@settings(max_examples=60)
@given(history=st.lists(steps, max_size=25))
def test_any_history_ends_alike(redis_server: RedisServer, history: list[Step]) -> None:
    """Every verdict, and after every step the floors and what they rule out."""
    redis_server.flush()
    asyncio.run(compare(redis_server.url, history))


async def compare(redis_url: str, history: list[Step]) -> None:
    """Both stores take every step and must answer alike."""
    observer = RecordingObserver()
    connection = Connection(redis_url, RealClock(), observer, timeout=30.0)
    assert await connection.check()
    shared = RedisStore(
        connection, "gateway", observer, longest_keep=60.0, longest_fetch=20.0, entropy=epochs()
    )
    one, other = History(Ledger(TickingClock(), epochs())), History(shared)
    try:
        for step in history:
            assert await one.take(step) == await other.take(step), step
            assert await one.seen() == await other.seen(), step
    finally:
        await connection.close()
