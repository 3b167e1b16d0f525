"""Membership: which replicas may serve their entries without Redis, and until when.

Each replica sends heartbeats. It is *listed* for a period after the sending of the last heartbeat
that Redis acknowledged. Only a listed replica may serve entries without asking Redis. So
an order is complete once all listed replicas have confirmed it, or once their periods have passed.

If Redis loses the record of the replicas, a new *life* of it begins. Nobody knows then which
replicas are listed, so no order is complete until the new life is as old as a period.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis.asyncio as driver

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.messages import is_replica
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Clock

# After this many missed heartbeats a replica is not alive: orders do not wait for it.
_MISSED_HEARTBEATS: Final = 5
# Seconds more than a period, after which a life is settled, and a silent replica forgotten.
_SLACK: Final = 1.0


@dataclass(frozen=True, slots=True)
class Record:
    """What Redis has of the replicas: the words of this life and of the last notice, whether the
    life is settled, and the last heartbeat of each replica."""

    life: str
    last: str
    is_settled: bool
    heartbeats: dict[str, str]

    @classmethod
    def read(cls, reply: Sequence[Any]) -> Record:
        """The record in the reply of a script."""
        (told,) = reply
        texts = [each.decode("utf-8", "replace") for each in told]
        record = dict(zip(texts[::2], texts[1::2], strict=True))
        names = {field: field.removeprefix("m:") for field in record if field.startswith("m:")}
        heartbeats = {name: record[field] for field, name in names.items() if is_replica(name)}
        return cls(record["life"], record["last"], "settled" in record, heartbeats)


@dataclass(frozen=True, slots=True)
class Others:
    """The other replicas, as they were when a notice was sent.

    seconds    for how long each of them may serve the entries that it had at its last heartbeat
    alive      the replicas for which an order waits
    unsettled  for so many seconds, replicas that nobody knows may serve their entries (0.0 or less:
               all are known)
    """

    seconds: dict[str, float]
    alive: frozenset[str]
    unsettled: float


class Membership:
    """Sends the heartbeats of one replica, and remembers those of the others.

    The heartbeats of others count from when this replica saw them, so Redis' clock does not matter.

    heartbeat  seconds between two heartbeats
    alone      seconds for which a replica is listed after it stopped being alive
    new_word   makes a word: 16 hex digits that never come again
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        clock: Clock,
        replica: str,
        *,
        heartbeat: float,
        alone: float,
        new_word: Callable[[], str],
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._replica = replica
        self._key = f"{prefix}:{{bus}}:record"
        self._patience = _MISSED_HEARTBEATS * heartbeat
        self._period = self._patience + alone
        self._new_word = new_word
        self._beat = Script.load("membership", "beat")
        self._tell = Script.load("membership", "tell")
        # The life, and since when this replica has seen it (-inf: it is settled).
        self._life, self._since = "", math.inf
        # The last heartbeat of each other replica, and when it was seen first.
        self._seen: dict[str, tuple[str, float]] = {}
        self.alive = 1  # how many replicas are alive, this one included
        self.alive_until = self.listed_until = -math.inf  # monotonic

    async def beat(self) -> str:
        """Send a heartbeat. Returns the word of the last notice. Raises RedisUnavailable."""
        sent = self._clock.monotonic()
        long_ago = sent - self._period - _SLACK
        settled = self._life if self._since <= long_ago else ""
        silent = [(name, beat) for name, (beat, seen) in self._seen.items() if seen <= long_ago]
        words = self._new_word(), self._new_word()
        record = await self._connection.run_script(
            RedisOperation.BUS,
            self._beat,
            (self._key,),
            (self._replica, *words, settled, *(part for pair in silent for part in pair)),
            Record.read,
        )
        self._see(record)
        self.alive_until, self.listed_until = sent + self._patience, sent + self._period
        return record.last

    async def tell(self, channel: str, message: bytes) -> Others:
        """Publish a notice. Returns the other replicas. Raises RedisUnavailable."""
        record = await self._connection.run_script(
            RedisOperation.BUS,
            self._tell,
            (self._key,),
            (self._new_word(), channel, message, self._new_word()),
            Record.read,
        )
        self._see(record)
        now = self._clock.monotonic()
        listed = self._seen_since(now - self._period)
        seconds = {name: seen + self._period - now for name, seen in listed.items()}
        alive = frozenset(self._seen_since(now - self._patience))
        return Others(seconds, alive, self._since + self._period - now)

    async def leave(self) -> None:
        """End the membership of this replica. Raises RedisUnavailable."""

        async def command(client: driver.Redis) -> None:
            await client.hdel(self._key, f"m:{self._replica}")

        await self._connection.execute(RedisOperation.BUS, command)

    def _see(self, record: Record) -> None:
        """Note when the heartbeats were seen first. A replica that is missing has left."""
        now = self._clock.monotonic()
        if record.life != self._life:
            self._life, self._since = record.life, now
        if record.is_settled:
            self._since = -math.inf
        self._seen = {
            name: before if (before := self._seen.get(name)) and before[0] == beat else (beat, now)
            for name, beat in record.heartbeats.items()
            if name != self._replica
        }
        self.alive = 1 + len(self._seen_since(now - self._patience))

    def _seen_since(self, moment: float) -> dict[str, float]:
        return {name: seen for name, (_, seen) in self._seen.items() if seen > moment}
