"""The ports between replicas: the bus, the lease of a fetch, and the mode that was ordered."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.core.budget.breaker import Pause
from gateway.core.cache.entry import Floor, Key, Ticket
from gateway.core.cache.lease_result import Ending
from gateway.core.instant import Instant
from gateway.core.vocabulary import EndingKind, Mode, NoticeKind
from gateway.ports.tiers import Copies, SharedStore


@dataclass(frozen=True, slots=True)
class Notice:
    """A message from one replica to the others: entries are outdated, or a gate is closed. It never
    has a body.

    CHANGED      in one partition, the versions of these trainings before `updated_at` are outdated
    INVALIDATED  in every partition, the versions of these trainings before `updated_at` are invalid
    PURGED       all entries are invalid, or only those of `partition` if it is given
    REFUSED      the upstream refused the credential of `partition`, whose entries are all dropped
    GATE_CLOSED  a 429 has closed the gate of `scope`: no call may be made before `until` (on the
                 shared clock)

    `updated_at` None: all versions. Entries that a `soft` order invalidated may still be used for
    rescue. `operator` is the name of the operator who gave the order (None: no order).
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
    """The result of an order: how many replicas have applied it, and how many replicas of Redis
    have it.

    known      how many replicas are known, this one included
    confirmed  how many of them have applied the order
    copies     the replicas of Redis, if there are any. The order is lost if one of them becomes the
               master before it has the order
    purged     after the purge of a partition, the number of its keys
    until      the time (on the shared clock) until which a replica that did not confirm may serve
               entries older than the order. None if all have confirmed
    """

    known: int
    confirmed: int
    copies: Copies | None = None
    purged: int | None = None
    until: float | None = None


class Bus(Protocol):
    """Carries notices between the replicas. If a notice is lost, a replica learns of the change
    later. In a process without Redis, `counted_until` and `vouched_until` are infinite."""

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
        """Until this monotonic time, orders wait for this replica."""
        ...

    @property
    def vouched_until(self) -> float:
        """Until this monotonic time, this replica may serve entries older than an order that it did
        not confirm. After that it has to ask the shared store first. The result of the order tells
        this time, or a later one (`Confirmations.until`)."""
        ...

    async def announce(self, notice: Notice) -> None:
        """Send the notice to the other replicas. Raises RedisUnavailable."""
        ...

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """Send the notice to the other replicas, and wait until each of them has applied it, for
        `patience` seconds at most. This replica counts as confirmed, because it applies a notice
        before sending it. Raises RedisUnavailable."""
        ...

    async def enter(self) -> None:
        """Register this replica before its first answer, so that orders wait for it. Does nothing
        if Redis is away."""
        ...

    async def listen(self, apply: Callable[[Notice], None], gap: Callable[[float], None]) -> None:
        """Hand each notice of another replica to `apply`, until cancelled. Whenever notices may
        have been missed, call `gap` with the monotonic time until which this replica may serve
        entries older than a missed order."""
        ...


class AloneBus:
    """The bus of a process that has no other replicas."""

    replicas = 1
    counted_until = vouched_until = math.inf

    @property
    def is_connected(self) -> bool:
        """Always True."""
        return True

    async def announce(self, notice: Notice) -> None:
        """Do nothing."""

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """Count this replica only."""
        return Confirmations(known=1, confirmed=1)

    async def enter(self) -> None:
        """Do nothing."""

    async def listen(self, apply: Callable[[Notice], None], gap: Callable[[float], None]) -> None:
        """Return at once, because no notice ever arrives."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The ticket of a fetch, and whether this replica `leads` or follows another replica.

    `token` names the leader's fetch. `floor` is the floor of the key when the ticket was taken
    (None: not known).
    """

    ticket: Ticket
    token: str
    leads: bool
    floor: Floor | None


class Lease(Protocol):
    """Lets one replica fetch a key for all replicas. A lease only saves calls: the store decides
    which answers are stored.

    Every method raises RedisUnavailable if Redis does not answer within the timeout.
    """

    @property
    def lifetime(self) -> float:
        """Seconds after which the lease ends if it is not renewed. Infinite in a process without
        Redis."""
        ...

    async def take(self, key: Key, *, unhurried: bool = False) -> Taken:
        """Take a ticket for a fetch, as SharedStore.begin does, and the lease of the key.

        If another fetch has the lease, this replica follows that fetch, and is told how it ended.
        But if the key was invalidated or a later answer was accepted after that fetch began, this
        replica leads.

        `unhurried`: no caller waits for the fetch. During the pause after failures (see `release`)
        such a fetch may follow, but not lead. If there is no fetch to follow, raises BackedOff.
        """
        ...

    async def renew(self, key: Key, token: str) -> bool:
        """Keep the lease for another lifetime. Returns False if the lease is lost."""
        ...

    async def release(
        self, key: Key, token: str, ending: Ending, pause: Pause | None = None
    ) -> None:
        """End the lease and tell the followers how the fetch ended. Does nothing if the lease is
        lost.

        `pause` says how long after a failure no replica makes an unhurried fetch of the key (see
        `take`). The pause grows with each failure in a row, and ends with a success. None:
        no pause begins.
        """
        ...

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        """Wait for the end of the fetch with that token, for `patience` seconds at most. Returns
        how it ended (transient if nobody renewed the lease), or None if it goes on."""
        ...


class AloneLease:
    """The lease of a process that has no other replicas."""

    lifetime = math.inf

    def __init__(self, shared: SharedStore) -> None:
        self._shared = shared

    async def take(self, key: Key, *, unhurried: bool = False) -> Taken:
        """This replica always leads."""
        return Taken(await self._shared.begin(key), "", leads=True, floor=None)

    async def renew(self, key: Key, token: str) -> bool:
        """Always True."""
        return True

    async def release(
        self, key: Key, token: str, ending: Ending, pause: Pause | None = None
    ) -> None:
        """Do nothing: this process remembers failures by itself."""

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        """Never called, because no other replica leads."""
        return Ending(EndingKind.TRANSIENT)


@dataclass(frozen=True, slots=True)
class ModeOrder:
    """An order to serve in a mode.

    `at` is the time of the order (seconds on the shared clock), and `by` the operator who gave it
    (None: not known).
    """

    mode: Mode
    at: float | None = None
    by: str | None = None


class SharedMode(Protocol):
    """Keeps the mode that an operator ordered. Both methods raise RedisUnavailable."""

    async def read(self) -> ModeOrder | None:
        """The last order. None if there was no order."""
        ...

    async def write(self, order: ModeOrder) -> None:
        """Store the order for all replicas."""
        ...


class AloneMode:
    """The mode of a process that has no other replicas: `Modes` itself remembers it."""

    async def read(self) -> ModeOrder | None:
        """Always None."""
        return None

    async def write(self, order: ModeOrder) -> None:
        """Do nothing."""
