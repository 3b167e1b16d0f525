"""LocalBudget: what is its own beside the contract: scopes are bounded."""

from __future__ import annotations

import pytest

from gateway.adapters.ledger import LocalBudget
from gateway.core.budget.window_log import OwnRates, Past, Rate
from gateway.core.errors import BudgetExhausted, CallWithheld, GateClosed
from gateway.core.vocabulary import Purpose
from gateway.ports import BudgetView, Charge
from tests.doubles.clock import FakeClock


async def test_a_scope_never_seen_is_whole() -> None:
    """Its view says what may go at once."""
    clock = FakeClock()

    assert LocalBudget(clock, 100, 60.0).view("a") == BudgetView(100, 60.0, 10, 0.0)
    whole = LocalBudget(clock, 100, 60.0, start_paced=False)
    assert whole.view("a") == BudgetView(100, 60.0, 100, 0.0)


async def test_the_wait_is_exact() -> None:
    """It counts a second for the way upstream, as Redis' budget does."""
    clock = FakeClock()
    budget = LocalBudget(clock, 1, 60.0, start_paced=False)
    await budget.take("a", Purpose.MISS)
    clock.advance(12.0)

    with pytest.raises(BudgetExhausted) as exhausted:
        await budget.take("a", Purpose.MISS)

    assert exhausted.value.retry_after == pytest.approx(49.0)


async def test_the_least_recently_used_scope_is_forgotten() -> None:
    """It starts anew, and paced; the others keep what they spent."""
    clock = FakeClock()
    budget = LocalBudget(clock, 10, 60.0, max_scopes=2)
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


async def test_a_gate_stays_closed_although_its_scope_is_forgotten() -> None:
    """It opens as any gate does: after the time that the upstream gave, a probe is due."""
    clock = FakeClock()
    budget = LocalBudget(clock, 10, 60.0, max_scopes=2)
    await budget.take("a", Purpose.MISS)
    await budget.close("a", 20.0)
    for scope in ("b", "c"):
        await budget.take(scope, Purpose.MISS)

    with pytest.raises(GateClosed):
        await budget.take("a", Purpose.MISS)

    clock.advance(30.0)
    await budget.take("a", Purpose.MISS)
    assert await budget.reopen("a")


async def test_one_call_is_given_back_once() -> None:
    """A second time there is nothing to return."""
    budget = LocalBudget(FakeClock(), 5, 60.0, start_paced=False)
    stamps = [await budget.take("a", Purpose.MISS) for _ in range(3)]

    await budget.give_back("a", stamps[0])
    await budget.give_back("a", Charge(stamps[0].stamp - 1.0))

    assert budget.view("a").available == 3


async def test_the_margin_of_a_short_window_is_a_tenth() -> None:
    """A second would be far too long."""
    clock = FakeClock()
    budget = LocalBudget(clock, 1, 1.0, start_paced=False)
    await budget.take("a", Purpose.MISS)

    with pytest.raises(BudgetExhausted) as exhausted:
        await budget.take("a", Purpose.MISS)

    assert exhausted.value.retry_after == pytest.approx(1.1)


async def test_it_stands_in_for_the_shared_one() -> None:
    """One of three parts of what is left; where nothing is known, one of what is free evenly."""
    clock = FakeClock()
    budget = LocalBudget(clock, 30, 60.0)
    now = clock.monotonic()

    budget.stand_in("a", Past(30, [now] * 15, None), 3)
    budget.stand_in("b", None, 3)
    budget.stand_in("c", Past(12, [], None), 3)

    assert [budget.view(each).available for each in "abc"] == [5, 1, 4]


@pytest.mark.parametrize(("replicas", "refreshes", "misses"), [(3, 27, 6), (10, 8, 2)])
async def test_what_is_free_without_redis_is_there_for_callers(
    replicas: int, refreshes: int, misses: int
) -> None:
    """However many replicas divide it; and refreshes leave them their fifth."""
    budget = LocalBudget(FakeClock(), 100, 60.0)
    budget.stand_in("a", Past(100, [], None), replicas)
    budget.stand_in("b", Past(100, [], None), replicas)

    async def count(scope: str, purpose: Purpose) -> int:
        for granted in range(100):
            try:
                await budget.take(scope, purpose)
            except BudgetExhausted:
                return granted
        return 100

    assert await count("a", Purpose.MISS) == 100 // replicas
    assert await count("b", Purpose.REFRESH) == refreshes
    assert await count("b", Purpose.MISS) == misses


@pytest.mark.parametrize("purpose", [Purpose.MIN_VERSION, Purpose.REVALIDATION, Purpose.REFRESH])
async def test_what_callers_have_spent_is_not_kept_for_them_again(purpose: Purpose) -> None:
    """The ranks of the known calls are not known. Some of them were of each rank."""
    clock = FakeClock()
    budget = LocalBudget(clock, 100, 60.0)
    now = clock.monotonic()
    budget.stand_in("known", Past(99, [now] * 65, None), 3)
    budget.stand_in("unknown", None, 3)

    for scope in ("known", "unknown"):
        assert (await budget.take(scope, purpose)).wait == 0.0


async def test_a_part_grows_again_up_to_what_was_divided() -> None:
    """An operator corrects a limit while Redis is away. The others keep the old part for it."""
    rates = OwnRates({"a": Rate(100, 60.0)})
    budget = LocalBudget(FakeClock(), 100, 60.0, rates=rates)
    budget.stand_in("a", Past(100, [], None), 2)

    limits = []
    for limit in (2, 100, 400):
        rates.replace({"a": Rate(limit, 60.0)})
        limits.append(budget.view("a").limit)

    assert limits == [1, 50, 50]


async def test_it_holds_as_long_as_the_shared_gate() -> None:
    """Without a jitter of its own."""
    clock = FakeClock()
    clock.script([0.5])
    budget = LocalBudget(clock, None, 60.0)

    budget.hold("a", 20.0)

    assert budget.view("a").gate_closed_for == 20.0
