"""The ports between replicas: the bus, the lease of a fetch, and the mode that was ordered."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.core.cache.entry import FetchStart, Key
from gateway.core.instant import Instant
from gateway.core.vocabulary import EndingKind, FailureReason, Mode, NoticeKind
from gateway.ports.tiers import SharedStore


@dataclass(frozen=True, slots=True)
class Notice:
    """A message from one replica to the others: entries are outdated, or a gate is closed.

    CHANGED      a fetch or a page of the list showed a change in `partition`: Redis has to be asked
                 before L1 serves a version of these trainings older than `updated_at`
    INVALIDATED  an order or a write: in every partition, the versions of these trainings older than
                 `updated_at` are invalid
    PURGED       an order: all entries are invalid, or only those of `partition`
    REFUSED      the upstream refused the credential of `partition`, whose entries are all dropped
    GATE_CLOSED  a 429 closed the gate of `scope`: no calls before `until` (on the shared clock)

    `updated_at` None: all versions. `soft`: entries may still be used for rescue. `operator`: who
    gave the order (None: there was no order).
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
    """The result of an order.

    known      how many replicas are known, this one included
    confirmed  how many of them have applied the order
    until      the time (shared clock) until which a replica that did not confirm, or that is not
               known, may serve entries that the order ruled out. None: all have confirmed
    is_empty   whether it purged a partition in which nothing is stored
    """

    known: int
    confirmed: int
    until: float | None = None
    is_empty: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether all replicas have applied the order."""
        return self.confirmed >= self.known and self.until is None


class Bus(Protocol):
    """Carries notices between the replicas. A replica that misses a notice finds out later that it
    missed one."""

    @property
    def replicas(self) -> int:
        """How many replicas were alive at the last count, this one included."""

    @property
    def is_connected(self) -> bool:
        """Whether notices of other replicas arrive."""

    @property
    def alive_until(self) -> float:
        """Until this monotonic time, orders wait for this replica."""

    @property
    def listed_until(self) -> float:
        """Until this monotonic time, this replica is listed: an order that it did not confirm is
        not complete, so it may serve its entries. The `Confirmations.until` of such an order is
        this time or a later one."""

    async def announce(self, notice: Notice) -> None:
        """Send the notice to the other replicas. Raises RedisUnavailable."""

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """Send the notice, and wait for `patience` seconds at most until the others have applied
        it. This replica must have applied it already, and counts as confirmed. Raises
        RedisUnavailable."""

    async def enter(self) -> None:
        """Register this replica before its first answer, so that orders wait for it. Does nothing
        if Redis is away."""

    async def listen(self, apply: Callable[[Notice], None], gap: Callable[[], None]) -> None:
        """Hand each notice of another replica to `apply`, until cancelled. If notices were perhaps
        missed, call `gap`."""


class AloneBus:
    """The bus of a process without other replicas."""

    replicas = 1
    alive_until = listed_until = math.inf

    @property
    def is_connected(self) -> bool:
        return True

    async def announce(self, notice: Notice) -> None:
        """Do nothing."""

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        return Confirmations(known=1, confirmed=1)

    async def enter(self) -> None:
        """Do nothing."""

    async def listen(self, apply: Callable[[Notice], None], gap: Callable[[], None]) -> None:
        """Return at once: no notice ever arrives."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The start of a fetch, and whether this replica `leads` or follows another replica. `token`
    names the leader's fetch. `confirmed`: when the API last confirmed what is stored (0.0: nothing
    is known)."""

    start: FetchStart
    token: str
    leads: bool
    confirmed: float = 0.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a leader's fetch ended. The other fields are those of the failure, if `kind` is FAILED;
    `retry_after` is in seconds from the end of the fetch."""

    kind: EndingKind
    reason: FailureReason | None = None
    status: int | None = None
    retry_after: float | None = None


class Lease(Protocol):
    """Lets one replica fetch a key for all. A lease only saves calls: the store decides which
    answers are stored. Every method raises RedisUnavailable if Redis does not answer in time."""

    @property
    def lifetime(self) -> float:
        """Seconds after which the lease ends without a renewal."""

    async def take(self, key: Key) -> Taken:
        """Begin a fetch, as SharedStore.begin does, and take the lease of the key.

        If another fetch has the lease already, this replica follows that fetch. But it leads if an
        order about the training came after that fetch began.
        """

    async def renew(self, key: Key, token: str) -> bool:
        """Keep the lease for another lifetime. Returns False if the lease is lost."""

    async def release(self, key: Key, token: str, ending: Ending) -> None:
        """End the lease and tell the followers how the fetch ended. Does nothing if the lease is
        lost."""

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        """Wait for the end of the fetch with that token, for `patience` seconds at most. Returns
        how it ended (GONE also if the lease is lost), or None if it goes on."""


class AloneLease:
    """The lease of a process without other replicas."""

    lifetime = math.inf

    def __init__(self, shared: SharedStore) -> None:
        self._shared = shared

    async def take(self, key: Key) -> Taken:
        return Taken(await self._shared.begin(key), "", leads=True)

    async def renew(self, key: Key, token: str) -> bool:
        return True

    async def release(self, key: Key, token: str, ending: Ending) -> None:
        """Do nothing."""

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        """Never called."""
        return Ending(EndingKind.GONE)


@dataclass(frozen=True, slots=True)
class ModeOrder:
    """An order to serve in a mode. The operator `by` gave it at the time `at` (on the shared
    clock). `by` or `at` None: not known."""

    mode: Mode
    at: float | None = None
    by: str | None = None


class SharedMode(Protocol):
    """Keeps the mode that was ordered. Both methods raise RedisUnavailable."""

    async def read(self) -> ModeOrder | None:
        """The last order, None if there was none."""

    async def write(self, order: ModeOrder) -> None:
        """Store the order for all replicas."""


class AloneMode:
    """The SharedMode of a process without other replicas. It keeps nothing, because `Modes`
    (flow/mode) remembers the order of its own process."""

    async def read(self) -> ModeOrder | None:
        return None

    async def write(self, order: ModeOrder) -> None:
        """Do nothing."""
