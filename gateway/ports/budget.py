"""The ports of the budget and of its gate.

A replica pays for calls from the *shared budget* in Redis, or without Redis from its own budget. In
both cases all replicas together must stay within the limit. Words of this module:

look    a replica reports its calls, and reads the state of the shared budget
part    the limit divided by the number of replicas, or less. The shared budget records the part of
        each replica
share   the most calls per window that a replica may spend without Redis: its part, or less after a
        429
claim   those calls of its share that a replica may spend immediately when it loses Redis
silent  a replica is silent if its last look was more than `SharedBudget.silence` seconds ago.
        Perhaps it still spends its share
life    the time between two losses of the shared budget's data. No call from before a loss counts
        in the next life until it is reported again
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.budget.window_log import Past
from gateway.core.vocabulary import Purpose


@dataclass(frozen=True, slots=True)
class BudgetView:
    """The state of a budget. `limit` (calls per window) and `available` (calls that are not spent)
    are None without a limit. `gate_closed_for` 0.0: the gate is open, or due to reopen. `replicas`:
    how many replicas divide the limit, silent ones included."""

    limit: int | None
    window: float
    available: int | None
    gate_closed_for: float
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class Charge:
    """One call that is paid for.

    stamp     the time for which the call was granted. Its budget finds the charge by this time, so
              each budget chooses the clock and the unit
    wait      the seconds until the call may be sent
    is_share  this replica paid alone, because it could not use the shared budget
    life      the life in which the shared budget granted the call. 0: another budget granted it, or
              there is no limit
    """

    stamp: float
    wait: float = 0.0
    is_share: bool = False
    life: int = 0


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


class Charging(Protocol):
    """The methods of all budgets. `scope` names the owner of a budget: a tenant, or a partition if
    each credential has its own budget."""

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        """Move a charge to the present time, because its call had to wait and is sent now. Returns
        the moved charge. Returns None if the charge is no longer valid: the call then needs another
        one (`take`). If the gate was closed during the wait, undoes `charge` and raises
        GateClosed."""
        ...

    async def give_back(self, scope: str, charge: Charge) -> None:
        """Undo a charge whose call was certainly not sent. A charge may be undone only once."""
        ...

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """Close the gate after a 429. `retry_after` None: the upstream named no time. If the gate
        was open or a probe was under way, the limit is lowered too."""
        ...

    async def reopen(self, scope: str) -> bool:
        """After an answer other than 429: open the gate if it is due to reopen, or if a probe is
        under way. Returns whether the gate was opened."""
        ...

    def view(self, scope: str) -> BudgetView:
        """The state as this replica knows it, without asking Redis."""
        ...


class Budget(Charging, Protocol):
    """The budget from which this replica pays for its calls."""

    async def take(self, scope: str, purpose: Purpose, *, patience: float = 0.0) -> Charge:
        """Charge one call, which may be sent after `Charge.wait` seconds (at most `patience`).
        Raises GateClosed or BudgetExhausted, with the seconds until another try makes sense.

        When a closed gate is due to reopen, the first call becomes the probe.
        """
        ...

    def hold(self, scope: str, seconds: float) -> None:
        """Close the gate of this replica for `seconds`, because the gate in Redis is closed."""
        ...


@dataclass(frozen=True, slots=True)
class KnownBudget:
    """The state of the shared budget, from a look at the time `at` (monotonic).

    If the limit is high, `limit`, `claim`, `part`, `share` and `ages` are about a stretch, which is
    a fraction of the window (`Stretch` in core/budget/window_log).

    stamp     the time `at` on the clock of Redis, in microseconds
    error     the possible error of `stamp`, in seconds
    replicas  how many replicas divide the limit, silent ones included
    absent    how many of them had time to report after a loss of data, but did not
    claim     the claim at the time `at`. Each later call uses up one call of it
    part      the part of this replica. 0: the replica is new, and the others have not yet given up
              a part for it. Without Redis, it then pays as if it knew no calls (see
              `OwnBudget.stand_in`)
    ages      seconds since each call of the last window. Negative: the call waits for its turn
    """

    life: int
    stamp: int
    at: float
    error: float
    replicas: int
    limit: int
    claim: int
    part: int
    share: int
    ages: Sequence[float]
    absent: int = 0


@dataclass(frozen=True, slots=True)
class Made:
    """A call that a replica made `age` seconds ago. `number` is higher than that of each earlier
    call of the replica."""

    number: int
    age: float
    charge: Charge


@dataclass(frozen=True, slots=True)
class Looking:
    """What one replica sends to look at a scope.

    known    the result of its last look (None: there was none)
    claim    how many calls of its claim are left
    untold   the calls that the replica paid without Redis, and did not report yet. After a lost
             reply they are reported again, but count once
    earlier  after a loss of data: the result of the last look before the loss. Its calls are
             reported, because the replicas that made them have perhaps ended
    made     after a loss of data: each own call that the shared budget knew
    """

    scope: str
    known: KnownBudget | None
    claim: int
    untold: Sequence[Made]
    earlier: KnownBudget | None = None
    made: Sequence[Made] = ()


class SharedBudget(Charging, Protocol):
    """The budget of all replicas. It can be away (RedisUnavailable), and can lose its data. A
    silent replica is granted nothing before its next look. The part of a silent replica is kept for
    a time."""

    silence: float

    def is_there(self, scope: str) -> bool:
        """Whether Redis can be asked now."""
        ...

    async def take(
        self,
        scope: str,
        purpose: Purpose,
        known: KnownBudget | None,
        *,
        patience: float = 0.0,
    ) -> Charge | None:
        """As `Budget.take`, with the result of the last look. None: the replica has to look
        first."""
        ...

    async def look(self, asked: Sequence[Looking]) -> list[KnownBudget]:
        """Return the state of each scope. Reported calls are added only if `Looking.known` is of
        the current life. Otherwise they have to be reported again."""
        ...

    async def leave(self, scopes: Sequence[str]) -> None:
        """Remove this replica from the budget, because it ends. Then no part is kept for it."""
        ...


class OwnBudget(Budget, Protocol):
    """The budget in the memory of this replica."""

    def stand_in(self, scope: str, past: Past | None, replicas: int) -> None:
        """From now on, pay for calls from one of `replicas` equal parts of a limit. `past` has the
        limit and its spent calls (monotonic times). `past` None: the configured limit of the scope
        is divided, and its spent calls are unknown, as after a start."""
        ...
