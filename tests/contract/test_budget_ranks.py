"""Budget: the order of ranks, in this process and over Redis alike."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import BudgetExhausted, GateClosed
from gateway.core.vocabulary import Purpose
from gateway.ports import Budget
from tests.contract.worlds import LocalWorld, RedisWorld, World
from tests.support.servers import RedisServer

# Real seconds that may pass between two lines of a test on a busy machine.
SLACK = 15.0


async def spend(budget: Budget, purpose: Purpose) -> int:
    """How many calls for that purpose go at once."""
    count = 0
    try:
        while True:
            await budget.take("default", purpose)
            count += 1
    except (BudgetExhausted, GateClosed):
        return count


async def test_callers_find_their_floor(world: World) -> None:
    """What is refreshed behind leaves a fifth to those who wait."""
    async with world.budget(50, 600.0) as budget:
        assert await spend(budget, Purpose.REFRESH) == 40
        assert await spend(budget, Purpose.MISS) == 10


async def test_an_unknown_past_leaves_each_a_part_of_the_free(world: World) -> None:
    """Callers a fifth of it, whatever is refreshed; and the floors grow as it is forgotten."""
    async with world.budget(50, 600.0, start_paced=True) as budget:
        assert await spend(budget, Purpose.REFRESH) == 4
        assert await spend(budget, Purpose.MISS) == 1
        world.advance(300.0)
        assert await spend(budget, Purpose.SWEEP) in (19, 20)
        assert await spend(budget, Purpose.MISS) in (4, 5)


async def test_who_was_refused_gets_its_floor(world: World) -> None:
    """Even of callers, as soon as calls are to be had again."""
    async with world.budget(50, 600.0) as budget:
        await spend(budget, Purpose.MISS)
        world.advance(300.0)
        assert await spend(budget, Purpose.REFRESH) == 0
        world.advance(350.0)

        assert await spend(budget, Purpose.MISS) == 45
        assert await spend(budget, Purpose.REFRESH) == 5


async def test_the_sweep_has_its_share_and_no_more(world: World) -> None:
    """Its pages, its looks and the warming together."""
    async with world.budget(50, 600.0, sweep_share=0.2) as budget:
        assert await spend(budget, Purpose.SWEEP) == 10
        assert await spend(budget, Purpose.VERIFY) == 0
        assert await spend(budget, Purpose.WARM) == 0


async def test_who_is_patient_has_a_turn(world: World) -> None:
    """Within its patience, one after the other; beyond it none is taken."""
    async with world.budget(3, 600.0) as budget:
        for _ in range(3):
            await budget.take("default", Purpose.MISS)
            world.advance(100.0)
        waits = [
            (await budget.take("default", Purpose.MISS, patience=450.0)).wait for _ in range(2)
        ]

        assert 300.0 - SLACK < waits[0] <= 301.0
        assert 400.0 - SLACK < waits[1] <= 401.0
        assert await spend(budget, Purpose.MISS) == 0


async def test_a_turn_is_given_back(world: World) -> None:
    """Who leaves the line makes room for the next, in all that was written."""
    async with world.budget(50, 600.0) as budget:
        await spend(budget, Purpose.SWEEP)
        await spend(budget, Purpose.MISS)
        turn = await budget.take("default", Purpose.MISS, patience=700.0)
        assert turn.wait > 500.0

        await budget.give_back("default", turn)
        world.advance(650.0)

        assert await spend(budget, Purpose.MISS) == 50


async def test_a_turn_counts_from_the_moment_it_is_used(world: World) -> None:
    """Who wakes late is charged late: the upstream counts what arrives."""
    async with world.budget(1, 600.0) as budget:
        await budget.take("default", Purpose.MISS)
        turn = await budget.take("default", Purpose.MISS, patience=700.0)
        world.advance(800.0)

        moved = replace(turn, stamp=turn.stamp - world.shifted(800.0))
        entered = await budget.enter("default", moved)
        assert entered is not None
        turn = entered
        world.advance(500.0)

        assert await spend(budget, Purpose.MISS) == 0
        await budget.give_back("default", replace(turn, stamp=turn.stamp - world.shifted(500.0)))
        assert await spend(budget, Purpose.MISS) == 1


async def test_a_charge_that_has_left_the_window_is_none(world: World) -> None:
    """Its place may have gone to another call."""
    async with world.budget(1, 60.0) as budget:
        paid = await budget.take("default", Purpose.MISS)
        world.advance(70.0)
        late = replace(paid, stamp=paid.stamp - world.shifted(70.0))
        await budget.take("default", Purpose.MISS)

        assert await budget.enter("default", late) is None

        assert await spend(budget, Purpose.MISS) == 0


async def test_a_turn_is_undone_by_a_429_in_between(world: World) -> None:
    """It is told so, and costs nothing."""
    async with world.budget(50, 600.0) as budget:
        for _ in range(19):
            await budget.take("default", Purpose.MISS)
        world.advance(560.0)
        turn = await budget.take("default", Purpose.MISS, patience=10.0)
        await budget.close("default", 100.0)

        with pytest.raises(GateClosed) as closed:
            await budget.enter("default", turn)

        assert 100.0 - SLACK < closed.value.retry_after <= 110.0
        assert not closed.value.is_probed
        world.advance(130.0)
        await budget.take("default", Purpose.PROBE)
        await budget.reopen("default")
        assert 1 + await spend(budget, Purpose.MISS) == 16


async def test_who_meets_a_probe_is_told_so(world: World) -> None:
    """It may be worth waiting for."""
    async with world.budget(None, 600.0) as budget:
        await budget.close("default", 20.0)
        world.advance(25.0)
        await budget.take("default", Purpose.MISS)

        with pytest.raises(GateClosed) as closed:
            await budget.take("default", Purpose.MISS)

        assert closed.value.is_probed


async def test_a_probe_does_not_wait(world: World) -> None:
    """Its turn is now or not at all: others would wait for it in vain."""
    async with world.budget(1, 600.0) as budget:
        await budget.take("default", Purpose.MISS)
        await budget.close("default", 1.0)
        world.advance(300.0)

        with pytest.raises(BudgetExhausted) as put_off:
            await budget.take("default", Purpose.MISS, patience=500.0)

        assert put_off.value.retry_after > 200.0


@dataclass(frozen=True)
class Asked:
    """Somebody asks after a pause (seconds)."""

    pause: float
    purpose: Purpose
    patience: float


asked = st.builds(
    Asked,
    pause=st.sampled_from([0.0, 0.0, 0.0, 20.0, 100.0, 250.0]),
    purpose=st.sampled_from([Purpose.MISS, Purpose.REFRESH, Purpose.SWEEP, Purpose.MIN_VERSION]),
    patience=st.sampled_from([0.0, 0.0, 71.0, 301.0]),
)


@settings(max_examples=25)
@given(history=st.lists(asked, min_size=5, max_size=60), limit=st.integers(1, 24))
def test_both_grant_alike(redis_server: RedisServer, history: list[Asked], limit: int) -> None:
    """The script and core's rule say the same to any mixture, and name the same times."""
    redis_server.flush()
    one = asyncio.run(told(LocalWorld(), limit, history))
    other = asyncio.run(told(RedisWorld(redis_server.url), limit, history))

    assert [word for word, _ in one] == [word for word, _ in other]
    for (_, here), (_, there) in zip(one, other, strict=True):
        assert abs(here - there) < SLACK


async def told(world: World, limit: int, history: Iterable[Asked]) -> list[tuple[str, float]]:
    """What each was told, and for how long."""
    answers = []
    # Calls lapse after 596 s, so that no pause, patience or window ends in the same few seconds.
    async with world.budget(limit, 595.0) as budget:
        for each in history:
            world.advance(each.pause)
            try:
                charge = await budget.take("default", each.purpose, patience=each.patience)
                answers.append(("granted", charge.wait))
            except BudgetExhausted as exhausted:
                answers.append(("refused", exhausted.retry_after))
    return answers


async def test_a_429_lowers_the_limit_once(world: World) -> None:
    """To four fifths of what was spent; stragglers lower nothing."""
    async with world.budget(50, 600.0) as budget:
        for _ in range(20):
            await budget.take("default", Purpose.MISS)
        for _ in range(3):
            await budget.close("default", 5.0)
        world.advance(620.0)

        await budget.take("default", Purpose.PROBE)
        await budget.reopen("default")

        assert 1 + await spend(budget, Purpose.MISS) == 16
        assert budget.view("default").limit == 16


async def test_a_turn_that_a_429_undid_is_asked_for_anew(world: World) -> None:
    """What holds of the limit now is less than what it was granted under."""
    async with world.budget(20, 600.0) as budget:
        assert await spend(budget, Purpose.MISS) == 20
        turn = await budget.take("default", Purpose.MISS, patience=650.0)
        await budget.close("default", 5.0)
        world.advance(700.0)

        moved = replace(turn, stamp=turn.stamp - world.shifted(700.0))
        assert await budget.enter("default", moved) is None
