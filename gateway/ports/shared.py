"""L2: the bodies and version floors of all replicas."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.cache.entry import Confirmation, Entry, Floor, Key, Ticket
from gateway.core.vocabulary import StoreVerdict


@dataclass(frozen=True, slots=True)
class Found:
    """What the shared store holds. `floor` None: unknown, because it was never there or is lost;
    then there is no body either. `entry` None: no body.

    What was fetched at `struck_at` (the shared clock) or before is ruled out.
    """

    entry: Entry | None
    floor: Floor | None
    struck_at: float = -math.inf


@dataclass(frozen=True, slots=True)
class Stored:
    """What happened to an entry that was to be stored, and the floor after that (None: unknown)."""

    verdict: StoreVerdict
    floor: Floor | None


@dataclass(frozen=True, slots=True)
class Copies:
    """How many replicas Redis has, each of which may become the master, and how many of them have
    what was written."""

    known: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a key without its body.

    `last` reads what the last confirming answer said beside the body of the floor; None if that is
    not known. It costs more than to read the floor, and is needed only if the floor was confirmed
    later than the entry. What was fetched at `struck_at` (the shared clock) or before is ruled out.
    """

    floor: Floor
    last: Callable[[], Confirmation | None]
    struck_at: float = -math.inf


class SharedStore(Protocol):
    """L2: bodies and version floors that all replicas see.

    Every call raises RedisUnavailable if it gets no answer within the timeout.
    """

    @property
    def is_up(self) -> bool:
        """Whether each of its nodes answered when it was last asked."""
        ...

    def reaches(self, key: Key) -> bool:
        """Whether the node that has the key can be asked now. If not, calls fail at once."""
        ...

    @property
    def holds_bodies(self) -> bool:
        """False for the ledger of a process without Redis: its bodies are in L1 only."""
        ...

    def lookup(self, key: Key) -> Awaitable[Found]:
        """Body and floor, in one round trip for all look-ups of a turn of the event loop. It is a
        future where that takes no task for each key."""
        ...

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Standing | None]:
        """What is known of each key (None: nothing), without its body, in one round trip for all
        such questions of a turn of the event loop. Keys whose node cannot be asked are left out;
        raises if that is so for all."""
        ...

    async def begin(self, key: Key) -> Ticket:
        """The ticket for a fetch. Makes a floor if there is none."""
        ...

    async def store(self, key: Key, entry: Entry, keep: float) -> Stored:
        """Store an entry for `keep` seconds (> 0), if the floor still has the generation and the
        epoch of the entry's ticket, and no later version is stored."""
        ...

    async def drop(self, key: Key) -> None:
        """Raise the generation and remove the body of one key."""
        ...

    async def invalidate(
        self, training_id: str, updated_at: int | None, *, soft: bool = False
    ) -> None:
        """Invalidate the versions older than `updated_at` (None: all) in every partition: those
        that are stored, and those that fetches in flight bring. After a `soft` order they may be
        used for rescue."""
        ...

    async def invalidate_partition(self, partition: str) -> None:
        """Rule out all that was fetched for a partition up to now, and the fetches in flight. It is
        one step, however much is stored."""
        ...

    async def purge(self, partition: str | None, *, soft: bool) -> int:
        """Raise the generation of every key, or of every key of a partition, and remove the bodies;
        `soft` keeps them for rescue. Returns the number of keys."""
        ...

    async def secure(self, patience: float) -> Copies | None:
        """Wait until all replicas of Redis have all that was written so far, for `patience` seconds
        at most. None if Redis has no replicas."""
        ...
