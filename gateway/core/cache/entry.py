"""A stored response, and whether a floor (the record of a key's versions) rules it out.

Times are seconds on the clock that all replicas share (the clock of Redis, if there is a Redis).
An entry never changes. A renewal makes a new entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from gateway.core.http.fields import Headers
from gateway.core.instant import Instant, from_seconds

# Replicas measure the shared clock with small errors. If an entry seems to be confirmed more than
# this many seconds in the future, its age is unknown.
CLOCK_TOLERANCE = 1.0

# The upstream's clock may be this many seconds ahead. A version that is further ahead is a mistake.
# If the gateway accepted such a version, it would refuse all correct ones afterwards.
VERSION_TOLERANCE = 300.0

# Each floor has a number, its generation. An order to invalidate that names no version raises the
# generation: a hard order by 1, a soft order by SOFT (so the two kinds are counted separately).
# After a hard order, earlier entries may not even be used for rescue (served stale because the
# upstream fails). If a purge makes the gateway forget a version, or a refused version is believed,
# a new era begins: the generation rises to the next multiple of ERA, and the counts of orders are 0
# again.
SOFT = 1_000_000
ERA = 1_000 * SOFT


def era(generation: int) -> int:
    """The era of a generation."""
    return generation // ERA


def next_era(generation: int) -> int:
    """The first generation of the next era."""
    return (era(generation) + 1) * ERA


def leaves_nothing(before: int, now: int) -> bool:
    """Whether a hard order came between the two generations. If so, an entry of the generation
    `before` may not be used for rescue. If the eras differ, only hard orders of the later era
    count."""
    if now <= before:
        return False
    orders = now % SOFT
    return orders != before % SOFT if era(before) == era(now) else orders > 0


class Key(NamedTuple):
    """Identity in the cache: the partition of a credential or tenant, and the training's id."""

    partition: str
    training_id: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """The epoch and generation of the floor before a call. A fetch needs them to store the answer.
    `started`: when they were read."""

    epoch: str
    generation: int
    started: float


@dataclass(frozen=True, slots=True)
class Floor:
    """The record of a key's versions. Without a floor, nothing is known about the versions.

    epoch       a random text that each new floor gets. In the mode `passthrough`, the text ends
                with a value of the partition, and a 401 changes this value
    updated_at  the latest known version (None: not known, or forgotten)
    started     the start of the last fetch whose answer or page of the list was accepted, or the
                time of a later order that raised `updated_at` (0.0: no such time is known)
    """

    epoch: str
    generation: int
    updated_at: Instant | None
    digest: str
    started: float


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The fields of an answer that confirmed a stored body, named as in `Entry`. `headers` None:
    the entry keeps its header fields."""

    status: int
    headers: Headers | None
    date: str
    confirmed_at: float
    initial_age: float
    freshness_lifetime: float
    generation: int

    @classmethod
    def of(cls, entry: Entry) -> Confirmation:
        """The answer that made the entry or last renewed it."""
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
    """An answer of the upstream that passed all checks.

    headers       the end-to-end fields with lower-case names
    body          the received bytes, unchanged
    updated_at    None for a negative entry (404 or 410), and for any other answer that is no
                  training (stored only with `freshness.source = "origin"`)
    confirmed_at  when the last fetch that brought or confirmed the answer began
    initial_age   the age in seconds at `confirmed_at`, from the upstream's header fields
    generation    the generation of the floor when the fetch began; if the floor has a higher one
                  now, the entry may at most be used for rescue
    epoch         the epoch of the floor when the fetch began; a new floor, or a 401, brings a new
                  epoch
    selecting     the request fields that the answer's `Vary` names, normalised (RFC 9111, 4.1)

    `gc=False` makes the garbage collector ignore entries. No entry can be part of a cycle of
    references, so the collector is not needed for them.
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
        """Whether the entry seems to be confirmed in the future. If so, a clock was set back, and
        the age of the entry is unknown."""
        return now - self.confirmed_at < -CLOCK_TOLERANCE

    def age(self, now: float) -> float:
        """The age in seconds, never negative (RFC 9111, 4.2.3)."""
        return max(0.0, now - self.confirmed_at) + self.initial_age

    def is_fresh(self, now: float) -> bool:
        """Whether the entry is younger than its freshness lifetime. Each hit calls this, so the
        code of `age` and `is_from_the_future` is repeated here: calling them takes longer."""
        since = now - self.confirmed_at
        if since < 0.0:
            return since >= -CLOCK_TOLERANCE and self.initial_age < self.freshness_lifetime
        return since + self.initial_age < self.freshness_lifetime

    def fresh_for(self, seconds: float) -> Entry:
        """The same entry, with a freshness lifetime of `seconds` at most."""
        return self if self.freshness_lifetime <= seconds else self.but(freshness_lifetime=seconds)

    def went_back(self, floor: Floor | None) -> bool:
        """Whether the entry has a version below `floor.updated_at`, although its fetch began at
        `floor.started` or later. If so, the upstream itself went back."""
        if self.updated_at is None or floor is None or floor.updated_at is None:
            return False
        return self.confirmed_at >= floor.started and self.updated_at < floor.updated_at

    def is_below(self, floor: Floor) -> bool:
        """Whether the floor rules the entry out: the epochs differ, the entry has a lower
        generation or version, or it has no version and its fetch began before `floor.started`."""
        passed = self.epoch != floor.epoch or self.generation < floor.generation
        if passed:
            return True
        if self.updated_at is None:
            return self.confirmed_at < floor.started
        return floor.updated_at is not None and self.updated_at < floor.updated_at

    def confirmed_by(self, floor: Floor, last: Confirmation | None) -> Entry | None:
        """This entry, or a renewed copy, if the floor confirms the entry. Otherwise None, and the
        body must be read from Redis.

        `last` (None: not known) is the last answer with the digest of the floor. If `last` is later
        than this entry, the copy has the times and header fields of `last`. If `last` is None or
        has another generation than the entry, the entry is confirmed only if its fetch began at
        `floor.started` or later.

        The entry and the floor must have the same epoch, generation and digest, and the same
        version if the entry has one. A copy is made only if the entry and `last` have the same
        status, because different kinds of answers may have equal bytes. An entry with selecting
        fields is not copied, because `last` may answer a request with other fields.
        """
        same_life = (self.epoch, self.generation) == (floor.epoch, floor.generation)
        same_version = self.updated_at is None or self.updated_at == floor.updated_at
        if not same_life or not same_version or self.digest != floor.digest:
            return None
        if last is None or last.generation != self.generation:
            return self if self.confirmed_at >= floor.started else None
        if self.confirmed_at >= last.confirmed_at:
            renewed = self
        elif self.status != last.status or self.selecting:
            return None
        else:
            renewed = self.but(
                headers=self.headers if last.headers is None else last.headers,
                date=last.date,
                confirmed_at=last.confirmed_at,
                initial_age=last.initial_age,
                freshness_lifetime=last.freshness_lifetime,
            )
        return None if renewed.is_below(floor) else renewed
