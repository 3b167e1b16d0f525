"""What Redis holds in the model of marks, orders and notices, and the times (in seconds)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.core.cache.marks import Facts, Version

REPLICAS = 3
PARTITIONS = ("a", "b")
TRAININGS = (0, 1)
L1_LIFETIME = 3.0
FRESH = 20.0
STALE = 100.0
PERIOD = 6.0
CONFIRM_WITHIN = 1.0
BELIEVE_AFTER = 5.0
REWRITE_FOR = 60.0


class Key(NamedTuple):
    """A training as one tenant sees it."""

    partition: str
    training: int


class Place(NamedTuple):
    """A record's name in Redis: its kind, and whose it is. Only mark and entries share a slot."""

    kind: str
    whose: str | int | Key = ""

    @property
    def slot(self) -> tuple[str, str | int]:
        match self.whose:
            case Key(training=training):
                return "training", training
            case whose:
                return self.kind, whose


ALL = Place("all")
MEMBERS = Place("members")


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored response. `read` is when the API gave it, which only the truth knows."""

    key: Key
    facts: Facts
    read: float

    @property
    def version(self) -> Version:
        return self.facts.version


@dataclass(frozen=True, slots=True)
class Members:
    """The record of the replicas: a word for its life, the last notice, and the last heartbeat of
    each (a word, and Redis' time). Settled: a replica has seen this life for a period."""

    life: str
    born: float
    last: str
    heartbeats: Mapping[int, tuple[str, float]]
    is_settled: bool = False


@dataclass(eq=False, slots=True)
class Order:
    """What an operator, a write or a 401 rules out.

    received    the moment of its receipt
    training    None: a purge of `partition`, or of everything
    version     all below it, and every 404; None: all that was read before
    written_at  the moment at which its mark was written last
    """

    is_hard: bool
    received: float
    training: int | None = None
    partition: str | None = None
    version: Version = None
    written_at: float = -1.0

    @property
    def place(self) -> Place:
        """The mark that it replaces."""
        if self.training is not None:
            return Place("training", self.training)
        return ALL if self.partition is None else Place("partition", self.partition)

    def concerns(self, key: Key) -> bool:
        return self.training in {None, key.training} and self.partition in {None, key.partition}

    def rules_out(self, entry: Entry) -> bool:
        """Whether the entry is one of those that it speaks of, if it was read before."""
        if not self.concerns(entry.key):
            return False
        return self.version is None or entry.version is None or entry.version < self.version

    def __str__(self) -> str:
        what = f"training {self.training}" if self.training is not None else "everything"
        whose = f" of tenant {self.partition}" if self.partition else ""
        below = f" below version {self.version}" if self.version is not None else ""
        return f"{'hard' if self.is_hard else 'soft'} order: {what}{whose}{below}"


@dataclass(eq=False, slots=True)
class Notice:
    """An order on its way to all that have subscribed."""

    order: Order
    previous: str
    last: str
    confirmed: set[int] = field(default_factory=set)
