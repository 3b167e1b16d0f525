"""The port of the budget and of its gate.

Redis hands out most of the limit by one script. Each replica has a reserve for times when Redis
gives no answer. A process without Redis has the whole limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.core.budget.window_log import LATEST_SEND
from gateway.core.vocabulary import Purpose


@dataclass(frozen=True, slots=True)
class BudgetView:
    """The state of a budget. `limit` (calls per window) and `available` (calls that are not spent)
    are None without a limit. `gate_closed_for` 0.0: the gate is open, or due to reopen.
    `other_rate`: the rate that another replica has for the same budget, if it differs."""

    limit: int | None
    window: float
    available: int | None
    gate_closed_for: float
    other_rate: str | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """One call that is paid for. `asked`: when the budget was asked (monotonic). `is_reserve`: the
    call is paid from the reserve of this replica."""

    call: str
    asked: float
    is_reserve: bool = False

    def is_late(self, now: float) -> bool:
        """Whether the call may not be sent any more: the budget counts the call from its grant, and
        would stop counting it before the upstream does."""
        return now - self.asked > LATEST_SEND


@dataclass(frozen=True, slots=True)
class Closed:
    """A gate after a 429. `seconds`: until the gate may reopen. `limit`: the limit that the 429
    left (None: no limit, or not known)."""

    seconds: float
    limit: int | None


class Budget(Protocol):
    """The budget from which this replica pays for its calls. `scope` names the owner of a budget: a
    tenant, or a partition if each credential has its own budget."""

    async def take(self, scope: str, purpose: Purpose) -> Charge:
        """Charge one call. Raises GateClosed or BudgetExhausted, with the seconds until another try
        makes sense. When a closed gate is due to reopen, the first call becomes the probe."""

    async def give_back(self, scope: str, charge: Charge) -> None:
        """Undo a charge whose call was certainly not sent."""

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """Close the gate after a 429. `retry_after` None: the upstream named no time. If the gate
        was open or a probe was under way, the limit is lowered too."""

    def hold(self, scope: str, seconds: float) -> None:
        """Close the gate of this replica for `seconds`, because the gate in Redis is closed."""

    async def reopen(self, scope: str) -> bool:
        """After an answer other than 429: open the gate if it is due to reopen, or if a probe is
        under way. Returns whether the gate was opened."""

    def view(self, scope: str) -> BudgetView:
        """The state as this replica knows it, without asking Redis."""
