"""Where leases live: replicas of one world share them, and time can be made to pass."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from gateway.core.cache.entry import Key
from gateway.ports import Lease, SharedStore
from tests.doubles.clock import FakeClock
from tests.doubles.hearer import PREFIX, hearers
from tests.doubles.lease import Board, BoardLease
from tests.doubles.shared import InMemoryShared
from tests.support.redis_cluster import client_of

KEY = Key("p1", "trn_1")


class LeaseWorld(Protocol):
    """Three replicas, and the store whose tickets they take."""

    leases: list[Lease]
    store: SharedStore

    async def lapse(self) -> None:
        """Let what stands under the key go by itself."""

    def tick(self) -> None:
        """Let it be later than it was."""

    def mute(self) -> None:
        """Let no ending arrive from now on: it can only be found."""


class MemoryWorld:
    """On a fake clock."""

    def __init__(self) -> None:
        self._clock = FakeClock()
        self.store: SharedStore = InMemoryShared(self._clock, _epochs())
        self._board = Board(self._clock, self.store)
        self.leases: list[Lease] = [BoardLease(self._board) for _ in range(3)]

    async def lapse(self) -> None:
        self._clock.advance(3.0)

    def tick(self) -> None:
        self._clock.advance(0.001)

    def mute(self) -> None:
        self._board.muted = True


class RedisWorld:
    """On a real Redis."""

    def __init__(self, url: str, leases: list[Lease], store: SharedStore, mute: Mute) -> None:
        self._url = url
        self.leases = leases
        self.store = store
        self.mute = mute

    async def lapse(self) -> None:
        """As Redis would, only sooner."""
        with client_of(self._url) as client:
            client.pexpire(f"{PREFIX}:g2:{{trn_1}}:l:p1", 1)
        await asyncio.sleep(0.02)

    def tick(self) -> None:
        """Time passes by itself."""


Mute = Callable[[], None]


@asynccontextmanager
async def redis_world(url: str) -> AsyncIterator[RedisWorld]:
    """Three replicas that hear each other over a bus."""
    async with hearers(url, "a", "b", "c") as replicas:

        def mute() -> None:
            for each in replicas:
                each.endings.take = lambda token, ending: None  # type: ignore[method-assign]

        yield RedisWorld(url, [each.lease for each in replicas], replicas[0].store, mute)


def _epochs() -> Callable[[], str]:
    counter = itertools.count(0xABC0)
    return lambda: f"{next(counter):016x}"
