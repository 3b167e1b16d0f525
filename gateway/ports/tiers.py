"""The ports of the cache's tiers, and an entry as L1 holds it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from gateway.core.cache.entry import Confirmation, Entry, Floor, Key, Ticket
from gateway.core.vocabulary import Detail, Outcome, StoreVerdict, Tier

# `Held.checked_at` has this value if Redis has not confirmed the entry, and `Held.until` if no
# decision can be used again.
NEVER: Final = -math.inf


class Count(Protocol):
    """Counts one answer. `traceparent` None: absent or not valid."""

    def __call__(  # noqa: PLR0917 -- keyword arguments would slow down each hit
        self,
        seconds: float,
        age: float,
        client: str,
        traceparent: bytes | None = None,
        training_id: str = "",
        is_head: bool = False,
        /,
    ) -> None: ...


class HitLabels:
    """How answers of one kind are logged and counted. Thousands of answers use the same object.
    `is_routine`: only a sample of these answers is logged."""

    __slots__ = (
        *("count", "count_not_modified", "detail", "is_routine", "outcome", "status", "tier"),
    )

    def __init__(
        self,
        outcome: Outcome,
        tier: Tier,
        detail: Detail | None,
        status: int,
        counts: tuple[Count, Count],
        *,
        is_routine: bool,
    ) -> None:
        self.outcome = outcome
        self.tier = tier
        self.detail = detail
        self.status = status
        self.count, self.count_not_modified = counts
        self.is_routine = is_routine


class Held(msgspec.Struct, gc=False):
    """An entry as L1 holds it, with its rendered head.

    head          the lines of the header fields; a 304 has only those from byte `brief_at` on
    checked_at    when Redis was last known to agree with the entry (monotonic)
    is_plain      while fresh, all requests may get it: it has a version, and no `Vary`
    is_purged     it is only for rescue, whatever Redis says or forgets
    is_verbatim   the head has the upstream's own caching fields
    is_codable    a compressed form is worth its cost
    coded         the compressed form, made when a caller first wants it
    cost          the bytes that L1 counts for the entry
    reads         how often this entry, or an entry that it replaced, was read
    reads_before  how many of the `reads` came before the upstream last confirmed the entry

    A decision that L1 may serve the entry is used again, for a second at most:

    until    the monotonic time until which the decision may be used
    edition  what `Confirming.edition` returned for the decision. The decision may be used only as
             long as this function returns the same object
    moment   the lines after the head: `Age` and `Cache-Status`
    born     the monotonic time from which the entry's age counts

    The garbage collector ignores these objects: there are many, and none is part of a cycle.
    """

    # The fields that most hits read are together, at the beginning.
    entry: Entry
    head: bytes
    brief_at: int
    checked_at: float
    body: bytes = b""
    until: float = NEVER
    edition: object = None
    labels: HitLabels | None = None
    moment: bytes = b""
    born: float = NEVER
    is_codable: bool = False
    is_purged: bool = False
    is_plain: bool = True
    is_verbatim: bool = False
    cost: int = 0
    coded: Held | None = None
    reads: int = 0
    reads_before: int = 0

    def __post_init__(self) -> None:
        """Copy the body from the entry, because a hit reads it faster from this object."""
        self.body = self.entry.body

    def but(self, **changes: object) -> Held:
        """A copy with these `changes`."""
        return msgspec.structs.replace(self, **changes)

    @property
    def reads_since(self) -> int:
        """How often the entry was read since the upstream last confirmed it."""
        return self.reads - self.reads_before

    def follow(self, before: Held) -> None:
        """Take over the number of reads from `before`, which this object replaces."""
        is_confirmed = self.entry.confirmed_at != before.entry.confirmed_at
        self.reads_before = before.reads if is_confirmed else before.reads_before
        self.reads = max(self.reads, before.reads)

    def doubt(self) -> None:
        """From now on, Redis has to be asked before the entry is served. This has no effect while
        Redis cannot be asked (`Confirming.vouches_alone`)."""
        self.checked_at = self.until = NEVER

    def leave_to_rescue(self) -> None:
        """From now on, use the entry only for rescue."""
        self.is_purged = True
        self.doubt()


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a look-up in the shared store.

    entry      None if there is no floor, or no body that may be served or used for rescue
    floor      None if there is none, or if a record is lost that perhaps ruled out the body
    struck_at  responses last confirmed at this time (see `Clock.now`) or before are ruled out
    """

    entry: Entry | None
    floor: Floor | None
    struck_at: float = -math.inf


@dataclass(frozen=True, slots=True)
class Stored:
    """The verdict on an offered entry, and the floor after it (None: unknown)."""

    verdict: StoreVerdict
    floor: Floor | None


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a key, without the stored body.

    last       a function that reads the last confirmation of the body (None: not known). It is
               slow, and needed only if the floor was confirmed later than the entry in L1
    struck_at  as in `Found`
    """

    floor: Floor
    last: Callable[[], Confirmation | None]
    struck_at: float = -math.inf


class SharedStore(Protocol):
    """L2: bodies and version floors that all replicas see.

    Every call raises RedisUnavailable if it gets no answer within the timeout. All calls of
    `lookup` (or of `confirm`) in one turn of the event loop are sent together.
    """

    @property
    def is_up(self) -> bool:
        """Whether Redis can be asked now. If not, calls fail at once."""

    @property
    def holds_bodies(self) -> bool:
        """Whether the store has bodies in addition to floors. False without Redis."""

    def lookup(self, key: Key) -> Awaitable[Found]:
        """The body and the floor of a key. A future can be returned in place of a coroutine, so
        that a look-up needs no task."""

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Standing | None]:
        """The state of each key (None: nothing is known)."""

    async def begin(self, key: Key) -> Ticket:
        """The ticket for a fetch. Makes a floor if the key has none."""

    async def store(self, key: Key, entry: Entry, keep: float) -> Stored:
        """Store an entry for `keep` seconds (> 0), if no later version is known, and if the floor
        still has the generation and the epoch of the entry's ticket."""

    async def drop(self, key: Key) -> None:
        """Raise the generation and remove the body of the key."""

    async def invalidate(
        self, training_id: str, updated_at: int | None, *, soft: bool = False
    ) -> None:
        """Invalidate the versions older than `updated_at` (None: all) in every partition, also
        those that fetches in flight will bring. A stored 404 or 410 is invalidated too, unless a
        version is known that is later than all that orders have named. `soft` keeps stored versions
        for rescue."""

    async def invalidate_key(self, key: Key) -> None:
        """Invalidate all versions of one key, also those that fetches in flight will bring."""

    async def invalidate_partition(self, partition: str) -> None:
        """Invalidate all responses of a partition, also those that fetches in flight will bring.
        This is one step, however much is stored."""

    async def purge(self, partition: str | None, *, soft: bool) -> int:
        """Raise the generation of all keys of a partition (None: of all partitions), forget their
        versions, and remove their bodies. `soft` keeps the bodies for rescue. Returns the number of
        these keys."""
