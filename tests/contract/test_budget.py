"""Budget: the window, the gate and its probe; in this process and over Redis alike."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.budget.window_log import BudgetRules, Rate, Rates, Start
from gateway.core.errors import BudgetExhausted, GateClosed
from gateway.core.vocabulary import Purpose
from gateway.ports import Budget
from tests.contract.worlds import World, count_granted, granted
from tests.contract.worlds import budget as budget_of
from tests.doubles.budgets import NO_RESERVES

# A little more than a call counts beyond the window, less what the jitter of a gate adds.
SLACK = 0.01


async def take_or_wait(budget: Budget) -> float:
    """0.0 for a call that may go, else the seconds to wait, for want of budget."""
    try:
        await budget.take("default", Purpose.MISS)
    except BudgetExhausted as exhausted:
        return exhausted.retry_after
    return 0.0


async def closed_for(budget: Budget) -> float:
    """0.0 for a call that may go, else the seconds that the gate stays closed."""
    try:
        await budget.take("default", Purpose.MISS)
    except GateClosed as closed:
        return closed.retry_after
    return 0.0


async def test_the_limit_is_granted_and_no_more(world: World) -> None:
    """The call beyond the limit is told when to come back."""
    async with budget_of(world, 5, 60.0) as budget:
        assert await count_granted(budget) == 5

        wait = await take_or_wait(budget)

        assert wait == pytest.approx(60.5, abs=SLACK)
        assert budget.view("default").available == 0


async def test_a_call_counts_until_the_window_has_passed(world: World) -> None:
    """Coming back when told is enough, just before it is not."""
    async with budget_of(world, 2, 600.0) as budget:
        await budget.take("default", Purpose.MISS)
        world.clock.advance(300.0)
        await budget.take("default", Purpose.MISS)

        wait = await take_or_wait(budget)
        world.clock.advance(wait - SLACK)
        assert await granted(budget) is False
        world.clock.advance(SLACK + 0.001)

        assert await count_granted(budget) == 1


async def test_scopes_have_their_own_budgets(world: World) -> None:
    """One that is spent takes nothing from the other, whatever their names."""
    async with budget_of(world, 1, 60.0) as budget:
        assert [await granted(budget, scope) for scope in ("a", "a", "b", "}:{*")] == [
            *(True, False),
            *(True, True),
        ]


async def test_what_never_left_is_given_back(world: World) -> None:
    """The call may be made after all."""
    async with budget_of(world, 2, 60.0) as budget:
        stamp = await budget.take("default", Purpose.MISS)
        await count_granted(budget)

        await budget.give_back("default", stamp)

        assert await count_granted(budget) == 1


async def test_a_probe_that_never_left_is_given_back(world: World) -> None:
    """The next caller may probe at once, one alone, even where there is no limit."""
    async with budget_of(world, None, 60.0) as budget:
        earlier = await budget.take("default", Purpose.MISS)
        await budget.close("default", 20.0)
        world.clock.advance(25.0)
        probe = await budget.take("default", Purpose.MISS)
        await budget.give_back("default", earlier)
        assert await closed_for(budget) > 0.0

        await budget.give_back("default", probe)

        assert budget.view("default").gate_closed_for == 0.0
        assert [await closed_for(budget) > 0.0 for _ in range(2)] == [False, True]


async def test_without_a_limit_everything_goes(world: World) -> None:
    """The view says unlimited, and giving back is nothing."""
    async with budget_of(world, None, 60.0) as budget:
        assert await count_granted(budget, most=50) == 50
        await budget.give_back("default", await budget.take("default", Purpose.MISS))

        assert budget.view("default").limit is None
        assert budget.view("default").available is None


@pytest.mark.parametrize(("limit", "at_once"), [(50, 5), (3, 1)])
async def test_an_unknown_past_starts_paced(world: World, limit: int, at_once: int) -> None:
    """A tenth or one call at once, the next after its share of the window."""
    async with budget_of(world, limit, 600.0, start=Start.PACED) as budget:
        assert await count_granted(budget) == at_once

        wait = await take_or_wait(budget)
        assert 0.0 < wait <= 600.6 / (limit - at_once)
        world.clock.advance(wait + 0.001)

        assert await count_granted(budget) == 1


async def test_callers_keep_a_fifth_of_a_paced_start(world: World) -> None:
    """Of what is free at once, and of what becomes free."""
    async with budget_of(world, 50, 600.0, start=Start.PACED) as budget:
        granted_at_once = await count_granted(budget, purpose=Purpose.REFRESH)
        world.clock.advance(300.0)

        assert granted_at_once == 4
        assert await count_granted(budget, purpose=Purpose.REFRESH) in (17, 18, 19)
        assert await count_granted(budget) in (4, 5, 6)


# What becomes of a call.
GOES, HELD, SPENT = "goes", "held", "spent"
# What an answer other than 429 does to the gate.
OPENS, NOTHING = "opens", "nothing"


@dataclass(frozen=True)
class Closes:
    """A 429 that names so many seconds. The gate is closed for `hold`."""

    named: float | None
    hold: float


# Steps, one after another. A number: so many seconds pass. The limit is 10, and 8 after a 429.
GATES: dict[str, list[Closes | float | str]] = {
    "without-a-time": [Closes(None, 30.0), 35.0, GOES, Closes(None, 60.0)],
    "429s-to-earlier-calls": [
        *(Closes(None, 30.0), Closes(1.0, 30.0), Closes(None, 30.0), Closes(90.0, 90.0))
    ],
    "a-429-to-the-probe": [Closes(20.0, 20.0), 25.0, GOES, Closes(1.0, 1.0), 2.0, GOES],
    "one-probe": [Closes(20.0, 20.0), 25.0, GOES, HELD, HELD, 20.0, GOES, HELD],
    # A call that was held is not charged.
    "the-probe-is-answered": [Closes(1.0, 1.0), HELD, 2.0, GOES, OPENS, *[GOES] * 7, SPENT],
    "an-answer-when-it-is-due": [Closes(20.0, 20.0), 25.0, OPENS, NOTHING, *[GOES] * 8, SPENT],
    "an-answer-to-an-earlier-call": [Closes(20.0, 20.0), NOTHING, HELD],
    # A call that is refused for lack of calls leaves the probe to the next one.
    "spent": [*[GOES] * 10, Closes(1.0, 1.0), 10.0, SPENT, SPENT, 60.0, GOES, HELD],
}


@pytest.mark.parametrize("steps", GATES.values(), ids=GATES)
async def test_a_gate_closes_and_opens(world: World, steps: list[Closes | float | str]) -> None:
    """By 429s, by time and by other answers."""
    async with budget_of(world, 10, 60.0) as budget:
        for number, step in enumerate(steps):
            if isinstance(step, float):
                world.clock.advance(step)
            elif isinstance(step, Closes):
                closed = await budget.close("default", step.named)
                assert closed.seconds == pytest.approx(step.hold, abs=0.21), number
            elif step in (OPENS, NOTHING):
                assert await budget.reopen("default") is (step == OPENS), number
            else:
                assert await word_for_a_call(budget) == step, number


async def word_for_a_call(budget: Budget) -> str:
    """What becomes of a call."""
    try:
        await budget.take("default", Purpose.MISS)
    except GateClosed:
        return HELD
    except BudgetExhausted:
        return SPENT
    return GOES


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scope=st.text("abc", min_size=20, max_size=20),
    limit=st.integers(1, 12),
    pauses=st.lists(st.floats(0.0, 36.0), min_size=5, max_size=25),
    start=st.sampled_from(Start),
)
def test_no_window_holds_more_than_the_limit(
    world: World, scope: str, limit: int, pauses: list[float], start: Start
) -> None:
    """Whatever the rhythm of somebody who takes all there is after each pause."""
    sent: list[float] = []

    async def spend() -> None:
        async with budget_of(world, limit, 60.0, start=start) as budget:
            for pause in pauses:
                world.clock.advance(pause)
                sent.extend([world.clock.monotonic()] * await count_granted(budget, scope=scope))

    asyncio.run(spend())

    assert all(later - sent[at] >= 60.0 for at, later in enumerate(sent[limit:]))


async def test_a_scope_may_have_a_rate_of_its_own(world: World) -> None:
    """Each tenant its own, and those without one the usual one."""
    tenants = {"small": Rate(2, 60.0), "free": None}
    async with budget_of(world, 5, 60.0, tenants=tenants) as budget:
        assert [await granted(budget, "small") for _ in range(3)] == [True, True, False]
        assert [await granted(budget, "free") for _ in range(9)] == [True] * 9
        assert sum([await granted(budget, "usual") for _ in range(9)]) == 5

        assert budget.view("small").limit == 2
        assert budget.view("free").limit is None
        assert budget.view("usual").limit == 5


async def test_another_rate_counts_what_was_sent_before(world: World) -> None:
    """A reload is no second helping, and no loss."""
    rates = Rates(Rate(50, 60.0), {"acme": Rate(4, 60.0)})
    async with world.made(BudgetRules(rates, NO_RESERVES, start=Start.FULL)) as budget:
        assert sum([await granted(budget, "acme") for _ in range(9)]) == 4
        rates.replace({"acme": Rate(6, 60.0)})
        assert sum([await granted(budget, "acme") for _ in range(9)]) == 2
        rates.replace({"acme": Rate(3, 60.0)})
        assert not await granted(budget, "acme")
        assert budget.view("acme") == replace(budget.view("acme"), limit=3, available=0)


async def test_a_429_lowers_the_limit_to_four_fifths(world: World) -> None:
    """A window without one raises it by a twentieth, up to the configured limit."""
    async with budget_of(world, 40, 60.0) as budget:
        await granted(budget)
        limits = [(await budget.close("default", 1.0)).limit]
        await budget.close("default", 1.0)  # it was sent before the gate closed
        world.clock.advance(2.0)
        await granted(budget)
        limits.append((await budget.close("default", 1.0)).limit)
        world.clock.advance(70.0)
        await granted(budget)
        await budget.reopen("default")
        limits.append(budget.view("default").limit)
        world.clock.advance(600.0)
        await granted(budget)
        limits.append(budget.view("default").limit)

        assert limits == [32, 25, 27, 40]


async def test_another_rate_is_lowered_as_the_one_before(world: World) -> None:
    """A reload of the clients file does not forget a 429."""
    rates = Rates(Rate(50, 60.0), {"acme": Rate(40, 60.0)})
    async with world.made(BudgetRules(rates, NO_RESERVES, start=Start.FULL)) as budget:
        await budget.close("acme", 1.0)
        rates.replace({"acme": Rate(80, 60.0)})
        world.clock.advance(2.0)
        await granted(budget, "acme")

        assert budget.view("acme").limit == 32


async def test_many_429s_leave_a_tenth_of_the_limit(world: World) -> None:
    """Each is the answer to a probe."""
    async with budget_of(world, 100, 60.0) as budget:
        for _ in range(12):
            limit = (await budget.close("default", 1.0)).limit
            world.clock.advance(7.0)
            await budget.take("default", Purpose.PROBE)

        assert limit == 10


async def test_refreshes_and_the_sweep_leave_a_fifth_to_callers(world: World) -> None:
    """Together they have four fifths."""
    async with budget_of(world, 50, 600.0) as budget:
        assert await count_granted(budget, purpose=Purpose.REFRESH) == 40
        assert await count_granted(budget, purpose=Purpose.SWEEP) == 0
        assert await count_granted(budget) == 10


async def test_the_sweep_has_its_share_and_no_more(world: World) -> None:
    """Its single calls are refreshes. The first sweep of an empty cache may spend more."""
    async with budget_of(world, 50, 600.0, sweep_share=0.2) as budget:
        assert await count_granted(budget, purpose=Purpose.SWEEP) == 10
        assert await granted(budget, purpose=Purpose.VERIFY)
        assert await granted(budget, purpose=Purpose.WARM)


@pytest.mark.parametrize("purpose", [Purpose.REFRESH, Purpose.SWEEP])
async def test_a_tenth_is_kept_for_who_was_refused(world: World, purpose: Purpose) -> None:
    """Callers that ask all the time leave it; a window after the refusal it is theirs again."""
    async with budget_of(world, 50, 600.0) as budget:
        await count_granted(budget)
        assert not await granted(budget, purpose=purpose)
        world.clock.advance(601.0)
        # The refusal is more than a window ago.
        assert await count_granted(budget) == 50
        world.clock.advance(300.0)
        assert not await granted(budget, purpose=purpose)
        world.clock.advance(301.0)

        assert await count_granted(budget) == 45
        assert await count_granted(budget, purpose=purpose) == 5


async def test_the_wait_of_a_rank_is_until_it_may_call(world: World) -> None:
    """Not until another rank may."""
    async with budget_of(world, 50, 600.0, sweep_share=0.2) as budget:
        await count_granted(budget, purpose=Purpose.SWEEP)

        with pytest.raises(BudgetExhausted) as exhausted:
            await budget.take("default", Purpose.SWEEP)

        assert exhausted.value.retry_after == pytest.approx(600.5, abs=SLACK)


async def test_a_high_limit_is_counted_in_parts_of_the_window(world: World) -> None:
    """Above 2,000 calls a window: a sixth of the calls in a sixth of the time."""
    async with budget_of(world, 12_000, 60.0) as budget:
        assert await count_granted(budget, most=3_000) == 2_000
        assert budget.view("default").limit == 2_000
        world.clock.advance(10.6)

        assert await granted(budget)
