"""However Redis and the replicas fail, the API sees no more calls in a window than the limit.

`BUDGET_SEEDS` says how many runs there are.
"""

from __future__ import annotations

import os

import pytest

from gateway.core.budget.window_log import Rate
from tests.integration.budget_simulation import RULES, Fault, simulate, without

SEEDS = int(os.environ.get("BUDGET_SEEDS", "1"))
SHORT = Rate(20, 4.0)
# By rule: the fault and the seeds with which the limit is exceeded if the rule is switched off.
FAULTS = {
    "margin": Fault.NONE,
    "late": Fault.AHEAD_3,
    "rest": Fault.FLUSHED,
    "server": Fault.FAILED_OVER,
    "stepped": Fault.AHEAD_10,
    "first-start": Fault.NEW_AND_EMPTY,
    "lost-log": Fault.EVICTED_LOG,
    "reserves": Fault.KILLED,
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
    runs = (
        simulate(redis_url, seed, [FAULTS[rule]], rate=rate, edit=without(rule))
        for seed in range(60)
    )

    assert any(figures.fullest > limit for figures, limit in runs)
