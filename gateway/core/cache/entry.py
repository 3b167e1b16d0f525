"""A stored response, and whether a version floor rules it out.

Times are seconds on the clock that all replicas share (if there is a Redis: the clock of Redis).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from gateway.core.http.fields import Headers, first
from gateway.core.instant import Instant, from_seconds

# Replicas measure the shared clock with small errors. So the time when an entry was confirmed can
# seem to be this many seconds in the future.
CLOCK_TOLERANCE = 1.0

# The upstream's clock may be this many seconds ahead. If the gateway accepted a version that is
# further ahead, it would refuse all correct versions afterwards.
VERSION_TOLERANCE = 300.0

# The generation of a floor rises with each order that names no version: by 1 after a hard order, by
# SOFT after a soft one. An era is ERA generations long. The generation rises to the start of the
# next era if a purge makes the gateway forget a version, or if the gateway believes a version that
# it had refused.
SOFT = 1_000_000
ERA = 1_000 * SOFT


def era(generation: int) -> int:
    """The era of a generation."""
    return generation // ERA


def next_era(generation: int) -> int:
    """The first generation of the next era."""
    return (era(generation) + 1) * ERA


def leaves_nothing(before: int, now: int) -> bool:
    """Whether a hard order came between the generations `before` and `now`, so that not even rescue
    is allowed. If the eras differ, only hard orders of the later era count."""
    if now <= before:
        return False
    orders = now % SOFT
    return orders != before % SOFT if era(before) == era(now) else orders > 0


class Key(NamedTuple):
    """What identifies an entry: a partition, and the training's id."""

    partition: str
    training_id: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """The epoch and generation of the floor at the time `started`, before a call."""

    epoch: str
    generation: int
    started: float


@dataclass(frozen=True, slots=True)
class Floor:
    """The version floor of a key.

    epoch       random text. In the mode `passthrough` it ends with the value of the share record of
                the partition. A 401 changes this value
    updated_at  the latest known version (None: not known, or forgotten)
    started     when the fetch of the last accepted answer or page of the list began. If an order
                raised `updated_at` after that, or ruled out a 404 or 410: the time of the order.
                0.0: not known
    """

    epoch: str
    generation: int
    updated_at: Instant | None
    digest: str
    started: float


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The fields of an answer that confirmed a stored body. `headers` None: the entry keeps its
    header fields."""

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
    updated_at    None: the answer is no training
    confirmed_at  the start of the last fetch that brought or confirmed the answer
    initial_age   the age in seconds at `confirmed_at`, from the upstream's header fields
    epoch         the epoch of the floor when the fetch of `confirmed_at` began
    generation    the generation of the floor at that time. If the answer made the generation rise
                  (see `ERA`): the new generation
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

    def went_back(self, floor: Floor | None) -> bool:
        """Whether the upstream itself went back to a version below that of the floor. False if the
        fetch began before `floor.started`: its answer perhaps just came late."""
        if self.updated_at is None or floor is None or floor.updated_at is None:
            return False
        return self.confirmed_at >= floor.started and self.updated_at < floor.updated_at

    def is_below(self, floor: Floor) -> bool:
        """Whether the floor rules the entry out."""
        is_invalidated = self.epoch != floor.epoch or self.generation < floor.generation
        if is_invalidated:
            return True
        if self.updated_at is None:
            return self.confirmed_at < floor.started
        return floor.updated_at is not None and self.updated_at < floor.updated_at

    def confirmed_by(self, floor: Floor, last: Confirmation | None) -> Entry | None:
        """This entry or a renewed copy, if the floor confirms the entry. None: the body must be
        read from Redis.

        `last` is the last answer with the digest of the floor (None: not known). If `last` is
        later than this entry, it renews the entry. In these two cases the result is None instead:

        - `last` has another status than the entry. Different kinds of answers may have equal bytes.
        - The entry has selecting fields, or `last` has `Vary`. `last` is perhaps the answer to a
        request with other fields.
        """
        same_life = (self.epoch, self.generation) == (floor.epoch, floor.generation)
        same_version = self.updated_at is None or self.updated_at == floor.updated_at
        if not same_life or not same_version or self.digest != floor.digest:
            return None
        if last is None or last.generation != self.generation:
            return self if self.confirmed_at >= floor.started else None
        if self.confirmed_at >= last.confirmed_at:
            renewed = self
        elif self.status != last.status or self.selecting or first(last.headers or (), b"vary"):
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
