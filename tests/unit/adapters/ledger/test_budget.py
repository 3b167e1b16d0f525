"""LocalBudget: what is its own beside the contract: scopes are bounded, and it may be a reserve."""

from __future__ import annotations

import pytest

from gateway.adapters.ledger import LocalBudget
from gateway.adapters.ledger import budget as module
from gateway.core.budget.window_log import BudgetRules, Rate, Rates
from gateway.core.errors import BudgetExhausted, CallWithheld
from gateway.core.vocabulary import Purpose
from gateway.ports import BudgetView
from tests.contract.worlds import count_granted
from tests.doubles.budgets import rules_of
from tests.doubles.clock import FakeClock


async def test_the_least_recently_used_scope_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts anew, and paced; the others keep what they spent."""
    monkeypatch.setattr(module, "_MOST_SCOPES", 2)
    budget = LocalBudget(FakeClock(), rules_of(10))
    for scope in ("a", "b", "c"):
        await budget.take(scope, Purpose.MISS)

    granted = []
    for scope in ("c", "a"):
        try:
            await budget.take(scope, Purpose.MISS)
            granted.append(scope)
        except CallWithheld:
            continue

    assert granted == ["a"]


async def test_a_reserve_is_spent_at_the_start() -> None:
    """An earlier process has perhaps spent it. A window and its margin later it is free."""
    clock = FakeClock()
    reserve = LocalBudget(clock, rules_of(100), is_reserve=True)
    with pytest.raises(BudgetExhausted) as exhausted:
        await reserve.take("a", Purpose.MISS)
    assert exhausted.value.retry_after == pytest.approx(60.5)

    clock.advance(60.5)

    assert (await reserve.take("a", Purpose.MISS)).is_reserve
    assert await count_granted(reserve, scope="a") == 1


async def test_a_forgotten_reserve_is_spent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a replica with many scopes would spend it twice in a window."""
    monkeypatch.setattr(module, "_MOST_SCOPES", 1)
    clock = FakeClock()
    reserve = LocalBudget(clock, rules_of(100), is_reserve=True)
    reserve.view("a")
    clock.advance(60.5)
    assert await count_granted(reserve, scope="a") == 2
    reserve.view("b")

    assert await count_granted(reserve, scope="a") == 0


async def test_a_429_does_not_lower_a_reserve() -> None:
    """Its size is a constant: the part that Redis hands out is lowered instead."""
    clock = FakeClock()
    reserve = LocalBudget(clock, rules_of(100), is_reserve=True)
    reserve.view("a")
    clock.advance(60.5)
    await reserve.close("a", 1.0)
    clock.advance(5.0)
    await reserve.reopen("a")

    assert await count_granted(reserve, scope="a") == 2


async def test_a_limit_below_the_replicas_has_no_reserve() -> None:
    """One call for each of five replicas would be the whole limit of five."""
    clock = FakeClock()
    reserve = LocalBudget(clock, rules_of(5, replicas=5), is_reserve=True)
    clock.advance(1_000.0)

    with pytest.raises(BudgetExhausted) as exhausted:
        await reserve.take("a", Purpose.MISS)
    assert exhausted.value.retry_after == pytest.approx(60.5)
    assert reserve.view("a") == BudgetView(0, 60.0, 0, 0.0)


async def test_another_rate_keeps_the_calls_of_a_reserve() -> None:
    """A reload of the clients file is no second helping."""
    clock, rates = FakeClock(), Rates(None, {"a": Rate(100, 60.0)})
    reserve = LocalBudget(clock, BudgetRules(rates), is_reserve=True)
    reserve.view("a")
    clock.advance(60.5)
    assert await count_granted(reserve, scope="a") == 2
    rates.replace({"a": Rate(120, 60.0)})

    assert await count_granted(reserve, scope="a") == 1
