"""However Redis and the replicas fail, the API sees no more calls in a window than the limit.

`BUDGET_SEEDS` says how many runs there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from gateway.adapters.redis import budget
from gateway.core.budget.window_log import Rate
from tests.integration.budget_simulation import RULES, Fault, simulate, without

SEEDS = int(os.environ.get("BUDGET_SEEDS", "1"))
SHORT = Rate(20, 4.0)
# By rule: the faults with which the limit is exceeded if the rule is switched off.
FAULTS = {
    "margin": [Fault.NONE],
    "rest": [Fault.FLUSHED],
    "server": [Fault.FAILED_OVER],
    "stepped": [Fault.AHEAD_10, Fault.REPLACED],
    "first-start": [Fault.NEW_AND_EMPTY],
    "lost-log": [Fault.EVICTED_LOG],
    "reserves": [Fault.KILLED],
}


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("fault", Fault)
def test_no_window_has_more_calls_than_the_limit(redis_url: str, fault: Fault, seed: int) -> None:
    """Two to four replicas, one or two tenants. If Redis evicts all that it knows of the calls, the
    limit holds twice at most."""
    figures, limit = simulate(redis_url, seed, [fault], rate=SHORT if SEEDS == 1 else None)

    assert figures.fullest <= limit * (2 if fault is Fault.EVICTED_ALL else 1)
    assert figures.calls >= limit


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_needed(redis_url: str, rule: str) -> None:
    """Without it, the limit is exceeded in some run."""
    rate = Rate(5, 10.0) if rule == "server" else SHORT

    assert is_exceeded(redis_url, rate, FAULTS[rule], without(rule))


def test_a_replica_has_to_compare_the_clocks(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise calls of the last window are forgotten when Redis' clock is set."""
    monkeypatch.setattr(budget, "_CLOCK", 1_000.0)

    assert is_exceeded(redis_url, SHORT, [Fault.AHEAD_10])


def is_exceeded(
    url: str, rate: Rate, faults: list[Fault], edit: Callable[[str], str] = str
) -> bool:
    """Whether the limit is exceeded with one of the seeds."""
    runs = (simulate(url, seed, faults, rate=rate, edit=edit) for seed in range(60))
    return any(figures.fullest > limit for figures, limit in runs)
