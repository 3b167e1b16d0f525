"""Every implementation of a port, each as the suite of that port wants it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from gateway.adapters.ledger import Ledger
from gateway.adapters.memory import MemoryStore
from gateway.adapters.redis.connection import Connection
from gateway.adapters.redis.store import RedisStore
from gateway.ports import LocalStore, SharedStore
from tests.contract.worlds import LocalWorld, RedisWorld, World
from tests.doubles.clocks import RealClock, TickingClock
from tests.doubles.observer import RecordingObserver


def epochs() -> Callable[[], str]:
    """Entropy that never repeats, and is the same each time."""
    counter = itertools.count(0xABC0)
    return lambda: f"{next(counter):016x}"


@pytest.fixture
def observer() -> RecordingObserver:
    """Who is told."""
    return RecordingObserver()


@pytest.fixture
def local_store() -> LocalStore:
    """L1 with room for a few entries of the suite."""
    return MemoryStore(20_000, lambda: None)


@pytest.fixture
async def connection(redis_url: str, observer: RecordingObserver) -> AsyncIterator[Connection]:
    """A patient connection to the shared, empty Redis."""
    connection = Connection(redis_url, RealClock(), observer, timeout=30.0)
    assert await connection.check()
    yield connection
    await connection.close()


@pytest.fixture
async def redis_store(
    connection: Connection, observer: RecordingObserver
) -> AsyncIterator[RedisStore]:
    """The store on Redis."""
    store = RedisStore(
        connection, "gateway", observer, longest_keep=600.0, longest_fetch=20.0, entropy=epochs()
    )
    yield store
    await store.close()


@pytest.fixture(params=["ledger", "redis"])
def shared_store(request: pytest.FixtureRequest) -> SharedStore:
    """Each SharedStore, empty."""
    if request.param == "ledger":
        return Ledger(TickingClock(), epochs())
    store: SharedStore = request.getfixturevalue("redis_store")
    return store


@pytest.fixture(params=["local", "redis"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each Budget's makers, with a time that can be moved."""
    if request.param == "local":
        yield LocalWorld()
    else:
        yield RedisWorld(request.getfixturevalue("redis_url"))
