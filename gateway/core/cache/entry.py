"""A stored response.

Times are seconds on the clock that all replicas share (if there is a Redis: the clock of Redis).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from gateway.core.cache.marks import CLOCK_TOLERANCE, Facts, Ticket
from gateway.core.http.fields import Headers
from gateway.core.instant import Instant, from_seconds, to_http_date

# The upstream's clock may be this many seconds ahead. If the gateway accepted a version that is
# further ahead, it would refuse all correct versions afterwards.
VERSION_TOLERANCE = 300.0


class Key(NamedTuple):
    """What identifies an entry: a partition, and the training's id."""

    partition: str
    training_id: str


class FetchStart(NamedTuple):
    """When a fetch began, and the words that it read before its call. `read_at`: a moment from
    which on the words were read (monotonic)."""

    started: float
    ticket: Ticket = Ticket()
    read_at: float = -math.inf


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An answer of the upstream that passed all checks.

    headers       the end-to-end fields with lower-case names
    body          the received bytes, unchanged
    updated_at    None: the answer is no training
    confirmed_at  when the API last confirmed it: `started`, or the moment of a page of the list
    initial_age   the age in seconds at `confirmed_at`, from the upstream's header fields
    started       the start of the last fetch that brought or confirmed the answer
    ticket        the words of the marks that this fetch read before its call
    selecting     the request fields that the answer's `Vary` names, normalised (RFC 9111, 4.1)

    `gc=False` is safe, because no entry can be part of a cycle of references.
    """

    status: int
    headers: Headers
    body: bytes
    updated_at: Instant | None
    updated_at_text: str
    digest: str
    date: str
    confirmed_at: float
    initial_age: float
    freshness_lifetime: float
    started: float
    ticket: Ticket
    selecting: Headers = ()

    def but(self, **changes: object) -> Entry:
        """A copy with these fields changed."""
        return msgspec.structs.replace(self, **changes)

    @property
    def is_negative(self) -> bool:
        """Whether the answer was that the training does not exist."""
        return self.updated_at is None and self.status in (404, 410)

    @property
    def is_ahead(self) -> bool:
        """Whether the version was far in the future when the entry was fetched."""
        if self.updated_at is None:
            return False
        return self.updated_at > from_seconds(self.confirmed_at + VERSION_TOLERANCE)

    def is_from_the_future(self, now: float) -> bool:
        """Whether the entry seems to be confirmed in the future. Then a clock was set back, and the
        age is not known."""
        return now - self.confirmed_at < -CLOCK_TOLERANCE

    def age(self, now: float) -> float:
        """The age in seconds, never negative (RFC 9111, 4.2.3)."""
        return max(0.0, now - self.confirmed_at) + self.initial_age

    def is_fresh(self, now: float) -> bool:
        """Whether the entry is fresh. Each hit calls this, so `age` and `is_from_the_future` are
        repeated here: calling them takes longer."""
        since = now - self.confirmed_at
        if since < 0.0:
            return since >= -CLOCK_TOLERANCE and self.initial_age < self.freshness_lifetime
        return since + self.initial_age < self.freshness_lifetime

    def is_just_answered(self, now: float) -> bool:
        """Whether the upstream brought or confirmed the entry less than a freshness lifetime ago.
        The entry can be stale nevertheless, because of its age at that time."""
        return -CLOCK_TOLERANCE <= now - self.confirmed_at < self.freshness_lifetime

    @property
    def facts(self) -> Facts:
        """What the rules of marks need to know of the entry."""
        return Facts(self.updated_at, self.ticket, self.started, self.confirmed_at)

    def renewed_by(self, facts: Facts | None) -> Entry:
        """This entry, or a copy that is confirmed later. `facts`: those of the stored response,
        which the list has perhaps confirmed. They count if it is the same response."""
        if facts is None or facts.confirmed <= self.confirmed_at:
            return self
        if (facts.version, facts.started) != (self.updated_at, self.started):
            return self
        date = to_http_date(from_seconds(facts.confirmed))
        return self.but(date=date, confirmed_at=facts.confirmed, initial_age=0.0)
