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
    """The ticket of a fetch that may begin now, and which replica's fetch it is to be.

    `token` names the fetch that leads: this one where `leads`, else the one to follow. `floor`
    is what was known at that moment (None: not told).
    """

    ticket: Ticket
    token: str
    leads: bool
    floor: Floor | None


class Lease(Protocol):
    """One fetch for a key across replicas. It saves work; what is stored is decided elsewhere.

    Every call raises RedisUnavailable where it cannot be answered within the timeout.
    """

    @property
    def lifetime(self) -> float:
        """Seconds after which it lapses unless renewed; infinite where nobody else is."""
        ...

    async def take(self, key: Key, *, unhurried: bool = False) -> Taken:
        """Take the generation before a fetch, as SharedStore.begin does, and with it the lease.

        Where another fetch holds it, this replica is to follow, and is told of the ending; a
        fetch since whose begin something was invalidated, or learnt, is passed over. Raises
        BackedOff to who is `unhurried` while the key is left alone.
        """
        ...

    async def renew(self, key: Key, token: str) -> bool:
        """Hold it for another lifetime; False where it is lost."""
        ...

    async def release(
        self, key: Key, token: str, ending: Ending, pause: Pause | None = None
    ) -> None:
        """Let go of it and tell those who follow; nothing where it is lost.

        `pause`: the key is left alone, by all replicas and for longer with each failure in a
        row, until an ending that is an answer.
        """
        ...

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        """How the fetch with that token ended, once it did; None while it still leads after so
        many seconds. A lease that lapsed without an ending is a transient one."""
        ...


class AloneLease:
    """The lease of a process without others: there the flight is the lease."""

    lifetime = math.inf

    def __init__(self, shared: SharedStore) -> None:
        self._shared = shared

    async def take(self, key: Key, *, unhurried: bool = False) -> Taken:
        """Every replica that asks leads."""
        return Taken(await self._shared.begin(key), "", leads=True, floor=None)

    async def renew(self, key: Key, token: str) -> bool:
        """It cannot be lost."""
        return True

    async def release(
        self, key: Key, token: str, ending: Ending, pause: Pause | None = None
    ) -> None:
        """Nobody follows, and what failed the replica remembers by itself."""

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        """Nobody leads."""
        return Ending(EndingKind.TRANSIENT)
