"""What must hold of each answer in the model of marks, whatever happened."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from tests.model.marks.records import (
    FRESH,
    L1_LIFETIME,
    PERIOD,
    REWRITE_FOR,
    Entry,
    Key,
    Order,
)

if TYPE_CHECKING:
    from tests.model.marks.world import World


class Broken(AssertionError):
    """A promise was broken."""


class Kind(Enum):
    """Where an answer came from. UNCONFIRMED: a rescue by L1 while Redis and the API are away, in
    a replica that is not listed or has had a gap since it read the entry."""

    STORED = "served as current"
    FETCHED = "fetched"
    RESCUED = "rescued"
    UNCONFIRMED = "rescued without Redis"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request that began at this moment; `age` is what it states."""

    replica: int
    key: Key
    began: float
    entry: Entry
    kind: Kind
    age: float

    def __str__(self) -> str:
        what = "404" if self.entry.version is None else f"version {self.entry.version}"
        return f"replica {self.replica} answers {self.key}: {what}, {self.kind.value}"


@dataclass(slots=True)
class Promise:
    """From when an order holds: in the replica that got it, and everywhere."""

    order: Order
    replica: int
    since_here: float = math.inf
    since: float = math.inf
    undone: float = -math.inf


@dataclass(frozen=True, slots=True)
class Floor:
    """The latest version in Redis, since when it is there, and when its fetch or page began."""

    version: int
    since: float
    started: float
    read: float


@dataclass(slots=True)
class Truth:
    """The promises so far, and the versions below which nothing is served as current."""

    world: World
    promises: dict[Order, Promise] = field(default_factory=dict)
    floors: dict[Key, Floor] = field(default_factory=dict)
    slack: float = 0.0  # by how much Redis' clock was ever set back or forward

    def restarted(self, replica: int) -> None:
        """A process that is gone writes nothing again, and keeps nothing."""
        for promise in self.promises.values():
            if promise.replica == replica:
                promise.since_here, promise.replica = math.inf, -1

    def give(self, order: Order, replica: int) -> None:
        """A replica got an order; it has not answered yet."""
        self.promises[order] = Promise(order, replica)

    def refused(self, order: Order) -> None:
        """A 503: the replica's own answers heed the order from now on."""
        self.promises[order].since_here = self.world.now

    def promise(self, order: Order, since: float, written: float) -> None:
        """The order was answered: 200 at that moment, or a 202 until then."""
        promise = self.promises.get(order)
        if promise and written > promise.undone:
            promise.since = min(promise.since, max(since, self.world.now))

    def fail_over(self, kind: str | None) -> None:
        """Orders of the last second may be undone, until their replica has written them again."""
        for order, promise in self.promises.items():
            is_last = order.written_at > self.world.now - 1
            if is_last and kind in {None, order.place.slot[0]}:
                promise.undone = self.world.now
                promise.since = promise.since_here = math.inf
        self.floors.clear()

    def has_looked(self, replica: int, since: float) -> None:
        """A replica has sent a heartbeat since then: what was undone holds again a period later."""
        for order, promise in self.promises.items():
            was_undone = promise.since == math.inf and -math.inf < promise.undone <= since
            is_young = self.world.now - order.received < REWRITE_FOR
            if promise.replica == replica and was_undone and is_young:
                promise.since = self.world.now + 2 * PERIOD

    def stored(self, before: Entry | None, entry: Entry, read: float) -> None:
        """Redis has stored an entry, which the API gave at the moment `read`."""
        floor = self.floors.get(entry.key)
        is_same = before is not None and before.facts.ticket.hard == entry.facts.ticket.hard
        version = entry.version or 0
        is_believed = is_same and floor is not None and 0 < version < floor.version
        if is_believed and floor and entry.read < floor.read and not self.slack:
            raise Broken(f"version {entry.version} was stored, but it is older")
        if entry.version is None and floor and entry.facts.started < floor.started and is_same:
            return
        if entry.version is None or entry.facts.ticket.hard != self.world.redis.standing(entry.key):
            self.floors.pop(entry.key, None)
        elif not floor or not is_same or is_believed or version > floor.version:
            self.floors[entry.key] = Floor(version, self.world.now, entry.facts.started, read)

    def check(self, answer: Answer) -> None:
        """Raise Broken if the answer breaks a promise."""
        self.world.tell(answer)
        entry = answer.entry
        if entry.key != answer.key:
            raise Broken("an answer of another key")
        for promise in self.promises.values():
            self._check_order(answer, promise)
        moment = self.world.now - answer.age - self.slack
        if not self.world.api.had(entry.key.training, entry.version, moment - 1e-6):
            raise Broken(f"the age {answer.age:.1f} s is wrong")
        if answer.kind is Kind.STORED:
            self._check_current(answer)

    def _check_order(self, answer: Answer, promise: Promise) -> None:
        order, entry = promise.order, answer.entry
        if not order.rules_out(entry) or entry.read >= order.received:
            return
        if answer.kind is Kind.UNCONFIRMED or self.world.replicas[answer.replica].is_unknown:
            return
        is_rescue = answer.kind is Kind.RESCUED
        here = promise.since_here if answer.replica == promise.replica else math.inf
        if answer.began > min(promise.since, here) and (order.is_hard or not is_rescue):
            raise Broken(f"what was read at {entry.read:.2f} was ruled out by a {order}")

    def _check_current(self, answer: Answer) -> None:
        if not -self.slack <= answer.age <= FRESH:
            raise Broken(f"an entry of {answer.age:.1f} s is not fresh")
        floor, entry = self.floors.get(answer.key), answer.entry
        replica = self.world.replicas[answer.replica]
        if not floor or answer.began <= floor.since + L1_LIFETIME:
            return
        if replica.is_cut or replica.cut_at >= floor.since:
            return
        if entry.version is None and (entry.facts.started >= floor.started or self.slack):
            return
        if (entry.version or 0) < floor.version:
            raise Broken(f"older than version {floor.version}, stored at {floor.since:.2f}")
