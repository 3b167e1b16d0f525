"""L2: the bodies and version floors of all replicas."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.cache.entry import Confirmation, Entry, Floor, Key, Ticket
from gateway.core.vocabulary import StoreVerdict


@dataclass(frozen=True, slots=True)
class Found:
    """What the shared store holds: `floor` None is "unknown", never seen or lost, and then there is
    no body either; `entry` None is "no body".

    What was fetched at `struck_at` (the shared clock) or before is ruled out.
    """

    entry: Entry | None
    floor: Floor | None
    struck_at: float = -math.inf


@dataclass(frozen=True, slots=True)
class Stored:
    """How an offered entry was received, and the floor after that (None: unknown)."""

    verdict: StoreVerdict
    floor: Floor | None


@dataclass(frozen=True, slots=True)
class Copies:
    """How many copies the shared store has, any of which may take its place, and how many of
    them have what was written."""

    known: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a key without its body.

    `last` reads what came beside the body whose digest the floor has; None where it is not
    kept. It costs more than the floor, and is needed only where that was confirmed later. What
    was fetched at `struck_at` (the shared clock) or before is ruled out.
    """

    floor: Floor
    last: Callable[[], Confirmation | None]
    struck_at: float = -math.inf


class SharedStore(Protocol):
    """L2: bodies and version floors that all replicas see.

    Every call raises RedisUnavailable where it cannot be answered within the timeout.
    """

    @property
    def is_up(self) -> bool:
        """Whether all of it answered last."""
        ...

    def reaches(self, key: Key) -> bool:
        """Whether what stands under the key can be asked for now; False: calls fail at once."""
        ...

    @property
    def holds_bodies(self) -> bool:
        """False for the ledger of a process alone: its bodies live in L1 only."""
        ...

    async def lookup(self, key: Key) -> Found:
        """Body and floor in one round trip, shared by look-ups of the same loop turn."""
        ...

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Standing | None]:
        """How each key stands (None: unknown), no body read; shared by all that is asked in
        the same loop turn. Without those that cannot be asked for; raises if none can."""
        ...

    async def begin(self, key: Key) -> Ticket:
        """Take the generation before a fetch; makes the floor where there is none."""
        ...

    async def store(self, key: Key, entry: Entry, keep: float) -> Stored:
        """Offer an entry; written only with the floor's generation and epoch of the
        entry's ticket, and never over a later version. Kept `keep` seconds (> 0)."""
        ...

    async def drop(self, key: Key) -> None:
        """Raise the generation and remove the body of one key."""
        ...

    async def invalidate(
        self, training_id: str, updated_at: int | None, *, soft: bool = False
    ) -> None:
        """Make what is older than `updated_at` (all, for None) unusable in every partition,
        held now or not, fetches in flight included; `soft` leaves it for rescue."""
        ...

    async def invalidate_partition(self, partition: str) -> None:
        """Rule out all that was fetched for a partition up to now, in one step whatever there
        is of it, fetches in flight included."""
        ...

    async def purge(self, partition: str | None, *, soft: bool) -> int:
        """Raise the generation of every key (of a partition) and remove the bodies, which
        `soft` keeps for rescue; how many keys."""
        ...

    async def secure(self, patience: float) -> Copies | None:
        """Wait until all that was written so far stands in each copy of the store as well, so
        many seconds at most; None where it has no copies."""
        ...
