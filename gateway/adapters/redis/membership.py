"""Membership: which replicas are alive, and which replicas are still allowed to serve their
entries.

A replica can run without Redis, so it is a *member* for longer than it is *alive*. It is a member
for `span` seconds after its last heartbeat that the others have read. For so long it is allowed to
serve its entries.

If Redis loses the members, a new *life* of the membership begins. Each replica adds the members
that it read last. If no other replica has read the heartbeats of a replica yet, no other replica
adds it. Therefore a replica relies only on its heartbeats that the others have surely read.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import redis.asyncio as driver

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.messages import is_replica
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Clock

# After this many missed heartbeats a replica is not alive.
_MISSED_HEARTBEATS: Final = 5
# This many intervals after a heartbeat, the others have surely read it.
_HEARTBEATS_UNTIL_READ: Final = 2


@dataclass(slots=True)
class Remembered:
    """The members that were read last, and those that Redis lost. The times (monotonic) tell until
    when each is allowed to serve its entries."""

    life: int | None = None
    members: dict[str, float] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)

    def note(self, life: int, members: dict[str, float], now: float) -> dict[str, float]:
        """Note the members that were read at `now`. Returns them and the lost ones.

        If `life` is new, Redis has lost the members that were read before. Each of them counts as
        lost until its time is over, or until it is read again with the same or a later time. (A
        replica with an older list can add a member with an earlier time. The member then still
        counts as lost.) If `life` is the same, a missing member is not lost: it has left, or its
        time is over.
        """
        if self.life not in (None, life):
            self.lost |= self.members
        self.life, self.members = life, members
        self.lost = {
            name: until
            for name, until in self.lost.items()
            if until > max(now, members.get(name, -math.inf))
        }
        return members | self.lost


@dataclass(frozen=True, slots=True)
class Sent:
    """The number of a notice, and the life in which Redis counted it."""

    life: int
    number: int

    def is_lost(self, life: int, number: int) -> bool:
        """Whether Redis, which now has this life and this last number, has lost the notice. Redis'
        number is lower if the master died and its successor did not have the notice."""
        return self.life != life or self.number > number


@dataclass(frozen=True, slots=True)
class Others:
    """The other replicas, as they were read when a notice was sent.

    seconds    for how long each replica can serve the entries that it had at its last heartbeat
    alive      the replicas for which an order waits
    unsettled  for this many seconds more, some replicas are perhaps missing: Redis has lost the
               members, or is new. 0 or less: no replica is missing
    sent       the number and the life of the notice
    """

    seconds: dict[str, float]
    alive: frozenset[str]
    unsettled: float
    sent: Sent

    def and_somebody(self, seconds: float) -> Others:
        """The same replicas, and one more whose name is unknown."""
        return replace(self, seconds={**self.seconds, "": seconds})


class Membership:
    """Sends the heartbeats of one replica, and remembers the other replicas.

    heartbeat  seconds between two heartbeats
    alone      seconds for which a replica is allowed to serve its entries after it stopped being
               alive
    settle     within this many seconds after a loss of the members, all living replicas add the
               members that they remember
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
        self._patience = _MISSED_HEARTBEATS * heartbeat
        self._settle = settle
        self._until_read = _HEARTBEATS_UNTIL_READ * heartbeat
        self.span = self._until_read + self._patience + alone
        self._remembered = Remembered()
        self._beat = Script.load("membership", "beat")
        self._tell = Script.load("membership", "tell")
        self.alive = 1  # the number of replicas that are alive
        self.life = 0  # changes when Redis loses the members
        # The monotonic times of heartbeats of this life: of the last heartbeat that the others have
        # surely read, and of all later ones.
        self._beats: deque[float] = deque()
        # Monotonic times until which the others count this replica as alive, and as a member.
        self.counted_until = -math.inf
        self.vouched_until = -math.inf

    async def beat(self) -> tuple[int, bool]:
        """Send a heartbeat. Raises RedisUnavailable.

        Returns the number of the last notice, and whether this replica was perhaps not alive
        before. In this case orders have perhaps not waited for it.
        """
        number, was_off = await self._beat_once()
        if self._remembered.lost:
            await self._beat_once()  # adds the lost members again
        return number, was_off

    async def _beat_once(self) -> tuple[int, bool]:
        sent = self._clock.monotonic()
        number, life, names, members = await self._connection.run_script(
            RedisOperation.BUS,
            self._beat,
            self._keys,
            (self._replica, *self._times(), *self._lost(sent)),
            lambda reply: (int(reply[0]), int(reply[1]), _named(reply[3]), _members(reply[4])),
        )
        now = self._clock.monotonic()
        self._read(life, members, now)
        if life != self.life:
            self.life = life
            self._beats.clear()
        self.alive = max(1, len(names))
        was_off = self.counted_until <= now
        self.counted_until = sent + self._patience
        self._vouch(sent)
        return number, was_off

    def _vouch(self, sent: float) -> None:
        """Set `vouched_until` by the last heartbeat that the others have surely read. A later
        heartbeat does not count yet, because Redis can still lose it."""
        self._beats.append(sent)
        was_read = sent - self._until_read
        while len(self._beats) > 1 and self._beats[1] <= was_read:
            self._beats.popleft()
        if self._beats[0] <= was_read:
            self.vouched_until = max(self.vouched_until, self._beats[0] + self.span)

    async def tell(self, channel: str, message: bytes) -> Others:
        """Publish a notice. Returns the other replicas. Raises RedisUnavailable."""
        sent, age, names, members = await self._connection.run_script(
            RedisOperation.BUS,
            self._tell,
            self._keys,
            (channel, message, *self._times()),
            lambda reply: (
                Sent(int(reply[0]), int(reply[4])),
                int(reply[1]),
                _named(reply[2]),
                _members(reply[3]),
            ),
        )
        now = self._clock.monotonic()
        untils = dict.fromkeys(names, now + self.span) | self._read(sent.life, members, now)
        untils.pop(self._replica, None)
        lately = now + self.span - self._patience
        heard = {name for name, until in untils.items() if until > lately}
        seconds = {name: until - now for name, until in untils.items()}
        unsettled = self._settle - abs(age) / 1_000_000
        return Others(seconds, frozenset(heard | names) - {self._replica}, unsettled, sent)

    async def leave(self) -> None:
        """End the membership of this replica. Raises RedisUnavailable."""

        async def command(client: driver.Redis) -> None:
            async with client.pipeline(transaction=False) as pipe:
                for name in (self._keys[0], self._keys[2]):
                    pipe.zrem(name, self._replica)
                await pipe.execute()

        await self._connection.execute(RedisOperation.BUS, command)

    def _read(self, life: int, members: dict[str, float], now: float) -> dict[str, float]:
        untils = {name: now + seconds for name, seconds in members.items()}
        return self._remembered.note(life, untils, now)

    def _times(self) -> tuple[str, str]:
        return _micros(self._patience), _micros(self.span)

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
    """For how many seconds each replica is still a member. In `told`, each name is followed by its
    microseconds."""
    names = (name.decode("utf-8", "replace") for name in told[::2])
    seconds = (int(each) / 1_000_000 for each in told[1::2])
    return {name: left for name, left in zip(names, seconds, strict=True) if is_replica(name)}
