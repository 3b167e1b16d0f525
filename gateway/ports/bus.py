"""What replicas tell each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.core.instant import Instant
from gateway.core.vocabulary import NoticeKind
from gateway.ports.shared import Copies


@dataclass(frozen=True, slots=True)
class Notice:
    """What replicas tell each other: which entries are outdated, never a body; and a 429.

    CHANGED      one training of one partition has a version of `updated_at` or later
    INVALIDATED  trainings, in every partition, are invalid below `updated_at` (None: wholly)
    PURGED       everything is invalid (in `partition`, if there is one)
    REFUSED      the upstream refused the credential of `partition`: all of that partition goes
    GATE_CLOSED  the upstream said 429 to `scope`: no call before `until`, on the shared clock

    After a `soft` order, what it invalidated may still be used for rescue. `operator` is the name
    of the operator who gave the order, None if there was no order.
    """

    kind: NoticeKind
    training_ids: tuple[str, ...] = ()
    partition: str | None = None
    updated_at: Instant | None = None
    soft: bool = False
    scope: str | None = None
    until: float | None = None
    operator: str | None = None


@dataclass(frozen=True, slots=True)
class Confirmations:
    """How many replicas are known, this one included, and how many of them have applied the order.

    `copies` are the replicas of Redis, if there are any: if one that does not have the order
    becomes the master, the order is undone. `purged` counts the keys that the purge of a partition
    found. `until` (the shared clock): from then on no replica that did not confirm serves anything
    older, even if it is cut off.
    """

    known: int
    confirmed: int
    copies: Copies | None = None
    purged: int | None = None
    until: float | None = None


class Bus(Protocol):
    """How replicas tell each other what is outdated. A lost message costs time, never
    correctness."""

    @property
    def replicas(self) -> int:
        """How many replicas were alive when they were last counted, this one included."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether notices of other replicas arrive."""
        ...

    @property
    def counted_until(self) -> float:
        """The monotonic time until which orders wait for this replica; infinite if there are no
        other replicas."""
        ...

    @property
    def vouched_until(self) -> float:
        """The monotonic time until which this replica may serve something older after an order that
        it did not confirm: the order says so. After that it must ask the shared store first.
        Infinite if there are no other replicas."""
        ...

    async def announce(self, notice: Notice) -> None:
        """Tell the other replicas; raises RedisUnavailable."""
        ...

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """Tell the other replicas, and wait until each has applied the notice, for `patience`
        seconds at most. This replica counts as one of them, because it applies a notice before it
        tells the others. Raises RedisUnavailable."""
        ...

    async def enter(self) -> None:
        """Make orders wait for this replica, before its first answer. Does nothing if Redis is
        away."""
        ...

    async def listen(self, apply: Callable[[Notice], None], gap: Callable[[float], None]) -> None:
        """Hand each notice of another replica to `apply`. Call `gap` whenever notices may have been
        missed, with the monotonic time until which the orders among them allow older answers of
        this replica. Runs until it is cancelled."""
        ...


class AloneBus:
    """The bus of a process that has no other replicas."""

    replicas = 1
    counted_until = vouched_until = math.inf

    @property
    def is_connected(self) -> bool:
        """Always True: nothing can be missed."""
        return True

    async def announce(self, notice: Notice) -> None:
        """Nobody listens."""

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """This is the only replica."""
        return Confirmations(known=1, confirmed=1)

    async def enter(self) -> None:
        """No other replica gives orders."""

    async def listen(self, apply: Callable[[Notice], None], gap: Callable[[float], None]) -> None:
        """No notice ever arrives."""
