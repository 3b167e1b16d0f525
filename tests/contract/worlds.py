"""Where a Budget lives: makes it, and lets time pass for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from gateway.adapters.ledger import LocalBudget
from gateway.core.budget.window_log import BudgetRules, Start
from gateway.core.errors import CallWithheld
from gateway.core.vocabulary import Purpose
from gateway.ports import Budget
from tests.doubles.budgets import NO_RESERVES, redis_budget_on, rules_of
from tests.doubles.clock import FakeClock
from tests.doubles.redis_away import CommonBudget, Switch, SwitchedBudget
from tests.doubles.timed_redis import TimedConnection, TimedRedis


class World(Protocol):
    """One implementation of Budget, and its time."""

    @property
    def clock(self) -> FakeClock:
        """The time that callers of the budget see."""

    def made(self, rules: BudgetRules) -> AbstractAsyncContextManager[Budget]:
        """A budget; on Redis all that are open at once share what replicas would share."""


class LocalWorld:
    """In memory, on a fake clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()

    @asynccontextmanager
    async def made(self, rules: BudgetRules) -> AsyncIterator[Budget]:
        yield LocalBudget(self.clock, rules)


class RedisWorld:
    """On a real Redis, whose scripts read the time of a fake clock."""

    def __init__(self, url: str) -> None:
        self.clock = FakeClock()
        self.server = TimedRedis(url, self.clock.now)

    @asynccontextmanager
    async def made(self, rules: BudgetRules) -> AsyncIterator[Budget]:
        budget = redis_budget_on(TimedConnection(self.server), self.clock, rules)
        await budget.look()
        self.clock.advance(1.0)  # nothing is granted in the first second of a life
        yield budget


class DoubleWorld:
    """The double that tests of `flow` use in place of Redis."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self._common = CommonBudget(self.clock)

    @asynccontextmanager
    async def made(self, rules: BudgetRules) -> AsyncIterator[Budget]:
        self._common.lose(LocalBudget(self.clock, rules))
        reserve = LocalBudget(self.clock, rules, is_reserve=True)
        yield SwitchedBudget(self._common, Switch(), reserve)


def budget(
    world: World, limit: int | None, window: float, **others: Any
) -> AbstractAsyncContextManager[Budget]:
    """A budget of this world, with these rules and no reserves. Its start is not paced."""
    others.setdefault("start", Start.FULL)
    others.setdefault("replicas", NO_RESERVES)
    return world.made(rules_of(limit, window, **others))


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
