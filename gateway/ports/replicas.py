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
    """A message from one replica to the others: entries are outdated, or a gate is closed. The
    message never has a body.

    CHANGED      trainings have changed in one partition: their versions before `updated_at` are
                 outdated (None: all versions)
    INVALIDATED  in every partition, the versions of these trainings before `updated_at` are invalid
                 (None: all versions)
    PURGED       all entries are invalid, or only those of `partition` if it is given
    REFUSED      the upstream refused the credential of `partition`: all entries of the partition
                 are dropped
    GATE_CLOSED  the gate of `scope` is closed, mostly by a 429: no call may be made before `until`
                 (the shared clock)

    Entries that a `soft` order invalidated may still be used for rescue. `operator` is the name of
    the operator who gave the order, None if there was no order.
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

    `copies` are the replicas of Redis, if there are any. If a replica of Redis becomes the master
    before it has the order, the order is lost. After the purge of a partition, `purged` is the
    number of its keys. A replica that did not confirm the order may serve entries that are older
    than the order. It does so until the time `until` (on the shared clock) at the latest, even if
    the replica is cut off. `until` is None if all replicas have confirmed.
    """

    known: int
    confirmed: int
    copies: Copies | None = None
    purged: int | None = None
    until: float | None = None


class Bus(Protocol):
    """Carries notices between the replicas. If a notice is lost, a replica learns of the change
    later."""

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
        """Until this monotonic time, orders wait for this replica. Infinite if there are no other
        replicas."""
        ...

    @property
    def vouched_until(self) -> float:
        """If this replica did not confirm an order, it may serve entries older than the order until
        this monotonic time. The result of the order tells this time, or a later one
        (`Confirmations.until`). After this time the replica has to ask the shared store before it
        serves an entry. Infinite if there are no other replicas."""
        ...

    async def announce(self, notice: Notice) -> None:
        """Send the notice to the other replicas. Raises RedisUnavailable."""
        ...

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """Send the notice to the other replicas, and wait until each of them has applied it, for
        `patience` seconds at most. This replica counts as confirmed too, because it applies a
        notice before it sends the notice. Raises RedisUnavailable."""
        ...

    async def enter(self) -> None:
        """Register this replica before its first answer, so that orders wait for this replica. Does
        nothing if Redis is away."""
        ...

    async def listen(self, apply: Callable[[Notice], None], gap: Callable[[float], None]) -> None:
        """Hand each notice of another replica to `apply`. Call `gap` whenever notices may have been
        missed. `gap` gets a monotonic time. Until this time, this replica may serve entries that
        are older than a missed order. Runs until cancelled."""
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
        """Do nothing, because no other replica listens."""

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """Count this replica only."""
        return Confirmations(known=1, confirmed=1)

    async def enter(self) -> None:
        """Do nothing, because no other replica gives orders."""

    async def listen(self, apply: Callable[[Notice], None], gap: Callable[[float], None]) -> None:
        """Return at once, because no notice ever arrives."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The ticket of a fetch, and whether this replica `leads` or follows another replica.

    `token` names the leader's fetch: this replica's fetch if it `leads`, otherwise the fetch to
    follow. `floor` is the floor of the key when the ticket was taken (None: not known).
    """

    ticket: Ticket
    token: str
    leads: bool
    floor: Floor | None


class Lease(Protocol):
    """Lets one replica fetch a key for all replicas. A lease only saves calls: the store decides
    which answers are stored.

    Every call raises RedisUnavailable if it gets no answer within the timeout.
    """

    @property
    def lifetime(self) -> float:
        """Seconds after which the lease ends if it is not renewed. Infinite if there are no other
        replicas."""
        ...

    async def take(self, key: Key, *, unhurried: bool = False) -> Taken:
        """Take a ticket for a fetch, as SharedStore.begin does, and the lease of the key.

        If another fetch has the lease, this replica normally follows that fetch, and is told how it
        ended. There is one exception. If the key was invalidated or a later answer was accepted
        after that fetch began, this replica leads. `unhurried`: no caller waits for the fetch.
        During the pause after failures (see `release`) such a fetch may follow another one, but not
        lead. If there is none to follow, the method raises BackedOff.
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

        `pause` says for how long after a failure no replica makes an unhurried fetch of the key
        (see `take`). The pause grows with each failure in a row. An answer of the upstream ends the
        pause.
        """
        ...

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        """Wait for the end of the fetch with that token, for `patience` seconds at most. Returns
        how the fetch ended, or None if the fetch goes on. If the lease ended because nobody renewed
        it, the ending is transient."""
        ...


class AloneLease:
    """The lease of a process that has no other replicas. Single-flight in the process is enough."""

    lifetime = math.inf

    def __init__(self, shared: SharedStore) -> None:
        self._shared = shared

    async def take(self, key: Key, *, unhurried: bool = False) -> Taken:
        """This replica always leads."""
        return Taken(await self._shared.begin(key), "", leads=True, floor=None)

    async def renew(self, key: Key, token: str) -> bool:
        """Always True: this lease cannot be lost."""
        return True

    async def release(
        self, key: Key, token: str, ending: Ending, pause: Pause | None = None
    ) -> None:
        """Do nothing. No replica follows, and this process remembers failures by itself."""

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        """Never called, because no other replica leads."""
        return Ending(EndingKind.TRANSIENT)


@dataclass(frozen=True, slots=True)
class ModeOrder:
    """An order to serve in a mode. `at` is the time of the order (seconds on the shared clock), and
    `by` is the name of the operator who gave the order. `at` or `by` is None if it is not known."""

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
        """Always None, because no other replica takes orders."""
        return None

    async def write(self, order: ModeOrder) -> None:
        """Do nothing, because there is no other replica."""
