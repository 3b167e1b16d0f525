"""What Redis holds in the model of marks: marks, entries, members; and the state of an entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from tests.model.marks.rules import Rule

Has = Callable[[Rule], bool]


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
class Mark:
    """Words are numbers that are never used twice."""

    hard: int
    soft: int
    named: int = 0
    bound: int = 0
    hard_bound: int = 0

    @property
    def words(self) -> tuple[int, ...]:
        return self.hard, self.soft, self.named


@dataclass(frozen=True, slots=True)
class Note:
    """The refused version that may be believed, and when it was refused first."""

    version: int
    first: float


class Ticket(NamedTuple):
    """The marks of everything, of a partition and of a training, as they were read."""

    everything: Mark | None = None
    partition: Mark | None = None
    training: Mark | None = None

    @property
    def hard(self) -> tuple[int | None, ...]:
        return tuple(each.hard if each else None for each in self)

    @property
    def soft(self) -> tuple[int | None, ...]:
        return tuple(each.soft if each else None for each in self)


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored response. `started` and `confirmed` are of Redis' clock; `read` is the moment at
    which the API gave it, which only the truth knows. No version: a 404."""

    key: Key
    version: int | None
    ticket: Ticket
    started: float
    confirmed: float
    read: float
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Members:
    """The record of the replicas: a word for its life, the last notice, and the last heartbeat of
    each (a word, and Redis' time). Settled: a replica has seen this life for a period."""

    life: int
    born: float
    last: int
    heartbeats: Mapping[int, tuple[int, float]]
    is_settled: bool = False


class State(IntEnum):
    """What an entry may be used for."""

    NONE = 0
    RESCUE = 1
    CURRENT = 2


def state_of(entry: Entry, ticket: Ticket, seen: int, has: Has) -> State:
    """Compare an entry with the marks that stand now."""
    pairs = [(was, now) for was, now in zip(entry.ticket, ticket, strict=True) if was and now]
    if len(pairs) < len(ticket) and has(Rule.UNKNOWN):
        return State.NONE
    if any(was.hard != now.hard for was, now in pairs):
        return State.NONE
    if is_below_mark(entry, ticket.training, is_hard=True, has=has):
        return State.NONE
    if has(Rule.SOFT_WORD) and any(was.soft != now.soft for was, now in pairs):
        return State.RESCUE
    if is_below_mark(entry, ticket.training, is_hard=False, has=has):
        return State.RESCUE
    is_older = entry.version is not None and entry.version < max(seen, entry.seen)
    return State.RESCUE if is_older and has(Rule.SEEN) else State.CURRENT


def is_below_mark(entry: Entry, mark: Mark | None, *, is_hard: bool, has: Has) -> bool:
    """True if an order that named a version has ruled the entry out."""
    if mark is None:
        return False
    if entry.version is None:
        was = entry.ticket.training
        return has(Rule.NAMED) and was is not None and was.named != mark.named
    if is_hard:
        return has(Rule.HARD_BOUND) and entry.version < mark.hard_bound
    return has(Rule.BOUND) and entry.version < mark.bound
