"""The budget of replicas on a real Redis, as one of them has it."""

from __future__ import annotations

import itertools

from gateway.adapters.ledger import LocalBudget
from gateway.adapters.redis.budget import RedisBudget
from gateway.adapters.redis.connect.connection import Connection
from gateway.core.budget.window_log import OwnRates
from gateway.flow.budget.replica_share import Shares
from gateway.ports import Clock

_numbers = itertools.count(1)


def shares_on(
    connection: Connection,
    clock: Clock,
    limit: int | None,
    window: float,
    *,
    start_paced: bool = True,
    rates: OwnRates | None = None,
    sweep_share: float = 1.0,
) -> Shares:
    """Of a replica that nobody knows yet."""
    shared = RedisBudget(
        connection,
        "gateway",
        clock,
        limit,
        window,
        name=f"n{next(_numbers)}",
        start_paced=start_paced,
        rates=rates,
        sweep_share=sweep_share,
    )
    own = LocalBudget(clock, limit, window, start_paced=start_paced, rates=rates)
    return Shares(shared, own, clock, lambda: 1)
