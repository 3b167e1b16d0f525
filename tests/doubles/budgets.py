"""The budget of one of several replicas, on a real Redis."""

from __future__ import annotations

import itertools
from typing import Any

from gateway.adapters.ledger import LocalBudget
from gateway.adapters.redis.budget import BudgetRules, RedisBudget
from gateway.core.budget.window_log import OwnRates, Rate
from gateway.flow.budget.replica_budget import ReplicaBudget, Warn
from gateway.ports import Clock

_numbers = itertools.count(1)
# With so many replicas none of them has a reserve, and Redis hands out the whole limit.
NO_RESERVES = 1_000_000


def no_warning(_event: str, /, **_fields: object) -> None:
    """Nobody is told."""


def replica_budget_on(
    connection: Any,
    clock: Clock,
    limit: int | None,
    window: float,
    *,
    start_paced: bool = True,
    rates: OwnRates | None = None,
    sweep_share: float = 1.0,
    replicas: int = NO_RESERVES,
    warn: Warn = no_warning,
    new_for: float = 0.0,
) -> ReplicaBudget:
    """Of a replica that nobody knows yet."""
    usual, name = None if limit is None else Rate(limit, window), f"n{next(_numbers)}"
    rules = BudgetRules(
        usual, window, replicas=replicas, start_paced=start_paced, sweep_share=sweep_share
    )
    return ReplicaBudget(
        RedisBudget(connection, "gateway", clock, rules, name=name, rates=rates),
        LocalBudget(clock, limit, window, rates=rates, replicas=replicas),
        clock,
        warn,
        name=name,
        replicas=lambda: 1,
        most=replicas,
        scopes=lambda: ("default",),
        new_for=new_for,
    )
