"""Budget: what a 429 says of what others spend, in this process and over Redis alike."""

from __future__ import annotations

import pytest

from gateway.core.budget.window_log import OwnRates, Rate
from gateway.core.errors import BudgetExhausted
from gateway.core.vocabulary import Purpose
from gateway.ports import Budget
from tests.contract.worlds import World, count_granted, look


async def limit_after_refusal(budget: Budget) -> int | None:
    """What holds once upstream said 429."""
    await budget.close("default", 5.0)
    await look(budget)
    return budget.view("default").limit


async def test_what_is_granted_for_later_was_not_spent(world: World) -> None:
    """Twenty calls were sent, and ten more wait for their turn when the 429 comes."""
    async with world.budget(20, 600.0) as budget:
        assert await count_granted(budget) == 20
        for _ in range(10):
            await budget.take("default", Purpose.MISS, patience=650.0)

        assert await limit_after_refusal(budget) == 16


async def test_the_lowered_limit_is_known_at_once(world: World) -> None:
    """Without another question, and a caller that is turned away is told of it."""
    async with world.budget(20, 600.0) as budget:
        for _ in range(10):
            await budget.take("default", Purpose.MISS)

        await budget.close("default", 5.0)

        assert budget.view("default").limit == 8
        world.advance(6.0)
        with pytest.raises(BudgetExhausted, match="at most 8 in any 600 s"):
            await budget.take("default", Purpose.MISS)


async def test_what_is_made_up_for_an_unknown_past_was_not_spent(world: World) -> None:
    """Of an unknown past it is not known either that others spent it: half of it counts."""
    async with world.budget(100, 600.0, start_paced=True) as budget:
        assert await count_granted(budget) == 10

        assert await limit_after_refusal(budget) == 40


async def test_what_was_sent_since_counts_where_it_is_more(world: World) -> None:
    """Nine tenths of a window after the start most of it is known."""
    async with world.budget(100, 600.0, start_paced=True) as budget:
        sent = 0
        for _ in range(9):
            sent += await count_granted(budget)
            world.advance(60.0)

        assert 80 <= sent <= 99
        assert await limit_after_refusal(budget) == int(sent * 0.8)


async def test_the_past_is_known_a_window_after_the_start(world: World) -> None:
    """Then a few calls that were too many leave few to us."""
    async with world.budget(100, 600.0, start_paced=True) as budget:
        await budget.take("default", Purpose.MISS)
        world.advance(1000.0)
        for _ in range(25):
            await budget.take("default", Purpose.MISS)

        assert await limit_after_refusal(budget) == 20


async def test_another_limit_is_not_lowered_by_an_earlier_refusal(world: World) -> None:
    """An operator has just raised it: it would take half an hour to recover from the former one."""
    rates = OwnRates({"default": Rate(20, 600.0)})
    async with world.budget(1, 600.0, rates=rates) as budget:
        assert await count_granted(budget) == 20
        assert await limit_after_refusal(budget) == 16

        rates.replace({"default": Rate(60, 600.0)})
        await look(budget)
        assert budget.view("default").limit == 60

        world.advance(1_000.0)
        await budget.reopen("default")
        assert await count_granted(budget) == 60
        assert await limit_after_refusal(budget) == 48


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Rate(20, 600.0), Rate(20, 60.0)),
        (Rate(4_000, 600.0), Rate(10_000, 600.0)),
        (Rate(100_000, 86_400.0), Rate(200_000, 86_400.0)),
    ],
)
async def test_another_rate_is_another_limit(world: World, before: Rate, after: Rate) -> None:
    """Also if a stretch of the window has as many calls as before."""
    rates = OwnRates({"default": before})
    async with world.budget(1, 600.0, rates=rates) as budget:
        assert await count_granted(budget, 20) == 20
        await limit_after_refusal(budget)
        assert (budget.view("default").limit or 0) < before.limit

        rates.replace({"default": after})
        await look(budget)

        assert budget.view("default").limit == after.limit
