"""What may be spent of the upstream's limit, and the gate that a 429 closes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.budget.window_log import Past
from gateway.core.http.rate_limit_headers import Stated
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
    not know of it. Otherwise the shared budget knows of it in its `life`."""

    stamp: float
    wait: float = 0.0
    is_share: bool = False
    life: int = 0


class Charging(Protocol):
    """What all budgets have: calls that were charged, and a gate.

    `scope` says whose budget it is: that of a tenant, or of a partition if each credential has its
    own. `core.budget.priority` decides how much each purpose may spend if there are too few calls.
    """

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        """Begin a turn that was waited for: the charge counts from now. None if the budget has
        forgotten the charge, so that another one is needed. Raises GateClosed, and undoes the
        charge, if upstream said 429 meanwhile."""
        ...

    async def give_back(self, scope: str, charge: Charge) -> None:
        """Undo a charge whose call was certainly not sent. To be called once.

        If it was the probe, the next call is the probe.
        """
        ...

    async def close(
        self, scope: str, retry_after: float | None, *, is_refusal: bool = True
    ) -> float:
        """Close the gate. Returns the seconds until it may reopen. A 429 (`is_refusal`) lowers the
        limit."""
        ...

    async def learn(self, scope: str, said: Stated) -> None:
        """Note what the upstream said about the limit, or about the calls that are left. It counts
        only if it is less than what was known."""
        ...

    async def reopen(self, scope: str) -> bool:
        """Note an answer other than 429: open the gate, if it is being probed or its time has come.
        Returns whether it was opened."""
        ...

    def view(self, scope: str) -> BudgetView:
        """The budget when it was last seen. Asks nobody."""
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
    stamp      the time on the clock of the shared budget, which was `at` here, give or take `error`
               seconds
    replicas   how many replicas divide the limit; for `silent` of them their parts are kept
    limit      the limit at that moment
    claim      how many unspent calls this replica may make without asking, before those that it
               asked for since are subtracted
    part       this replica's part of the limit that was set, which it may spend if nobody hears
               of it; 0 while the parts of the others leave nothing: then it goes by what a start
               without the shared budget goes by
    share      the same part of `limit`
    ages       seconds since each call of the last window; less than 0 for one that is granted for
               later
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
    """What a replica reports when it asks for the state of a scope: what it saw last, how much of
    its claim is left, and the ages of its calls that the shared budget does not know of."""

    scope: str
    known: KnownBudget | None
    claim: int
    untold: Sequence[float]


class SharedBudget(Charging, Protocol):
    """The budget of all replicas. It may be away (RedisUnavailable), and it may forget what was
    spent.

    It grants nothing to a replica that has not asked for its state lately. If a replica did not
    report for `silence` seconds, it keeps the part of the limit for it that it told it last, which
    that replica may spend without asking.
    """

    silence: float

    def is_there(self, scope: str) -> bool:
        """Whether it can be asked now."""
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
        """As Budget.take, for a replica that saw `known`; None if it has to look first."""
        ...

    async def look(self, asked: Sequence[Looking]) -> list[KnownBudget]:
        """The state of each scope. The calls that a replica reports count from now on, if the life
        of the budget is the one that it knew."""
        ...

    async def leave(self, scopes: Sequence[str]) -> None:
        """Note that this replica ends: no part of the limit is kept for it."""
        ...


class OwnBudget(Budget, Protocol):
    """The budget of this replica alone, and its share of the shared one while that is away."""

    def stand_in(self, scope: str, past: Past | None, replicas: int) -> None:
        """From now on pay from one of `replicas` equal parts of the limit. `past` is what was spent
        of it, in monotonic time; None: nothing is known."""
        ...
