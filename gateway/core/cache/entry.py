"""A stored response: what it is, its times, and which of two is the later one.

Times are seconds on the clock that the replicas share (Redis', or the process's own where
there is no Redis). An entry never changes: to renew is to make another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from gateway.core.http.fields import Headers
from gateway.core.instant import Instant, from_seconds

# Two replicas read the shared clock through offsets that each measured for itself; an entry
# may so seem to come from the near future. What comes from further ahead has no known age.
CLOCK_TOLERANCE = 1.0

# Upstream's clock may be ahead of the shared one by so many seconds. A version from further
# ahead is a mistake that would refuse all true ones.
VERSION_TOLERANCE = 300.0

# An order that leaves nothing to rescue adds one to a generation, a soft one adds so many that both
# can be told. What forgot or took back a version begins another era, with no order in it.
SOFT = 1_000_000
ERA = 1_000 * SOFT


def era(generation: int) -> int:
    """In which era a generation is."""
    return generation // ERA


def next_era(generation: int) -> int:
    """The first generation of the era after that one."""
    return (era(generation) + 1) * ERA


def leaves_nothing(before: int, now: int) -> bool:
    """Whether an order came between the two generations that leaves nothing of the first to rescue.
    Of an era that has ended all is left, as long as no such order came since."""
    if now <= before:
        return False
    orders = now % SOFT
    return orders != before % SOFT if era(before) == era(now) else orders > 0


class Key(NamedTuple):
    """Identity in the cache: one credential's or tenant's share, and the training's id."""

    partition: str
    training_id: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a fetch takes before it calls upstream, and shows when it wants to store.

    `epoch` and `generation` are the floor's at that moment; `started` is the shared clock.
    """

    epoch: str
    generation: int
    started: float


@dataclass(frozen=True, slots=True)
class Floor:
    """What is known of a key's versions, whether or not a body is held.

    `updated_at` None: no version was seen yet. An absent floor is "unknown", never zero.
    `started` is when the fetch began that last confirmed this version, 0.0 if none did.
    """

    epoch: str
    generation: int
    updated_at: Instant | None
    digest: str
    started: float


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What an answer that confirmed a body brought beside it; fields as in `Entry`.

    `headers` None: it said nothing of them, and those of the entry stay.
    """

    status: int
    headers: Headers | None
    date: str
    confirmed_at: float
    initial_age: float
    freshness_lifetime: float
    generation: int

    @classmethod
    def of(cls, entry: Entry) -> Confirmation:
        """That of the answer which made the entry, or renewed it last."""
        return cls(
            status=entry.status,
            headers=entry.headers,
            date=entry.date,
            confirmed_at=entry.confirmed_at,
            initial_age=entry.initial_age,
            freshness_lifetime=entry.freshness_lifetime,
            generation=entry.generation,
        )


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An answer of the upstream that passed its checks, as it will be served.

    headers     end-to-end fields, names lower-case, validators included where upstream sent any
    body        the bytes received, verbatim
    updated_at  None for an answer without a version: a negative entry (404 or 410), and under
                `freshness.source = "origin"` whatever else may be stored that is no training
    confirmed_at  when the call that last confirmed it was sent
    initial_age   seconds of `Age` that the upstream reported with it
    generation  the floor's when the fetch began; below the floor's it is never fresh
    selecting   the request fields that its `Vary` names, as they were sent (RFC 9111, 4.1)

    The collector of cycles does not see it: there are many, and none can be part of a cycle.
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
    generation: int
    epoch: str
    selecting: Headers = ()

    def but(self, **changes: object) -> Entry:
        """The same with other values in these fields."""
        return msgspec.structs.replace(self, **changes)

    @property
    def is_negative(self) -> bool:
        """Whether it remembers that the training does not exist."""
        return self.updated_at is None and self.status in (404, 410)

    @property
    def is_ahead(self) -> bool:
        """Whether its version was far in the future when it was fetched."""
        if self.updated_at is None:
            return False
        return self.updated_at > from_seconds(self.confirmed_at + VERSION_TOLERANCE)

    def is_from_the_future(self, now: float) -> bool:
        """Whether a clock was set back since, so that its age cannot be told."""
        return now - self.confirmed_at < -CLOCK_TOLERANCE

    def age(self, now: float) -> float:
        """Seconds since the upstream vouched for it, never negative (RFC 9111, 4.2.3)."""
        return max(0.0, now - self.confirmed_at) + self.initial_age

    def is_fresh(self, now: float) -> bool:
        """Whether it is younger than its freshness lifetime; asked by each hit."""
        since = now - self.confirmed_at
        if since < 0.0:  # `age`, written out, and `is_from_the_future`
            return since >= -CLOCK_TOLERANCE and self.initial_age < self.freshness_lifetime
        return since + self.initial_age < self.freshness_lifetime

    def fresh_for(self, seconds: float) -> Entry:
        """The same entry, fresh for so many seconds at most."""
        return self if self.freshness_lifetime <= seconds else self.but(freshness_lifetime=seconds)

    def supersedes(self, other: Entry) -> bool:
        """Whether this one may replace `other`: the later version, then the later fetch.

        What has no version is ordered by its fetch alone.
        """
        if self.updated_at is None or other.updated_at is None:
            return self.confirmed_at >= other.confirmed_at
        if self.updated_at != other.updated_at:
            return self.updated_at > other.updated_at
        return self.confirmed_at >= other.confirmed_at

    def went_back(self, floor: Floor | None) -> bool:
        """Whether it is an older version than the floor's, and no fetch that another overtook."""
        if self.updated_at is None or floor is None or floor.updated_at is None:
            return False
        return self.confirmed_at >= floor.started and self.updated_at < floor.updated_at

    def is_below(self, floor: Floor) -> bool:
        """Whether the floor rules it out: another epoch, a generation or version passed.

        Where it has no version, what was learnt since its fetch rules it out.
        """
        passed = self.epoch != floor.epoch or self.generation < floor.generation
        if passed:
            return True
        if self.updated_at is None:
            return self.confirmed_at < floor.started
        return floor.updated_at is not None and self.updated_at < floor.updated_at

    def confirmed_by(self, floor: Floor, last: Confirmation | None) -> Entry | None:
        """This entry, or the same body renewed by a later answer (`last`, None: not known);
        None where only a look at the body that others hold can tell.

        A body is the same if its digest is; its version and the status are compared as well,
        since two kinds of answer may bring the same bytes. A later answer to a request with
        other selecting fields is not told from one with the same.
        """
        same_life = (self.epoch, self.generation) == (floor.epoch, floor.generation)
        same_version = self.updated_at is None or self.updated_at == floor.updated_at
        if not same_life or not same_version or self.digest != floor.digest:
            return None
        if last is None or last.generation != self.generation:
            return self if self.confirmed_at >= floor.started else None
        if self.confirmed_at >= last.confirmed_at:
            return self
        if self.status != last.status or self.selecting:
            return None
        return self.but(
            headers=self.headers if last.headers is None else last.headers,
            date=last.date,
            confirmed_at=last.confirmed_at,
            initial_age=last.initial_age,
            freshness_lifetime=last.freshness_lifetime,
        )
