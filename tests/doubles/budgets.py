"""Budgets for tests: their rules in short, and a replica's budget on a real Redis."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from gateway.adapters.ledger import LocalBudget
from gateway.adapters.redis.budget import RedisBudget
from gateway.core.budget.window_log import BudgetRules, Rate, Rates
from gateway.ports import Clock

_numbers = itertools.count(1)
# With so many replicas none of them has a reserve, and Redis hands out the whole limit.
NO_RESERVES = 1_000_000


def rules_of(
    limit: int | None,
    window: float = 60.0,
    *,
    tenants: dict[str, Rate | None] | None = None,
    **others: Any,
) -> BudgetRules:
    """Rules with this limit; `others` are further fields of BudgetRules."""
    usual = None if limit is None else Rate(limit, window)
    return BudgetRules(Rates(usual, tenants), **others)


def redis_budget_on(
    connection: Any, clock: Clock, rules: BudgetRules, scopes: Sequence[str] = ("default",)
) -> RedisBudget:
    """Of a replica that nobody knows yet."""
    reserve = LocalBudget(clock, rules, is_reserve=True)
    return RedisBudget(
        *(connection, "gateway", clock, rules, reserve),
        name=f"n{next(_numbers)}",
        scopes=lambda: scopes,
    )
