"""The ports of the budget (the account of calls to the upstream) and of its gate.

A 429 closes the gate: no calls are made for a time. All replicas pay for calls from one *shared
budget* in Redis. A replica without Redis pays from its own budget. Even then all replicas together
must stay within the limit. The words for this:

look    a request of a replica to Redis, which reports the calls of the replica. The reply is the
        state of the shared budget
part    a number of calls per window: the configured limit divided by the number of replicas, or
        less. The shared budget keeps one part for each replica
share   a number of calls per window: the most that a replica may spend without Redis. It is the
        part, or less after a 429: if the limit is halved, the share is half of the part
claim   those calls of its share that a replica may spend at once when it loses Redis
silent  a replica is silent if it has made no look for `SharedBudget.silence` seconds. Perhaps it
        has lost Redis, and spends its share
life    the time between two losses of the shared budget's data. Each life has a number. A new life
        begins without the calls of the life before
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.budget.window_log import Past
from gateway.core.vocabulary import Purpose


@dataclass(frozen=True, slots=True)
class BudgetView:
    """The state of a budget. `limit` (calls per window) and `available` (free calls) are None if it
    is unlimited. `gate_closed_for` is in seconds. 0.0: the gate is open, or due to reopen."""

    limit: int | None
    window: float
    available: int | None
    gate_closed_for: float


@dataclass(frozen=True, slots=True)
class Charge:
    """One call that is paid for.

    stamp     a number that identifies the charge in its budget
    wait      the seconds until the call may be sent
    is_share  whether this replica paid alone, because it could not use the shared budget
    life      the number of the life in which the shared budget granted the call. 0: the shared
              budget did not grant the call, or has no limit
    """

    stamp: float
    wait: float = 0.0
    is_share: bool = False
    life: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """A gate after a 429: the seconds until it may reopen.

    `is_longer` tells whether the other replicas must hear of this 429:
    - If the gate was open: True.
    - If a probe (the one call that tests a closed gate) was under way: True.
    - If the gate was closed without a probe: True if this 429 moves the end of the pause by at
      least SHORTEST_HOLD seconds.
    """

    seconds: float
    is_longer: bool


class Charging(Protocol):
    """The methods that all budgets have.

    `scope` names the owner of a budget: a tenant, or a partition if each credential has a budget of
    its own.
    """

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        """Let a call count from now on, because its wait (`Charge.wait`) is over.

        Returns a charge that replaces `charge`. None: `charge` is no longer valid, and the call
        needs another charge. If the gate was closed during the wait, undoes `charge` and raises
        GateClosed.
        """
        ...

    async def give_back(self, scope: str, charge: Charge) -> None:
        """Undo a charge whose call was certainly not sent. A charge may be undone only once. If the
        call was the probe, the next call becomes the probe."""
        ...

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """Close the gate after a 429. `retry_after` is in seconds, None if the upstream named no
        time. If the gate was open or a probe was under way, the limit is lowered too."""
        ...

    async def reopen(self, scope: str) -> bool:
        """Note an answer other than 429. It opens a closed gate if a probe is under way, or if the
        gate is due to reopen. Returns whether the answer opened the gate."""
        ...

    def view(self, scope: str) -> BudgetView:
        """The state of the budget, as this replica knows it. Redis is not asked."""
        ...


class Budget(Charging, Protocol):
    """The budget from which this replica pays for its calls."""

    async def take(
        self, scope: str, purpose: Purpose, *, guessed: bool = False, patience: float = 0.0
    ) -> Charge:
        """Charge one call, which may be sent after `Charge.wait` seconds (at most `patience`).
        Raises GateClosed or BudgetExhausted, with the seconds until another try makes sense.

        `purpose` decides the priority of the call (`core.budget.priority`). `guessed`: the upstream
        probably has no training with the wanted id. When a closed gate is due to reopen, the first
        call is the probe.
        """
        ...

    def hold(self, scope: str, seconds: float) -> None:
        """Close the gate of this replica for `seconds`, because the gate in Redis is closed."""
        ...


@dataclass(frozen=True, slots=True)
class KnownBudget:
    """The state of the shared budget, which a replica got from a look at the time `at` (monotonic).
    If the limit is high, all numbers of calls are those of a stretch, a part of the window (see
    `Stretch` in core/budget/window_log).

    life      the number of the current life
    stamp     the time `at` on the clock of Redis, in microseconds
    error     the most by which `stamp` may be wrong, in seconds
    replicas  how many replicas divide the limit. Silent replicas are included
    absent    how many of these replicas had time to report after a loss of data, but did not. They
              have probably ended
    limit     the current limit
    claim     the claim of this replica at the time `at`. Each call that it asks for after `at` uses
              up one call of the claim
    part      the part of this replica. 0: it is new, or the others have the whole limit. Without
              Redis such a replica pays as after a start (see `OwnBudget.stand_in`)
    share     the share of this replica
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
class Looking:
    """What one replica sends to look at a scope.

    known    the result of its last look. None: this is the first look
    claim    how many calls of its claim are left
    untold   the ages of the calls that it paid without Redis, and did not report yet
    earlier  after a loss of data: the result of its last look before the loss. The calls in it
             are reported, because the replicas that made them may have ended
    made     after a loss of data: the age and the charge of each call of this replica that the
             shared budget knew
    """

    scope: str
    known: KnownBudget | None
    claim: int
    untold: Sequence[float]
    earlier: KnownBudget | None = None
    made: Sequence[tuple[float, Charge]] = ()


class SharedBudget(Charging, Protocol):
    """The budget of all replicas. It may be away (RedisUnavailable), and it may lose its data. A
    silent replica is granted nothing before its next look. Its part is kept for it until the budget
    forgets this replica."""

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
        guessed: bool = False,
        patience: float = 0.0,
    ) -> Charge | None:
        """As `Budget.take`. `known` is the result of the last look. Returns None if the replica has
        to look first."""
        ...

    async def look(self, asked: Sequence[Looking]) -> list[KnownBudget]:
        """Look at each scope, and return its state. The shared budget adds the reported calls only
        if `Looking.known` is of the current life. Otherwise they have to be reported again."""
        ...

    async def leave(self, scopes: Sequence[str]) -> None:
        """Note that this replica ends. No part is kept for it from now on."""
        ...


class OwnBudget(Budget, Protocol):
    """The budget in the memory of this replica."""

    def stand_in(self, scope: str, past: Past | None, replicas: int) -> None:
        """From now on, divide a limit into `replicas` equal parts, and pay for calls from one part.

        `past` has the limit, and the calls that were spent from it (monotonic times). None: the
        limit of the scope is divided, and the spent calls are unknown, as after a start.
        """
        ...
