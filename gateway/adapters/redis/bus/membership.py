"""Membership: the replicas that are asked when an order is given, and those that cannot be asked.

Lives here: being on it, and who is. A replica that fell silent without taking its leave may be cut
off, and answer with what it holds: it stays a member for as long as it allows itself to. A Redis
that lost what it had lost the members as well; those that any replica remembers are put back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import redis.asyncio as driver

from gateway.adapters.redis.bus.messages import is_replica
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Clock

# Heartbeats without which a replica is no longer waited for.
_LIVES: Final = 5


@dataclass(slots=True)
class Remembered:
    """The members as they were read last, and those that were lost with a life before: until when
    (monotonic) each may answer with what it holds."""

    life: int | None = None
    members: dict[str, float] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)

    def read(self, life: int, members: dict[str, float], now: float) -> dict[str, float]:
        """All that there are, where these were read at `now`; `life` differs after a loss. Who
        left the same life is gone."""
        if self.life not in (None, life):
            self.lost |= self.members
        self.life, self.members = life, members
        self.lost = {
            name: until for name, until in self.lost.items() if until > now and name not in members
        }
        return self.lost | members


@dataclass(frozen=True, slots=True)
class Others:
    """For how many seconds each other replica may answer with what it held when it was heard of
    last; those that are alive are waited for. For `unsettled` seconds more some may be unknown."""

    seconds: dict[str, float]
    alive: frozenset[str]
    unsettled: float

    def and_somebody(self, seconds: float) -> Others:
        """The same, and one that nobody knows."""
        return replace(self, seconds={**self.seconds, "": seconds})


class Membership:
    """One replica's place on the roll.

    `alone` (seconds): for so long it may answer with what it holds while it reaches nobody.
    `settle` (seconds): after so long all that are alive have put back whom a lost life knew.
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        clock: Clock,
        replica: str,
        heartbeat: float,
        *,
        alone: float,
        settle: float,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._replica = replica
        self._keys = tuple(f"{prefix}:{{bus}}:{name}" for name in ("replicas", "number", "members"))
        self._patience = _LIVES * heartbeat
        self._settle = settle
        self.span = self._patience + alone  # others count with its answers for so long
        self._remembered = Remembered()
        self._beat = Script.load("roll", "beat")
        self._tell = Script.load("roll", "tell")
        self.alive = 1
        self.life = 0  # differs once Redis has lost what it knew
        # Until when others wait for this replica, and until when they count with its answers.
        self.counted_until = -math.inf
        self.vouched_until = -math.inf

    @property
    def home(self) -> str:
        """A name that stands where the roll does."""
        return self._keys[0]

    async def beat(self) -> tuple[int, bool]:
        """Be on it: the number of the notice told last, and whether this replica was off it, so
        that nobody waited for it. Raises RedisUnavailable."""
        number, was_off = await self._beat_once()
        if self._remembered.lost:
            await self._beat_once()  # put them back
        return number, was_off

    async def _beat_once(self) -> tuple[int, bool]:
        sent = self._clock.monotonic()
        number, life, names, members = await self._connection.run_script(
            RedisOperation.BUS,
            self._beat,
            self._keys,
            (self._replica, *map(_micros, (self._patience, self.span)), *self._lost(sent)),
            lambda reply: (int(reply[0]), int(reply[1]), _named(reply[3]), _members(reply[4])),
        )
        now = self._clock.monotonic()
        self._read(life, members, now)
        self.life = life
        self.alive = max(1, len(names))
        was_off = self.counted_until <= now
        self.counted_until, self.vouched_until = sent + self._patience, sent + self.span
        return number, was_off

    async def tell(self, channel: str, message: bytes) -> Others:
        """Publish a notice; the other replicas. Raises RedisUnavailable."""
        life, age, names, members = await self._connection.run_script(
            RedisOperation.BUS,
            self._tell,
            self._keys,
            (channel, message, *map(_micros, (self._patience, self.span))),
            lambda reply: (int(reply[0]), int(reply[1]), _named(reply[2]), _members(reply[3])),
        )
        now = self._clock.monotonic()
        untils = dict.fromkeys(names, now + self.span) | self._read(life, members, now)
        untils.pop(self._replica, None)
        lately = now + self.span - self._patience
        heard = {name for name, until in untils.items() if until > lately}
        seconds = {name: until - now for name, until in untils.items()}
        unsettled = self._settle - abs(age) / 1_000_000
        return Others(seconds, frozenset(heard | names) - {self._replica}, unsettled)

    async def leave(self) -> None:
        """Nobody counts with it any more; raises RedisUnavailable."""

        async def command(client: driver.Redis) -> None:
            async with client.pipeline(transaction=False) as pipe:
                for name in (self._keys[0], self._keys[2]):
                    pipe.zrem(name, self._replica)
                await pipe.execute()

        await self._connection.execute(RedisOperation.BUS, command, at=self.home)

    def _read(self, life: int, members: dict[str, float], now: float) -> dict[str, float]:
        untils = {name: now + seconds for name, seconds in members.items()}
        return self._remembered.read(life, untils, now)

    def _lost(self, now: float) -> list[str]:
        return [
            part
            for name, until in self._remembered.lost.items()
            for part in (name, _micros(until - now))
        ]


def _micros(seconds: float) -> str:
    return f"{max(0, round(seconds * 1_000_000))}"


def _named(members: Sequence[bytes]) -> frozenset[str]:
    return frozenset(filter(is_replica, (each.decode("utf-8", "replace") for each in members)))


def _members(told: Sequence[bytes]) -> dict[str, float]:
    """Names and microseconds in turn, as seconds."""
    names = (name.decode("utf-8", "replace") for name in told[::2])
    seconds = (int(each) / 1_000_000 for each in told[1::2])
    return {name: left for name, left in zip(names, seconds, strict=True) if is_replica(name)}
