"""An entry as L1 holds it, and how answers with it are logged and counted."""

from __future__ import annotations

import math
from typing import Final, Protocol

import msgspec

from gateway.core.cache.entry import Entry
from gateway.core.vocabulary import Detail, Outcome, Tier

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
    it.
    """

    __slots__ = ("count", "count_not_modified", "detail", "outcome", "status", "tier")

    def __init__(
        self,
        outcome: Outcome,
        tier: Tier,
        detail: Detail | None,
        status: int,
        counts: tuple[Count, Count],
    ) -> None:
        self.outcome = outcome
        self.tier = tier
        self.detail = detail
        self.status = status
        self.count, self.count_not_modified = counts


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
