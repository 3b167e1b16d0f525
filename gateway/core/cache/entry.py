"""A stored response: what it is, its times, and whether a floor rules it out. version_verdict says
which of two is the later one.

Times are seconds on the clock that the replicas share (Redis' clock, or that of the process if
there is no Redis). An entry never changes. To renew it, another one is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from gateway.core.http.fields import Headers
from gateway.core.instant import Instant, from_seconds

# Each replica measures for itself how far the shared clock is from its own. An entry of another
# replica may therefore seem to come from the near future. If it is further ahead, its age is
# unknown.
CLOCK_TOLERANCE = 1.0

# The upstream's clock may be ahead of the shared one by so many seconds. A version that is further
# ahead is a mistake, and would make the gateway refuse all correct ones.
VERSION_TOLERANCE = 300.0

# A hard order, which leaves nothing for rescue, adds 1 to a generation. A soft order adds SOFT, so
# that the two kinds can be counted apart. When a version is forgotten or taken back, a new era
# begins, which has no order yet.
SOFT = 1_000_000
ERA = 1_000 * SOFT


def era(generation: int) -> int:
    """The era of a generation."""
    return generation // ERA


def next_era(generation: int) -> int:
    """The first generation of the next era."""
    return (era(generation) + 1) * ERA


def leaves_nothing(before: int, now: int) -> bool:
    """Whether a hard order came between the two generations, so that an entry of the first may not
    be used for rescue. If its era has ended, it may be used until a hard order comes."""
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
    """What a fetch takes before it calls upstream, and needs when it stores the answer.

    `epoch` and `generation` are those of the floor at that moment; `started` is the time on the
    shared clock.
    """

    epoch: str
    generation: int
    started: float


@dataclass(frozen=True, slots=True)
class Floor:
    """What is known of the versions of a key, whether or not its body is stored.

    `updated_at` None: no version was seen yet. If there is no floor at all, the version is unknown.
    `started` is the time when the fetch began that last confirmed this version, or 0.0.
    """

    epoch: str
    generation: int
    updated_at: Instant | None
    digest: str
    started: float


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What an answer that confirmed a stored body said beside it; fields as in `Entry`.

    `headers` None: it said nothing about headers, and those of the entry stay.
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
        """What the answer said that made the entry, or that renewed it last."""
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
    updated_at  None for an answer without a version: a negative entry (404 or 410), or, with
                `freshness.source = "origin"`, another answer that is no training
    confirmed_at  when the call that last confirmed it was sent
    initial_age   seconds of `Age` that the upstream reported with it
    generation  that of the floor when the fetch began; an entry with a lower one than the floor
                is never fresh
    selecting   the request fields that its `Vary` names, as they were sent (RFC 9111, 4.1)

    The garbage collector ignores entries: there are many, and none can be part of a cycle.
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
        """Whether it says that the training does not exist."""
        return self.updated_at is None and self.status in (404, 410)

    @property
    def is_ahead(self) -> bool:
        """Whether its version was far in the future when it was fetched."""
        if self.updated_at is None:
            return False
        return self.updated_at > from_seconds(self.confirmed_at + VERSION_TOLERANCE)

    def is_from_the_future(self, now: float) -> bool:
        """Whether a clock was set back since then, so that its age is unknown."""
        return now - self.confirmed_at < -CLOCK_TOLERANCE

    def age(self, now: float) -> float:
        """Seconds since the upstream confirmed it, never negative (RFC 9111, 4.2.3)."""
        return max(0.0, now - self.confirmed_at) + self.initial_age

    def is_fresh(self, now: float) -> bool:
        """Whether it is younger than its freshness lifetime. Each hit asks this."""
        since = now - self.confirmed_at
        if since < 0.0:  # the code of `age` and `is_from_the_future`, without the calls
            return since >= -CLOCK_TOLERANCE and self.initial_age < self.freshness_lifetime
        return since + self.initial_age < self.freshness_lifetime

    def fresh_for(self, seconds: float) -> Entry:
        """The same entry, fresh for `seconds` at most."""
        return self if self.freshness_lifetime <= seconds else self.but(freshness_lifetime=seconds)

    def went_back(self, floor: Floor | None) -> bool:
        """Whether it has an older version than the floor, and was fetched later: the upstream
        itself went back."""
        if self.updated_at is None or floor is None or floor.updated_at is None:
            return False
        return self.confirmed_at >= floor.started and self.updated_at < floor.updated_at

    def is_below(self, floor: Floor) -> bool:
        """Whether the floor rules it out: the epoch is another one, or the generation or the
        version is lower. If the entry has no version, a later fetch rules it out.
        """
        passed = self.epoch != floor.epoch or self.generation < floor.generation
        if passed:
            return True
        if self.updated_at is None:
            return self.confirmed_at < floor.started
        return floor.updated_at is not None and self.updated_at < floor.updated_at

    def confirmed_by(self, floor: Floor, last: Confirmation | None) -> Entry | None:
        """This entry if the floor confirms it, renewed if a later answer (`last`, None: not known)
        had the same body. None if the body has to be read from Redis to know.

        Bodies are the same if their digests are. The version and the status are compared too,
        because two kinds of answers may have the same bytes. If the entry has selecting fields it
        is not renewed: the later answer may belong to a request with other ones.
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
