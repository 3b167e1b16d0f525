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
    PURGED       everything (of `partition`, where given)
    REFUSED      the upstream refused the credential of `partition`: all that is its goes
    GATE_CLOSED  the upstream said 429 to `scope`: no call before `until`, on the shared clock

    What was invalidated or purged is left for rescue where that was `soft`. `operator` is the name
    of the one who ordered it, None where nobody did.
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
    """How many replicas are known, this one included, and how many have done as told.

    `copies` are those of the shared store, where it has any: an order that one of them does not
    have is undone when that one takes over. `purged` counts the keys that the purge of a
    partition found. `until` (the shared clock): from then on none of those that did not confirm
    answers with anything older, whether they can be reached or not.
    """

    known: int
    confirmed: int
    copies: Copies | None = None
    purged: int | None = None
    until: float | None = None


class Bus(Protocol):
    """How replicas hear of each other. A lost message costs time, never correctness."""

    @property
    def replicas(self) -> int:
        """How many there were when they were last counted, this one included."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether notices of others arrive."""
        ...

    @property
    def counted_until(self) -> float:
        """The monotonic time until which an order waits for this replica; infinite where nobody
        else gives any."""
        ...

    @property
    def vouched_until(self) -> float:
        """The monotonic time until which an order that this replica did not confirm says that it
        may answer with something older. From then on it must not, but where the shared store
        agrees; infinite as above."""
        ...

    async def announce(self, notice: Notice) -> None:
        """Tell the other replicas; raises RedisUnavailable."""
        ...

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """Tell them and wait until each has done as told, so many seconds at most.

        This replica counts as done: it acts before it tells. Raises RedisUnavailable.
        """
        ...

    async def enter(self) -> None:
        """Be among those who are waited for, before the first answer; nothing where the others
        cannot be reached."""
        ...

    async def listen(self, apply: Callable[[Notice], None], gap: Callable[[float], None]) -> None:
        """Hand each notice of another replica to `apply`, and call `gap` whenever notices may have
        been missed, with the monotonic time until which those who gave them count with older
        answers of this replica; until cancelled, whatever arrives."""
        ...


class AloneBus:
    """The bus of a process without others."""

    replicas = 1
    counted_until = vouched_until = math.inf

    @property
    def is_connected(self) -> bool:
        """There is nobody to miss."""
        return True

    async def announce(self, notice: Notice) -> None:
        """Nobody listens."""

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """This replica is all there are."""
        return Confirmations(known=1, confirmed=1)

    async def enter(self) -> None:
        """There is nobody who would wait."""

    async def listen(self, apply: Callable[[Notice], None], gap: Callable[[float], None]) -> None:
        """Nothing ever comes."""
