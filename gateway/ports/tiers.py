"""The two tiers of the cache: L1 in this process, L2 in Redis, and an entry as L1 holds it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from gateway.core.cache.entry import Confirmation, Entry, Floor, Key, Ticket
from gateway.core.vocabulary import Detail, Outcome, StoreVerdict, Tier

# The time of the last confirmation, if Redis was not asked about an entry or does not agree with
# it.
NEVER: Final = -math.inf


class Count(Protocol):
    """Counts one answer: its seconds, age and client, the caller's `traceparent` if that is sound,
    and what was asked for."""

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

    `status` is that of the entry. `count` counts an answer, `count_not_modified` a 304 instead of
    it. `is_routine`: only a sample of them is logged.
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
    """An entry as L1 holds it, with its head rendered.

    head        the lines of its header fields; those from `brief_at` on are in a 304 too
    checked_at  the monotonic time when Redis was last known to agree with it
    is_plain    it has a version, and no request field chose it: each caller of its key may get it
                while it is fresh
    is_purged   it may only be used for rescue, whatever Redis says or forgets
    is_verbatim the head has what the upstream says about caching
    is_codable  its compressed form is worth having; that is `coded`, once a caller wanted it
    cost        the bytes that L1 counts for it
    reads       how often L1 was asked for it; `reads_before` of these before it was confirmed

    The rest is a decision that L1 may serve it, which may be used again for a second at most: up to
    the monotonic time `until`, in this `edition` of `Serving`, with these `labels`, and with the
    lines `moment` after its head. Its age counts from `born` (monotonic).

    The garbage collector ignores these objects: there are many, and none is part of a cycle.
    """

    # The fields that each hit reads come first, and together.
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
        """Copy the entry's body here, where a hit finds it faster."""
        self.body = self.entry.body

    def but(self, **changes: object) -> Held:
        """The same with other values in these fields."""
        return msgspec.structs.replace(self, **changes)

    @property
    def reads_since(self) -> int:
        """How often it was read since it was confirmed."""
        return self.reads - self.reads_before

    def follow(self, before: Held) -> None:
        """Take over the number of reads from what was held under the key before."""
        is_confirmed = self.entry.confirmed_at != before.entry.confirmed_at
        self.reads_before = before.reads if is_confirmed else before.reads_before
        self.reads = max(self.reads, before.reads)

    def doubt(self) -> None:
        """Do not serve it before Redis was asked, nor while Redis is away."""
        self.checked_at = self.until = NEVER

    def leave_to_rescue(self) -> None:
        """Use it for rescue only."""
        self.is_purged = True
        self.doubt()


class LocalStore(Protocol):
    """L1: bounded in bytes; the least recently used entry goes first; never awaits."""

    def get(self, key: Key) -> Held | None:
        """What is held under the key. It becomes the most recently used."""
        ...

    def peek(self, key: tuple[str, str], /) -> Held | None:
        """What is held under the key. That does not count as a use."""
        ...

    def put(self, key: Key, held: Held) -> None:
        """Hold it instead of what was held, as the most recently used. An entry that alone is
        larger than the bound is not held."""
        ...

    def offer(self, key: Key, held: Held) -> bool:
        """Hold it as the least recently used, if there is room and nothing is held under the key.
        Returns whether it is held."""
        ...

    def replace(self, key: Key, held: Held) -> None:
        """Hold it instead of what is held, which must be something. This does not count as a
        use."""
        ...

    def drop(self, key: Key) -> bool:
        """Forget the key. Returns whether anything was held."""
        ...

    def drop_partition(self, partition: str) -> int:
        """Forget all keys of a partition. Returns how many were held."""
        ...

    def keys(self, partition: str | None = None, training_id: str | None = None) -> list[Key]:
        """The keys held: all, or those of a partition, of a training, or of both."""
        ...

    def last_used(self, most: int) -> list[Key]:
        """The keys that were used last, at most `most` of them, the most recent first."""
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
