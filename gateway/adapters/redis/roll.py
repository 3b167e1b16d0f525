"""The roll of the replicas: who is waited for when an order is given.

Lives here: being on it, and who is. A Redis that lost what it had lost the roll as well; who was
on it before is waited for until all who live have had the time to be back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import redis.asyncio as driver

from gateway.adapters.redis.connection import Connection
from gateway.adapters.redis.notices import is_replica
from gateway.adapters.redis.script import Script
from gateway.core.status import RedisOperation
from gateway.ports import Clock

# Heartbeats without which a replica is no longer waited for.
_LIVES: Final = 5


@dataclass(slots=True)
class Remembered:
    """Who was on the roll when it was read last, and before it was lost."""

    patience: float
    life: int | None = None
    names: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()
    until: float = 0.0

    def read(self, life: int, names: frozenset[str], now: float) -> frozenset[str]:
        """All to wait for, where that roll was read at `now`; `life` differs after a loss."""
        if self.life not in (None, life):
            # One loss soon after another takes nobody off: who was before may not be back yet.
            self.before = self.names | self._missing(now)
            self.until = now + self.patience
        self.life, self.names = life, names
        return names | self._missing(now)

    def _missing(self, now: float) -> frozenset[str]:
        return self.before if now < self.until else frozenset()


class Roll:
    """One replica's place on the roll."""

    def __init__(
        self, connection: Connection, prefix: str, clock: Clock, replica: str, heartbeat: float
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._replica = replica
        self._keys = tuple(f"{prefix}:{{bus}}:{name}" for name in ("replicas", "number", "life"))
        self._patience = round(_LIVES * heartbeat * 1_000_000)
        self._remembered = Remembered(_LIVES * heartbeat)
        self._beat = Script.load("roll", "beat")
        self._tell = Script.load("roll", "tell")
        self.alive = 1

    @property
    def home(self) -> str:
        """A name that stands where the roll does."""
        return self._keys[0]

    async def beat(self) -> int:
        """Be on it; the number of the notice told last. Raises RedisUnavailable."""
        number, life, names = await self._connection.run_script(
            RedisOperation.BUS,
            self._beat,
            self._keys,
            (self._replica, self._patience),
            lambda reply: (int(reply[0]), int(reply[1]), _named(reply[2])),
        )
        self._read(life, names)
        self.alive = max(1, len(names))
        return number

    async def tell(self, channel: str, message: bytes) -> frozenset[str]:
        """Publish a notice; the other replicas to wait for. Raises RedisUnavailable."""
        life, names = await self._connection.run_script(
            RedisOperation.BUS,
            self._tell,
            self._keys,
            (channel, message, self._patience),
            lambda reply: (int(reply[0]), _named(reply[1])),
        )
        return self._read(life, names) - {self._replica}

    async def leave(self) -> None:
        """Nobody waits for it any more; raises RedisUnavailable."""

        async def command(client: driver.Redis) -> None:
            await client.zrem(self.home, self._replica)

        await self._connection.execute(RedisOperation.BUS, command, at=self.home)

    def _read(self, life: int, names: frozenset[str]) -> frozenset[str]:
        return self._remembered.read(life, names, self._clock.monotonic())


def _named(members: list[bytes]) -> frozenset[str]:
    return frozenset(filter(is_replica, (each.decode("utf-8", "replace") for each in members)))
