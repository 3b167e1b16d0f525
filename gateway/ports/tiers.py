"""The ports of the cache's tiers (L1 in this process, L2 in Redis), and an entry as L1 holds it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from gateway.core.cache.entry import Confirmation, Entry, Floor, Key, Ticket
from gateway.core.vocabulary import Detail, Outcome, StoreVerdict, Tier

# As `Held.checked_at`: Redis was not asked about the entry, or does not agree with it. As
# `Held.until`: no decision about the entry may be used again.
NEVER: Final = -math.inf


class Count(Protocol):
    """Counts one answer. `traceparent` is the caller's field (None: absent or not valid)."""

    def __call__(  # noqa: PLR0917 -- names would cost each hit
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
    """How answers with the same outcome, tier, detail and status are logged and counted. Thousands
    of answers share one object.

    `status` is the entry's status. `count` counts an answer with this status. `count_not_modified`
    counts an answer with 304. `is_routine`: only a sample of these answers is logged.
    """

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
    is_plain      while the entry is fresh, all requests for the key may get it: the entry has a
                  version, and does not depend on request fields (`Vary`)
    is_purged     the entry may only be used for rescue, whatever Redis says or forgets
    is_verbatim   the head has the upstream's own caching fields
    is_codable    a compressed form is worth its cost
    coded         the compressed form, made when a caller first wants it
    cost          the bytes that L1 counts for the entry
    reads         how often the entry was read in L1
    reads_before  how many of these reads came before the last confirmation

    A decision that L1 may serve the entry is used again, for a second at most. The fields of the
    decision:

    until    the monotonic time until which the decision may be used
    edition  the decision may be used only as long as `Confirming.edition` returns this object
    labels   how the answers are counted
    moment   the lines that are sent after the head: `Age` and `Cache-Status`
    born     the age of the entry counts from this monotonic time

    The garbage collector ignores these objects, because there are many, and none is part of a
    cycle.
    """

    # The fields that each hit reads are together, at the beginning.
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
        """Copy the reference to the entry's body to a place where a hit reads it faster."""
        self.body = self.entry.body

    def but(self, **changes: object) -> Held:
        """A copy in which the fields named in `changes` have the new values."""
        return msgspec.structs.replace(self, **changes)

    @property
    def reads_since(self) -> int:
        """How often the entry was read since it was confirmed."""
        return self.reads - self.reads_before

    def follow(self, before: Held) -> None:
        """Take over the number of reads from `before`, which this object replaces in L1."""
        is_confirmed = self.entry.confirmed_at != before.entry.confirmed_at
        self.reads_before = before.reads if is_confirmed else before.reads_before
        self.reads = max(self.reads, before.reads)

    def doubt(self) -> None:
        """From now on, ask Redis before the entry is served. This has no effect while Redis cannot
        be asked (`Confirming.vouches_alone`)."""
        self.checked_at = self.until = NEVER

    def leave_to_rescue(self) -> None:
        """From now on, use the entry only for rescue."""
        self.is_purged = True
        self.doubt()


class LocalStore(Protocol):
    """L1: holds entries up to a number of bytes, and then evicts the least recently used entry. No
    method awaits."""

    def get(self, key: Key) -> Held | None:
        """The entry under the key, which becomes the most recently used."""
        ...

    def peek(self, key: tuple[str, str], /) -> Held | None:
        """The entry under the key. This does not count as a use."""
        ...

    def put(self, key: Key, held: Held) -> None:
        """Hold the entry as the most recently used, in place of an earlier one under the key. An
        entry that alone is larger than L1 is not held."""
        ...

    def offer(self, key: Key, held: Held) -> bool:
        """Hold the entry as the least recently used, if there is room and L1 has no entry under the
        key. Returns whether the entry is held."""
        ...

    def replace(self, key: Key, held: Held) -> None:
        """Replace the entry under the key. The key must have one. This does not count as a use."""
        ...

    def drop(self, key: Key) -> bool:
        """Forget the key. Returns whether anything was held."""
        ...

    def drop_partition(self, partition: str) -> int:
        """Forget all keys of a partition. Returns how many were held."""
        ...

    def keys(self, partition: str | None = None, training_ids: Set[str] | None = None) -> list[Key]:
        """All keys, or only those with this partition, with one of these training ids, or both.
        Each call reads every key."""
        ...

    def last_used(self, most: int) -> list[Key]:
        """At most `most` keys that were used last, the most recent first."""
        ...

    @property
    def entries(self) -> int:
        """How many entries are held."""
        ...

    @property
    def size(self) -> int:
        """How many bytes the entries take, with keys, headers and overhead."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a look-up in the shared store.

    entry      None if there is no floor or no usable body, or if the body may not even be used for
               rescue
    floor      None if there is no floor, or if a record that may rule out the body is lost
    struck_at  responses that were last confirmed at this time (see `Clock.now`) or before are ruled
               out
    """

    entry: Entry | None
    floor: Floor | None
    struck_at: float = -math.inf


@dataclass(frozen=True, slots=True)
class Stored:
    """The verdict on an entry that was offered to the store, and the floor after it (None:
    unknown)."""

    verdict: StoreVerdict
    floor: Floor | None


@dataclass(frozen=True, slots=True)
class Copies:
    """How many replicas Redis has, and how many of them have all that was written."""

    known: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a key, without the stored body.

    last       reads the last confirmation of the body (None: not known). This costs more than
               reading the floor, and is needed only if the floor was confirmed later than the entry
    struck_at  as in `Found`
    """

    floor: Floor
    last: Callable[[], Confirmation | None]
    struck_at: float = -math.inf


class SharedStore(Protocol):
    """L2: bodies and version floors that all replicas see.

    Every call raises RedisUnavailable if it gets no answer within the timeout. The calls of
    `lookup` in one turn of the event loop are sent together, and so are the calls of `confirm`.
    """

    @property
    def is_up(self) -> bool:
        """Whether each node of the store answered when it was last asked."""
        ...

    def reaches(self, key: Key) -> bool:
        """Whether the node that has the key can be asked now. If not, calls fail at once."""
        ...

    @property
    def holds_bodies(self) -> bool:
        """Whether the store has bodies in addition to floors. False in a process without Redis."""
        ...

    def lookup(self, key: Key) -> Awaitable[Found]:
        """The body and the floor of a key. May return a future, so that no key needs a task."""
        ...

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Standing | None]:
        """The state of each key (None: nothing is known). Keys whose node cannot be asked are left
        out. Raises if no node can be asked."""
        ...

    async def begin(self, key: Key) -> Ticket:
        """The ticket for a fetch. Makes a floor if the key has none."""
        ...

    async def store(self, key: Key, entry: Entry, keep: float) -> Stored:
        """Store an entry for `keep` seconds (> 0), if no later version is known, and the floor
        still has the generation and the epoch of the entry's ticket."""
        ...

    async def drop(self, key: Key) -> None:
        """Raise the generation and remove the body of one key."""
        ...

    async def invalidate(
        self, training_id: str, updated_at: int | None, *, soft: bool = False
    ) -> None:
        """Invalidate the versions older than `updated_at` (None: all) in every partition, including
        those that fetches in flight will bring. After a `soft` order, stored versions may still be
        used for rescue."""
        ...

    async def invalidate_partition(self, partition: str) -> None:
        """Invalidate all responses of a partition that were fetched until now, and those that
        fetches in flight will bring. This is one step, however much is stored."""
        ...

    async def purge(self, partition: str | None, *, soft: bool) -> int:
        """Raise the generation of all keys (or of all keys of one partition), forget their
        versions, and remove their bodies. `soft` keeps the bodies for rescue. Returns how many keys
        there were."""
        ...

    async def secure(self, patience: float) -> Copies | None:
        """Wait `patience` seconds at most, until all replicas of Redis have the data that was
        written before. None if Redis has no replicas."""
        ...
