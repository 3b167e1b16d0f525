"""The ports of the budget and of its gate.

Redis hands out most of the limit by one script (`SharedBudget`). Each replica has a reserve for
times when Redis gives no answer. A process without Redis has the whole limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from gateway.core.budget.priority import Rank
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
    """A gate after a 429. `seconds`: the time until the gate may reopen.

    `is_longer`: whether the 429 closed an open gate, came during a probe, or delayed the reopening
    by at least SHORTEST_HOLD (core/budget/breaker). The other replicas must be told of such a 429.
    `limit`: the limit of calls that the 429 left (None: no limit, or not known).
    """

    seconds: float
    is_longer: bool
    limit: int | None = None


class Budget(Protocol):
    """The budget from which this replica pays for its calls. `scope` names the owner of a budget: a
    tenant, or a partition if each credential has its own budget."""

    async def take(self, scope: str, purpose: Purpose) -> Charge:
        """Charge one call. Raises GateClosed or BudgetExhausted, with the seconds until another try
        makes sense. When a closed gate is due to reopen, the first call becomes the probe."""
        ...

    async def give_back(self, scope: str, charge: Charge) -> None:
        """Undo a charge whose call was certainly not sent."""
        ...

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """Close the gate after a 429. `retry_after` None: the upstream named no time. If the gate
        was open or a probe was under way, the limit is lowered too."""
        ...

    def hold(self, scope: str, seconds: float) -> None:
        """Close the gate of this replica for `seconds`, because the gate in Redis is closed."""
        ...

    async def reopen(self, scope: str) -> bool:
        """After an answer other than 429: open the gate if it is due to reopen, or if a probe is
        under way. Returns whether the gate was opened."""
        ...

    def view(self, scope: str) -> BudgetView:
        """The state as this replica knows it, without asking Redis."""
        ...


class BudgetWord(StrEnum):
    """The answer to a question. LATE: it was long on its way, or Redis' clock was changed. REST:
    calls before a loss of Redis' data may still count."""

    OK = "OK"
    LATE = "LATE"
    GATE = "GATE"
    REST = "REST"
    NO = "NO"


@dataclass(frozen=True, slots=True)
class BudgetQuestion:
    """A question to the shared budget.

    call     the name of the call
    rank     None: no call is wanted, the replica only looks
    life     the life of the shared budget that the replica knows ("": none). A life ends when Redis
             loses its data, is failed over or restarted, or when its clock is changed
    mine     by rank: the last call that was granted to this replica in this life and scope, and its
             time on Redis' clock
    expect   the time that Redis' clock should show now (None: not known)
    stepped  whether Redis' clock was changed
    back     calls whose grant was never answered
    """

    scope: str
    call: str
    rank: Rank | None
    life: str
    mine: Mapping[Rank, tuple[str, float]] = field(default_factory=dict)
    expect: float | None = None
    stepped: bool = False
    back: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class BudgetReply:
    """The answer to a question. `wait`: the seconds until another question makes sense. `now`: the
    time on Redis' clock. `is_probed`: a probe of the closed gate is under way."""

    word: BudgetWord
    wait: float
    life: str
    now: float
    is_probed: bool = False


class SharedBudget(Protocol):
    """The part of the limit that Redis hands out to all replicas. Each method except `view`
    raises RedisUnavailable."""

    @property
    def is_up(self) -> bool:
        """Whether Redis can be asked now."""
        ...

    async def ask(self, question: BudgetQuestion) -> BudgetReply:
        """Ask for a call."""
        ...

    async def look(self, questions: Sequence[BudgetQuestion]) -> list[BudgetReply]:
        """Ask for no call, in as few round trips as possible."""
        ...

    async def give_back(self, scope: str, call: str) -> None:
        """As Budget.give_back."""
        ...

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """As Budget.close."""
        ...

    async def reopen(self, scope: str) -> bool:
        """As Budget.reopen."""
        ...

    def view(self, scope: str) -> BudgetView:
        """As Budget.view."""
        ...
