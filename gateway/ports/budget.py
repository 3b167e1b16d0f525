"""The ports of the budget: the calls that the upstream's limit allows, and the gate that a 429
closes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.budget.window_log import Past
from gateway.core.vocabulary import Purpose


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A tenant's budget when it was last seen. `limit` and `available` are None if it is unlimited.

    `gate_closed_for` is in seconds, 0.0 while the gate is open.
    """

    limit: int | None
    window: float
    available: int | None
    gate_closed_for: float


@dataclass(frozen=True, slots=True)
class Charge:
    """One call that is paid for, and that may be sent after `wait` seconds. `stamp` identifies it
    for the budget. `is_share`: this replica paid it from its own share, and the shared budget does
    not know of it. `life` is the life of the shared budget that granted the call (see KnownBudget),
    0 if that is unlimited, or did not grant it."""

    stamp: float
    wait: float = 0.0
    is_share: bool = False
    life: int = 0


class Charging(Protocol):
    """The methods of all budgets. They change the charges of calls, and the gate.

    `scope` says whose budget it is: that of a tenant, or of a partition if each credential has its
    own. `core.budget.priority` decides how much each purpose may spend if there are too few calls.
    """

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        """Begin the turn of a call that has waited. Its charge counts from now on. Returns None if
        the charge is no longer valid, so that the call needs another one. If the gate was closed
        meanwhile, undoes the charge and raises GateClosed."""
        ...

    async def give_back(self, scope: str, charge: Charge) -> None:
        """Undo a charge whose call was certainly not sent. To be called once.

        If it was the probe, the next call is the probe.
        """
        ...

    async def close(self, scope: str, retry_after: float | None) -> float:
        """Close the gate after a 429, and lower the limit. Returns the seconds until the gate may
        reopen."""
        ...

    async def reopen(self, scope: str) -> bool:
        """Note an answer other than 429. It opens the gate if a probe is under way, or if the gate
        is due to reopen. Returns whether the gate was opened."""
        ...

    def view(self, scope: str) -> BudgetView:
        """The budget when it was last seen. Redis is not asked."""
        ...


class Budget(Charging, Protocol):
    """Our share of the upstream's limit, and the gate that a 429 closes."""

    async def take(
        self, scope: str, purpose: Purpose, *, guessed: bool = False, patience: float = 0.0
    ) -> Charge:
        """Charge one call whose turn comes within `patience` seconds. Raises BudgetExhausted, which
        says when to come back, or GateClosed.

        `guessed`: the upstream probably does not have that training. When the time of a closed gate
        has come, the first call is the probe.
        """
        ...

    def hold(self, scope: str, seconds: float) -> None:
        """Close the gate of this replica for `seconds`, because it is closed for all replicas."""
        ...


@dataclass(frozen=True, slots=True)
class KnownBudget:
    """What a replica saw of the shared budget at `at` (monotonic).

    life       changes when the shared budget has forgotten what was spent
    stamp      the time on the clock of the shared budget at the moment `at`; it may be wrong by
               `error` seconds
    replicas   how many replicas divide the limit; `silent` of them did not report lately, and
               their parts are kept for them
    limit      the limit at that moment
    claim      how many unspent calls this replica may make without asking; calls that it asked for
               since then are not subtracted yet
    part       this replica's part of the configured limit, which it may spend while it cannot reach
               the shared budget; 0 while the parts of the others leave nothing: the replica then
               acts as at a start without the shared budget
    share      the part, scaled to `limit`
    ages       seconds since each call of the last window; negative if a call was granted for later
    """

    life: int
    stamp: int
    at: float
    error: float
    replicas: int
    silent: int
    limit: int
    claim: int
    part: int
    share: int
    ages: Sequence[float]


@dataclass(frozen=True, slots=True)
class Looking:
    """The report of a replica that asks for the state of a scope. `known` is what it saw last,
    `claim` is how much of its claim is left, and `untold` has the ages of its calls that the shared
    budget does not know of."""

    scope: str
    known: KnownBudget | None
    claim: int
    untold: Sequence[float]


class SharedBudget(Charging, Protocol):
    """The budget of all replicas. It may be away (RedisUnavailable), and it may forget what was
    spent.

    A replica that has not called `look` lately is granted nothing. If a replica has not reported
    for `silence` seconds, the shared budget keeps that replica's part of the limit, because the
    replica may spend it without asking.
    """

    silence: float

    def is_there(self, scope: str) -> bool:
        """Whether the shared budget can be asked now."""
        ...

    async def take(
        self,
        scope: str,
        purpose: Purpose,
        known: KnownBudget | None,
        *,
        guessed: bool = False,
        patience: float = 0.0,
    ) -> Charge | None:
        """As Budget.take. `known` is what the replica saw last. Returns None if the replica has to
        look first."""
        ...

    async def look(self, asked: Sequence[Looking]) -> list[KnownBudget]:
        """The state of each scope. The calls that the replica reports count from now on, if the
        budget still has the life that the replica knew."""
        ...

    async def leave(self, scopes: Sequence[str]) -> None:
        """Note that this replica ends: no part of the limit is kept for it."""
        ...


class OwnBudget(Budget, Protocol):
    """The budget of this replica alone, or its share of the shared budget while that is away."""

    def stand_in(self, scope: str, past: Past | None, replicas: int) -> None:
        """From now on pay from one of `replicas` equal parts of the limit. `past` says what was
        spent of the limit, in monotonic time. None: nothing is known of that."""
        ...
