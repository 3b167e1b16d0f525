"""Every implementation of a port, each as the suite of that port wants it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.adapters.ledger import Ledger
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.store import RedisStore
from gateway.ports import SharedStore
from tests.contract.worlds import DoubleWorld, LocalWorld, RedisWorld, World
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


@asynccontextmanager
async def store_on(url: str, observer: RecordingObserver) -> AsyncIterator[RedisStore]:
    """The store on a Redis, over a patient connection."""
    connection = Connection(url, RealClock(), observer, timeout=30.0)
    assert await connection.check()
    store = RedisStore(
        connection, "gateway", observer, longest_keep=600.0, longest_fetch=20.0, new_word=epochs()
    )
    yield store
    await connection.close()


URLS = {"redis": "redis_url", "cluster": "cluster_url"}


@pytest.fixture(params=["ledger", *URLS])
async def shared_store(
    request: pytest.FixtureRequest, observer: RecordingObserver
) -> AsyncIterator[SharedStore]:
    """Each SharedStore, empty."""
    if request.param == "ledger":
        yield Ledger(TickingClock(), epochs())
        return
    async with store_on(request.getfixturevalue(URLS[request.param]), observer) as store:
        yield store


@pytest.fixture(params=["local", "redis", "double"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each Budget's makers, with a time that can be moved."""
    if request.param != "redis":
        yield LocalWorld() if request.param == "local" else DoubleWorld()
    else:
        made = RedisWorld(request.getfixturevalue("redis_url"))
        yield made
        made.server.client.close()


@pytest.fixture(params=[*URLS])
def any_redis_url(request: pytest.FixtureRequest) -> str:
    """The address of each kind of Redis, empty."""
    url = request.getfixturevalue(URLS[request.param])
    assert isinstance(url, str)
    return url
