"""What may be spent of the upstream's limit, and the gate that a 429 closes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.hints import Stated
from gateway.core.status import Purpose


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
    `wait` seconds."""

    stamp: float
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Spent:
    """The calls of the last window, the oldest first: how old (seconds) each is, less than 0
    where it is granted for later; and, of those that were sent, when by the budget's own clock,
    for that budget to read. Where there are too many, a stamp stands for several calls. `life`
    is another one after the budget has lost them; 0: it does not tell."""

    ages: Sequence[float]
    stamps: Sequence[float]
    life: int = 0


class Budget(Protocol):
    """Our share of the upstream's limit, and the gate that a 429 closes.

    `scope` names whose: a tenant, or a partition where each credential has its own. What a
    purpose may spend while calls are short is `core.ranks`' business.
    """

    async def take(
        self, scope: str, purpose: Purpose, *, guessed: bool = False, patience: float = 0.0
    ) -> Charge:
        """Charge one call whose turn comes within `patience` seconds; raises BudgetExhausted,
        which says when to come back, or GateClosed.

        `guessed`: the upstream probably does not have that training. While the gate is due to
        reopen, one taker is let through as the probe.
        """
        ...

    async def pass_gate(self, scope: str) -> Charge:
        """Ask the gate alone, for a call that is paid elsewhere: nothing is spent here. Raises
        GateClosed; while the gate is due to reopen, one is let through as the probe."""
        ...

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

    async def look(self, scope: str) -> Spent:
        """The calls of the last window; renews the view."""
        ...

    async def hand_in(
        self, scope: str, ages: Sequence[float], known: Sequence[float] | None = None
    ) -> None:
        """Charge calls that were made so many seconds ago, paid from elsewhere; and those of
        these stamps, as they were seen here, that are not known any more. None: nothing was."""
        ...

    def view(self, scope: str) -> BudgetView:
        """The budget as last seen, without asking."""
        ...


class OwnBudget(Budget, Protocol):
    """The budget of this replica alone, which follows the shared one to stand in for it."""

    def note(self, scope: str, purpose: Purpose, *, guessed: bool = False) -> Charge:
        """Charge one call that the shared budget granted, whatever is left."""
        ...

    def stand_in(self, scope: str, ages: Sequence[float], replicas: int) -> None:
        """From now on pay alone, one of so many replicas' share of the limit and of what was
        spent of it, as it was when the shared budget was last seen."""
        ...

    def step_back(self, scope: str) -> None:
        """The shared budget pays again."""
        ...

    def hold(self, scope: str, seconds: float) -> None:
        """The shared gate is closed for so long: close this one, exactly as long."""
        ...
