"""Where a Budget lives: makes it, and lets time pass for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from gateway.adapters.ledger import LocalBudget
from gateway.core.budget.window_log import OwnRates
from gateway.core.errors import CallWithheld
from gateway.core.vocabulary import Purpose
from gateway.ports import Budget
from tests.doubles.budgets import replica_budget_on
from tests.doubles.clock import FakeClock
from tests.doubles.timed_redis import TimedConnection, TimedRedis


class World(Protocol):
    """One implementation of Budget, and its time."""

    @property
    def clock(self) -> FakeClock:
        """The time that callers of the budget see."""
        ...

    def budget(
        self,
        limit: int | None,
        window: float,
        *,
        start_paced: bool = False,
        rates: OwnRates | None = None,
        sweep_share: float = 1.0,
    ) -> AbstractAsyncContextManager[Budget]:
        """A budget; on Redis all that are open at once share what replicas would share."""
        ...

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        ...


class LocalWorld:
    """In memory, on a fake clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()

    @asynccontextmanager
    async def budget(
        self,
        limit: int | None,
        window: float,
        *,
        start_paced: bool = False,
        rates: OwnRates | None = None,
        sweep_share: float = 1.0,
    ) -> AsyncIterator[Budget]:
        yield LocalBudget(
            *(self.clock, limit, window),
            start_paced=start_paced,
            rates=rates,
            sweep_share=sweep_share,
        )

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


class RedisWorld:
    """On a real Redis, whose scripts read the time of a fake clock."""

    def __init__(self, url: str) -> None:
        self.clock = FakeClock()
        self.server = TimedRedis(url, self.clock.now)

    @asynccontextmanager
    async def budget(
        self,
        limit: int | None,
        window: float,
        *,
        start_paced: bool = False,
        rates: OwnRates | None = None,
        sweep_share: float = 1.0,
    ) -> AsyncIterator[Budget]:
        budget = replica_budget_on(
            *(TimedConnection(self.server), self.clock, limit, window),
            start_paced=start_paced,
            rates=rates,
            sweep_share=sweep_share,
        )
        await budget.look()
        self.advance(1.0)  # nothing is granted in the first second of a life
        yield budget

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


async def granted(budget: Budget, scope: str = "default", purpose: Purpose = Purpose.MISS) -> bool:
    """Whether a call may be made."""
    try:
        await budget.take(scope, purpose)
    except CallWithheld:
        return False
    return True


async def count_granted(
    budget: Budget, most: int = 1000, purpose: Purpose = Purpose.MISS, scope: str = "default"
) -> int:
    """How many calls may be made at once."""
    for count in range(most):
        if not await granted(budget, scope, purpose):
            return count
    return most
