"""One fetch for a key across replicas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from gateway.core.budget.breaker import Pause
from gateway.core.cache.entry import Floor, Key, Ticket
from gateway.core.cache.lease_result import Ending
from gateway.core.vocabulary import EndingKind
from gateway.ports.shared import SharedStore


@dataclass(frozen=True, slots=True)
class Taken:
    """The ticket of a fetch, and whether this replica `leads` or follows another one.

    `token` names the leader's fetch: this one if `leads`, otherwise the one to follow. `floor` is
    the floor at that moment (None: not known).
    """

    ticket: Ticket
    token: str
    leads: bool
    floor: Floor | None


class Lease(Protocol):
    """One fetch for a key across replicas. It saves work; what is stored is decided elsewhere.

    Every call raises RedisUnavailable if it gets no answer within the timeout.
    """

    @property
    def lifetime(self) -> float:
        """Seconds after which it ends unless renewed; infinite if there are no other replicas."""
        ...

    async def take(self, key: Key, *, unhurried: bool = False) -> Taken:
        """Take a ticket for a fetch, as SharedStore.begin does, and with it the lease.

        If another fetch has the lease, this replica follows it, and will be told how it ended. It
        does not follow a fetch if something was invalidated or learnt since that began; then it
        leads itself. While the key is left alone after failures, an `unhurried` call raises
        BackedOff.
        """
        ...

    async def renew(self, key: Key, token: str) -> bool:
        """Keep the lease for another lifetime. Returns False if it is lost."""
        ...

    async def release(
        self, key: Key, token: str, ending: Ending, pause: Pause | None = None
    ) -> None:
        """End the lease and tell the followers how the fetch ended. Does nothing if it is lost.

        `pause`: all replicas leave the key alone, for longer with each failure in a row, until a
        fetch ends with an answer.
        """
        ...

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        """Wait for the end of the fetch with that token, for `patience` seconds at most, and return
        how it ended; None if it goes on. If the lease ended by itself, the ending is transient."""
        ...


class AloneLease:
    """The lease of a process that has no other replicas. Its flights are enough."""

    lifetime = math.inf

    def __init__(self, shared: SharedStore) -> None:
        self._shared = shared

    async def take(self, key: Key, *, unhurried: bool = False) -> Taken:
        """This replica always leads."""
        return Taken(await self._shared.begin(key), "", leads=True, floor=None)

    async def renew(self, key: Key, token: str) -> bool:
        """It cannot be lost."""
        return True

    async def release(
        self, key: Key, token: str, ending: Ending, pause: Pause | None = None
    ) -> None:
        """No replica follows, and this one remembers by itself what failed."""

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        """No other replica leads."""
        return Ending(EndingKind.TRANSIENT)
