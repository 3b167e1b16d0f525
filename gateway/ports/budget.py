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
    """A tenant's budget when it was last seen. `limit` and `available` are None if the budget is
    unlimited.

    `gate_closed_for` is in seconds, 0.0 while the gate is open.
    """

    limit: int | None
    window: float
    available: int | None
    gate_closed_for: float


@dataclass(frozen=True, slots=True)
class Charge:
    """One call that is paid for. It may be sent after `wait` seconds. `stamp` identifies the charge
    for the budget. `is_share`: this replica paid the call from its own share, and the shared budget
    does not know of the call. If the shared budget granted the call, `life` is the budget's life at
    that time (see KnownBudget). `life` is 0 if the shared budget is unlimited, or did not grant the
    call."""

    stamp: float
    wait: float = 0.0
    is_share: bool = False
    life: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """A gate after a 429: the seconds until it may reopen. `is_longer` is False if the gate was
    already closed, and this 429 moves the time of reopening by less than SHORTEST_HOLD seconds."""

    seconds: float
    is_longer: bool


class Charging(Protocol):
    """The methods that all budgets have. They change the gate or the charges of calls, or show the
    budget.

    `scope` names the owner of the budget: a tenant, or a partition if each credential has a budget
    of its own. `core.budget.priority` decides how much each purpose may spend if there are too few
    calls.
    """

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        """Begin the turn of a call that has waited. Returns its charge, which counts from now on.
        Returns None if the charge is no longer valid. In this case the call needs another charge.
        If the gate was closed while the call waited, undoes the charge and raises GateClosed."""
        ...

    async def give_back(self, scope: str, charge: Charge) -> None:
        """Undo a charge whose call was certainly not sent. To be called once.

        If that call was the probe, the next call becomes the probe.
        """
        ...

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """Close the gate after a 429. The limit is lowered if the gate was open, or if a probe was
        under way."""
        ...

    async def reopen(self, scope: str) -> bool:
        """Note an answer other than 429. Such an answer opens the gate if a probe is under way, or
        if the gate is due to reopen. Returns whether the gate was opened."""
        ...

    def view(self, scope: str) -> BudgetView:
        """The budget when it was last seen. Redis is not asked."""
        ...


class Budget(Charging, Protocol):
    """The calls that this replica may make within the upstream's limit, and the gate that a 429
    closes."""

    async def take(
        self, scope: str, purpose: Purpose, *, guessed: bool = False, patience: float = 0.0
    ) -> Charge:
        """Charge one call. Its turn may come up to `patience` seconds later (see `Charge.wait`).
        Raises GateClosed, or BudgetExhausted with the time when to try again.

        `guessed`: the upstream probably does not have the training of this call. When a closed gate
        is due to reopen, the first call after that is the probe.
        """
        ...

    def hold(self, scope: str, seconds: float) -> None:
        """Close this replica's gate for `seconds`, because the shared gate of all replicas is
        closed."""
        ...


@dataclass(frozen=True, slots=True)
class KnownBudget:
    """The state of the shared budget as a replica saw it at the time `at` (monotonic).

    life       a number that changes when the shared budget has forgotten which calls were spent
    stamp      the time `at` as the clock of the shared budget tells it; `stamp` may be wrong by
               `error` seconds
    replicas   how many replicas divide the limit; `silent` of them did not report lately, and
               their parts are kept for them
    limit      the limit at the time `at`
    claim      how many calls this replica could still make at the time `at` without asking Redis;
               each call that it asked Redis for after `at` uses up one of them too
    part       this replica's part of the configured limit. The replica may spend it while the
               shared budget cannot be reached. It is 0 if the parts of the other replicas are the
               whole limit. While the shared budget is away, a replica with the part 0 pays as a
               replica does that started during the absence (see `OwnBudget.stand_in`)
    share      `part`, scaled to `limit`
    ages       seconds since each call of the last window; negative for a call that was granted for
               later
    absent     how many of the silent replicas did not report since the shared budget lost its data,
               although they had time to do so
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
    """The report of a replica that asks for the state of a scope. `known` is the state that the
    replica saw last. `claim` is the part of the replica's claim that is left. `untold` has the ages
    of the calls that the replica made and did not report yet.

    If the shared budget has forgotten which calls were spent, `earlier` is the state that the
    replica saw last before that loss. `earlier` has calls of other replicas too. They are reported,
    because these replicas may have ended by now. `made` has the age and the charge of each call
    that the replica made before that loss."""

    scope: str
    known: KnownBudget | None
    claim: int
    untold: Sequence[float]
    earlier: KnownBudget | None = None
    made: Sequence[tuple[float, Charge]] = ()


class SharedBudget(Charging, Protocol):
    """The budget of all replicas. It may be away (RedisUnavailable), and it may forget which calls
    were spent.

    A replica that has not called `look` lately is granted nothing. If a replica has not reported
    for `silence` seconds, the shared budget grants nothing from that replica's part of the limit,
    because the replica may spend this part without asking.
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
        """Like `Budget.take`. `known` is the state that the replica saw last. Returns None if the
        replica has to call `look` first."""
        ...

    async def look(self, asked: Sequence[Looking]) -> list[KnownBudget]:
        """The state of each scope. The calls in `untold` are counted only if the budget has
        forgotten nothing since the replica's last look. Otherwise the replica reports them with its
        next look."""
        ...

    async def leave(self, scopes: Sequence[str]) -> None:
        """Note that this replica ends. From now on no part of the limit is kept for it."""
        ...


class OwnBudget(Budget, Protocol):
    """The budget in the memory of this replica, used without Redis, or while the shared budget is
    away."""

    def stand_in(self, scope: str, past: Past | None, replicas: int) -> None:
        """From now on pay for calls from an equal part of the limit. `replicas` is the number of
        parts. `past` has the calls that were spent from the limit, with monotonic times. It is None
        if they are not known."""
        ...
