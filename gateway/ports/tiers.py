"""The ports of the cache's tiers, and an entry as L1 holds it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from gateway.core.cache.content_coding import coded_entry
from gateway.core.cache.entry import Entry, FetchStart, Key
from gateway.core.cache.entry_headers import coded_head
from gateway.core.cache.marks import Facts, Marks, Version
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

    def code(self, body: bytes | None) -> None:
        """Make the compressed form, with this body. None: compressing gains nothing."""
        self.is_codable = body is not None
        if body is not None:
            head, brief_at = coded_head(self.head, self.entry, len(body))
            self.coded = self.but(entry=coded_entry(self.entry, body), head=head, brief_at=brief_at)

    def doubt(self) -> None:
        """From now on, Redis has to be asked before the entry is served. This has no effect while
        Redis cannot be asked (`Confirming.hears_orders`)."""
        self.checked_at = self.until = NEVER

    def leave_to_rescue(self) -> None:
        """From now on, use the entry only for rescue."""
        self.is_purged = True
        self.doubt()


class Found(NamedTuple):
    """What the shared store knows of a key.

    marks   the marks behind its responses, as they stand
    stored  the facts of the stored response (None: nothing is stored)
    entry   None if the body is not known: it was not asked for, or only the facts are stored
    """

    marks: Marks
    stored: Facts | None
    entry: Entry | None = None


class Stored(NamedTuple):
    """The verdict on an offered answer, and the facts that are stored then (None: not known)."""

    verdict: StoreVerdict
    facts: Facts | None


class SharedStore(Protocol):
    """L2: stored responses and marks that all replicas see. The rules are in core/cache/marks.

    Every call raises RedisUnavailable if it gets no answer within the timeout. All calls of
    `lookup` (or of `confirm`) in one turn of the event loop are sent together.
    """

    @property
    def is_up(self) -> bool:
        """Whether Redis can be asked now. If not, calls fail at once."""

    @property
    def holds_bodies(self) -> bool:
        """Whether the store has bodies in addition to facts. False without Redis."""

    def lookup(self, key: Key) -> Awaitable[Found]:
        """What is stored, with the body. A future can be returned in place of a coroutine, so that
        a look-up needs no task."""

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Found]:
        """What is stored of each key, without the bodies."""

    async def begin(self, key: Key) -> FetchStart:
        """The start of a fetch. Marks that are missing are made."""

    async def store(
        self, key: Key, facts: Facts, entry: Entry | None, keep: float, *, is_item: bool = False
    ) -> Stored:
        """Store an answer for `keep` seconds (> 0), if the marks allow it. `entry` None: the answer
        must not be stored. Its facts are stored nevertheless, and end what was stored before.
        `is_item`: it is an item of the list, so an older version is not noted as a refusal."""

    async def order(
        self, training_id: str | None, partition: str | None, version: Version, *, is_hard: bool
    ) -> bool:
        """Apply an order to the mark of a training, of a partition, or of everything (both None).
        It rules out what is stored and what fetches in flight will bring, in one step. Returns
        whether there was a mark. Without one, nothing is stored under it."""
