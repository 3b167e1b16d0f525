"""An entry as L1 holds it, and how answers with it are told and counted."""

from __future__ import annotations

import math
from typing import Final, Protocol

import msgspec

from gateway.core.cache.entry import Entry
from gateway.core.vocabulary import Detail, Outcome, Tier

# When Redis agreed with what it was not asked about, or does not agree with.
NEVER: Final = -math.inf


class Count(Protocol):
    """Counts one answer of a sort: seconds, age, client, and the trace where one is sampled."""

    def __call__(
        self, seconds: float, age: float, client: str, trace: bytes | None = None, /
    ) -> None: ...


class HitLabels:
    """How answers of one sort are told and counted: one object for thousands of them.

    `status` is the entry's. `count`, and `count_not_modified` for a 304 in its place, take the
    seconds that it took, the age and the client.
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

    `head` is the lines of its fields, from `brief_at` on those that a 304 says as well;
    `is_verbatim`: with what the upstream says of caching. `is_plain`: it has a version, and no
    request field chose it, so that whoever asks for its key may have it while it is fresh.
    `checked_at` is the monotonic time when Redis was last known to agree with it. `is_purged`:
    it may rescue and nothing else, whatever Redis says or forgets. `cost` is what L1 counts
    for it, in bytes. `is_codable`: its compressed form is worth having; that is `coded`, once
    somebody asked for it. `reads` counts the answers that L1 was asked for; `reads_before` are
    those before it was confirmed.

    `until` to `born` are the answer that L1 gives with it unasked, and what that is good for:
    until the monotonic time `until`, in the `edition` of `Serving`, with these `labels`, with the
    lines `moment` behind its head; its age counts from `born`, monotonic too. At most for a
    second, since they tell the age.

    The collector of cycles does not see it: there are many, and none is part of a cycle.
    """

    # What each hit reads comes first, and together.
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
        """The entry's body, at hand."""
        self.body = self.entry.body

    def but(self, **changes: object) -> Held:
        """The same with other values in these fields."""
        return msgspec.structs.replace(self, **changes)

    @property
    def reads_since(self) -> int:
        """How often it was read since it was confirmed."""
        return self.reads - self.reads_before

    def follow(self, before: Held) -> None:
        """Go on counting the reads of what was held under the key."""
        is_confirmed = self.entry.confirmed_at != before.entry.confirmed_at
        self.reads_before = before.reads if is_confirmed else before.reads_before
        self.reads = max(self.reads, before.reads)

    def doubt(self) -> None:
        """Let nobody answer with it before Redis was asked, or while Redis is away."""
        self.checked_at = self.until = NEVER

    def leave_to_rescue(self) -> None:
        """Let it rescue, and nothing else."""
        self.is_purged = True
        self.doubt()
