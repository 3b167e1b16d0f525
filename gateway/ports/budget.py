"""The ports of the budget: the calls that the upstream's limit allows, and the gate that a 429
closes.

All replicas pay for calls from one *shared budget* in Redis. While Redis is away, each replica pays
from its own budget. To stay within the limit together, the replicas agree beforehand how much each
may spend alone. The words for this:

look    a replica reports its calls to the shared budget, and reads the state of that budget
part    the calls that one replica may make in any window while it cannot reach Redis: an equal part
        of the configured limit, or less
share   the part, scaled to the current limit (a 429 lowers the limit)
claim   those calls of its share that a replica may make at once when it loses Redis
silent  a silent replica has not looked for `SharedBudget.silence` seconds. It may have lost Redis,
        and may be spending its share
life    the time from one loss of the shared budget's data to the next loss. Each life has a number.
        If the number has changed, the shared budget has forgotten the calls that it granted before
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.budget.window_log import Past
from gateway.core.vocabulary import Purpose


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A budget when it was last seen. `limit` and `available` are None if it is unlimited.
    `gate_closed_for` is in seconds, 0.0 while the gate is open."""

    limit: int | None
    window: float
    available: int | None
    gate_closed_for: float


@dataclass(frozen=True, slots=True)
class Charge:
    """One call that is paid for.

    stamp     the number by which the budget recognises the charge
    wait      seconds until the call may be sent
    is_share  this replica paid from its share, and the shared budget does not know of the call
    life      the life in which the shared budget granted the call. 0 if the shared budget did not
              grant the call, or has no limit
    """

    stamp: float
    wait: float = 0.0
    is_share: bool = False
    life: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """A gate after a 429: the seconds until it may reopen. `is_longer` is False if the gate was
    closed already, no probe was under way, and this 429 makes the gate stay closed for less than
    SHORTEST_HOLD seconds more."""

    seconds: float
    is_longer: bool


class Charging(Protocol):
    """The methods that all budgets have.

    `scope` names the owner of a budget: a tenant, or a partition if each credential has a budget of
    its own.
    """

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        """Note that the wait of a call (`Charge.wait`) is over. The call counts from now on, and
        the returned charge replaces `charge`. Returns None if `charge` is no longer valid. The call
        then needs another charge. If the gate was closed during the wait, undoes `charge` and
        raises GateClosed."""
        ...

    async def give_back(self, scope: str, charge: Charge) -> None:
        """Undo a charge whose call was certainly not sent. Each charge may be undone only once. If
        the call was the probe (the one call that tests a closed gate), the next call becomes the
        probe."""
        ...

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """Close the gate after a 429. Also lowers the limit, if the gate was open or a probe was
        under way."""
        ...

    async def reopen(self, scope: str) -> bool:
        """Note an answer other than 429. It opens the gate if a probe is under way, or if the gate
        is due to reopen. Returns whether the answer opened the gate."""
        ...

    def view(self, scope: str) -> BudgetView:
        """The budget when it was last seen. Redis is not asked."""
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
        """Close this replica's gate for `seconds`, because the shared gate is closed."""
        ...


@dataclass(frozen=True, slots=True)
class KnownBudget:
    """The state of the shared budget, as a replica saw it at the time `at` (monotonic). The top of
    this file explains this replica's `claim`, `part` and `share`.

    life      the number of the current life
    stamp     the time `at` on the clock of the shared budget. It may be wrong by `error` seconds
    replicas  how many replicas divide the limit
    silent    how many of these replicas are silent, or have not reported their calls after a loss
              of data. Their parts are kept for them
    limit     the current limit
    claim     the claim at the time `at`. Each call for which the replica asks Redis after `at` uses
              up one call of the claim
    part      0 for a new replica, or if the parts of the others are the whole limit. While Redis is
              away, such a replica pays like one that started without Redis (see
              `OwnBudget.stand_in`)
    ages      seconds since each call of the last window; negative for a call that is granted for
              later
    absent    how many replicas had time to report after the last loss of data, but did not
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
    absent: int = 0


@dataclass(frozen=True, slots=True)
class Looking:
    """One replica's look at a scope.

    known    the state that the replica saw last
    claim    how many calls of its claim are left
    untold   the ages of the calls that it paid from its share, and did not report yet
    earlier  after a loss of data: the state that the replica saw last before the loss. The calls of
             other replicas in this state are reported too, because those replicas may have ended
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
    """The budget of all replicas. It may be away (RedisUnavailable), and it may forget which calls
    were spent. A silent replica is granted nothing before its next look. The part of a silent
    replica is granted to no other replica."""

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
        """Like `Budget.take`. `known` is the state that the replica saw last. Returns None if the
        replica has to look first."""
        ...

    async def look(self, asked: Sequence[Looking]) -> list[KnownBudget]:
        """The state of each scope. The calls in `untold` count only if `known` is of the current
        life. Otherwise the replica has to report them again."""
        ...

    async def leave(self, scopes: Sequence[str]) -> None:
        """Note that this replica ends. From now on no part is kept for it."""
        ...


class OwnBudget(Budget, Protocol):
    """The budget in the memory of this replica."""

    def stand_in(self, scope: str, past: Past | None, replicas: int) -> None:
        """From now on, divide a limit into `replicas` equal parts, and pay for calls from one part.
        `past` has the limit, and the calls that were spent from it (monotonic times). If `past` is
        None, the limit is that of the scope, and the earlier calls are unknown, as after a
        start."""
        ...
