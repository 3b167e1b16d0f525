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
    """A tenant's budget as last seen: None for `limit` and `available` means unlimited.

    `gate_closed_for` is in seconds, 0.0 while the gate is open.
    """

    limit: int | None
    window: float
    available: int | None
    gate_closed_for: float


@dataclass(frozen=True, slots=True)
class Charge:
    """One call that is paid: `stamp` is for the budget to read, the call may be sent after
    `wait` seconds. `is_share`: this replica's share paid it, and nobody else knows; else `life` of
    the shared budget knows."""

    stamp: float
    wait: float = 0.0
    is_share: bool = False
    life: int = 0


class Charging(Protocol):
    """What all budgets have: calls that were charged, and a gate.

    `scope` names whose: a tenant, or a partition where each credential has its own. What a
    purpose may spend while calls are short is `core.ranks`' business.
    """

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        """The turn that was waited for has come: the charge counts from now; None where it is
        not known any more, and another one is to be asked for. Raises GateClosed where upstream
        said 429 meanwhile; then it is undone."""
        ...

    async def give_back(self, scope: str, charge: Charge) -> None:
        """Undo a charge, once: the call provably never left.

        If it was the probe, the next taker is.
        """
        ...

    async def close(
        self, scope: str, retry_after: float | None, *, is_refusal: bool = True
    ) -> float:
        """Close the gate; seconds until it may reopen. A 429 (`is_refusal`) lowers the limit."""
        ...

    async def learn(self, scope: str, said: Stated) -> None:
        """The upstream said what is left of the limit, or what the limit is: downwards it is
        believed."""
        ...

    async def reopen(self, scope: str) -> bool:
        """An answer other than 429 came: opens a gate that is probed or due; whether it did."""
        ...

    def view(self, scope: str) -> BudgetView:
        """The budget as last seen, without asking."""
        ...


class Budget(Charging, Protocol):
    """Our share of the upstream's limit, and the gate that a 429 closes."""

    async def take(
        self, scope: str, purpose: Purpose, *, guessed: bool = False, patience: float = 0.0
    ) -> Charge:
        """Charge one call whose turn comes within `patience` seconds; raises BudgetExhausted,
        which says when to come back, or GateClosed.

        `guessed`: the upstream probably does not have that training. While the gate is due to
        reopen, one taker is let through as the probe.
        """
        ...

    def hold(self, scope: str, seconds: float) -> None:
        """The gate is closed for all replicas for so long: close it here, exactly as long."""
        ...


@dataclass(frozen=True, slots=True)
class KnownBudget:
    """What a replica saw of the shared budget at `at` (monotonic).

    `life` is another one after that has forgotten what was spent; `stamp` is its own clock, for
    it to read, which `at` meets within `error` seconds. `replicas` divide the limit, of which
    `limit` holds; for `silent` of them an equal part is kept. `ages` (seconds) are those of the
    calls of the last window, less than 0 for one that is granted for later. Of what is unspent
    this replica may make `claim` calls without asking, less those that it asked for since.
    """

    life: int
    stamp: int
    at: float
    error: float
    replicas: int
    silent: int
    limit: int
    claim: int
    ages: Sequence[float]


@dataclass(frozen=True, slots=True)
class Looking:
    """What a replica says when it looks at a scope: what it saw last, how much of its claim is
    left, and the ages of its calls that the shared budget does not know of."""

    scope: str
    known: KnownBudget | None
    claim: int
    untold: Sequence[float]


class SharedBudget(Charging, Protocol):
    """The budget of all replicas, which may be away (RedisUnavailable) and forget.

    It grants nothing to a replica that has not looked lately. For one that was not heard for
    `silence` seconds it keeps an equal part of the limit, which that may spend without asking.
    """

    silence: float

    def is_there(self, scope: str) -> bool:
        """Whether it can be asked; False: nothing would be sent."""
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
        """As Budget.take, of a replica that knows that; None where it has to look first."""
        ...

    async def look(self, asked: Sequence[Looking]) -> list[KnownBudget]:
        """The calls of the last window, of each scope. What is untold counts from now on where
        the life is the one that was known; of another life a replica only hears."""
        ...

    async def leave(self, scopes: Sequence[str]) -> None:
        """This replica ends: nothing is kept for it."""
        ...


class OwnBudget(Budget, Protocol):
    """The budget of this replica alone, and its share of the shared one while that is away."""

    def stand_in(self, scope: str, past: Past | None, replicas: int) -> None:
        """From now on pay from one of so many equal parts of the limit, whose past this is in
        monotonic time; None: nothing is known of it."""
        ...
