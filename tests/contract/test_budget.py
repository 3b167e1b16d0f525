"""Budget: the window, the gate and its probe; in this process and over Redis alike."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.budget.window_log import OwnRates, Rate
from gateway.core.errors import BudgetExhausted, GateClosed
from gateway.core.vocabulary import Purpose
from gateway.ports import Budget, Charge
from tests.contract.worlds import World, count_granted, granted

# Real seconds that may pass between two lines of a test on a busy machine.
SLACK = 15.0


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
    async with world.budget(5, 60.0) as budget:
        assert await count_granted(budget) == 5

        wait = await take_or_wait(budget)

        assert 60.0 - SLACK < wait <= 61.0
        assert budget.view("default").available == 0


async def test_a_call_counts_until_the_window_has_passed(world: World) -> None:
    """Coming back when told is enough, just before it is not."""
    async with world.budget(2, 600.0) as budget:
        await budget.take("default", Purpose.MISS)
        world.advance(300.0)
        await budget.take("default", Purpose.MISS)

        wait = await take_or_wait(budget)
        world.advance(wait - SLACK)
        assert await granted(budget) is False
        world.advance(SLACK + 0.001)

        assert await count_granted(budget) == 1


async def test_scopes_have_their_own_budgets(world: World) -> None:
    """One that is spent takes nothing from the other, whatever their names."""
    async with world.budget(1, 60.0) as budget:
        assert [await granted(budget, scope) for scope in ("a", "a", "b", "}:{*")] == [
            *(True, False),
            *(True, True),
        ]


async def test_what_never_left_is_given_back(world: World) -> None:
    """The call may be made after all."""
    async with world.budget(2, 60.0) as budget:
        stamp = await budget.take("default", Purpose.MISS)
        await count_granted(budget)

        await budget.give_back("default", stamp)

        assert await count_granted(budget) == 1


async def test_nobody_elses_call_is_given_back(world: World) -> None:
    """A charge that has lapsed frees nothing: the latest stays."""
    async with world.budget(2, 60.0) as budget:
        lapsed = await budget.take("default", Purpose.MISS)
        world.advance(70.0)
        await count_granted(budget)

        await budget.give_back("default", Charge(lapsed.stamp - 1.0))

        assert await granted(budget) is False


async def test_a_probe_that_never_left_is_given_back(world: World) -> None:
    """The next caller may probe at once, one alone, even where there is no limit."""
    async with world.budget(None, 60.0) as budget:
        earlier = await budget.take("default", Purpose.MISS)
        await budget.close("default", 20.0)
        world.advance(25.0)
        probe = await budget.take("default", Purpose.MISS)
        await budget.give_back("default", earlier)
        assert await closed_for(budget) > 0.0

        await budget.give_back("default", probe)

        assert budget.view("default").gate_closed_for == 0.0
        assert [await closed_for(budget) > 0.0 for _ in range(2)] == [False, True]


async def test_without_a_limit_everything_goes(world: World) -> None:
    """The view says unlimited, and giving back is nothing."""
    async with world.budget(None, 60.0) as budget:
        assert await count_granted(budget, most=50) == 50
        await budget.give_back("default", await budget.take("default", Purpose.MISS))

        assert budget.view("default").limit is None
        assert budget.view("default").available is None


async def test_an_unknown_past_starts_paced(world: World) -> None:
    """A tenth at once, the next after its share of the window."""
    async with world.budget(50, 600.0, start_paced=True) as budget:
        assert await count_granted(budget) == 5

        wait = await take_or_wait(budget)
        assert 0.0 < wait <= (600.0 + 1.0) / 50
        world.advance(wait + 0.001)

        assert await count_granted(budget) == 1


async def test_an_even_past_and_a_paced_start_exceed_by_a_tenth_at_most(world: World) -> None:
    """However long it waits first: within the first window no more than the mean rate adds up."""
    async with world.budget(20, 600.0, start_paced=True) as budget:
        total = await count_granted(budget)
        for quarter in range(1, 4):
            world.advance(150.0)
            total += await count_granted(budget)
            assert total <= 2 + 20 * quarter / 4


async def test_a_small_limit_starts_with_one(world: World) -> None:
    """The first caller is served at once."""
    async with world.budget(3, 600.0, start_paced=True) as budget:
        assert await count_granted(budget) == 1


async def test_a_past_that_is_known_to_be_idle_is_no_unknown_one(world: World) -> None:
    """After a window without a call the whole limit may go at once."""
    async with world.budget(20, 60.0, start_paced=True) as budget:
        await budget.take("default", Purpose.MISS)
        world.advance(70.0)

        assert await count_granted(budget) == 20


async def test_a_429_closes_the_gate(world: World) -> None:
    """Nothing is granted until the time that upstream named, and the view says so."""
    async with world.budget(None, 60.0) as budget:
        seconds = (await budget.close("default", 30.0)).seconds

        assert 30.0 <= seconds <= 33.0
        assert seconds - SLACK < await closed_for(budget) <= seconds
        assert seconds - SLACK < budget.view("default").gate_closed_for <= seconds


async def test_a_429_without_a_time_closes_it_for_half_a_minute(world: World) -> None:
    """And a refused probe for twice as long."""
    async with world.budget(None, 60.0) as budget:
        assert (await budget.close("default", None)).seconds == pytest.approx(30.0)
        world.advance(35.0)
        assert await closed_for(budget) == 0.0

        assert (await budget.close("default", None)).seconds == pytest.approx(60.0)


async def test_stragglers_only_put_the_time_off(world: World) -> None:
    """429s of calls that were in flight do not shorten it, nor count as refused probes."""
    async with world.budget(None, 60.0) as budget:
        await budget.close("default", None)

        assert (await budget.close("default", 1.0)).seconds > 30.0 - SLACK
        assert (await budget.close("default", None)).seconds == pytest.approx(30.0)
        assert (await budget.close("default", 90.0)).seconds == pytest.approx(90.0)


async def test_one_probe_goes_when_the_time_has_come(world: World) -> None:
    """All others wait until its answer, or until its patience has run out."""
    async with world.budget(10, 60.0) as budget:
        await budget.close("default", 20.0)
        world.advance(25.0)

        assert [await closed_for(budget) > 0.0 for _ in range(3)] == [False, True, True]
        world.advance(20.0)
        assert [await closed_for(budget) > 0.0 for _ in range(2)] == [False, True]


@pytest.mark.parametrize("limit", [10, None])
async def test_a_probe_that_is_sent_late_stays_the_probe(world: World, limit: int | None) -> None:
    """It counts from then on, and others wait for its answer; if it is not sent after all, the next
    one may probe."""
    async with world.budget(limit, 60.0) as budget:
        await budget.close("default", 20.0)
        world.advance(25.0)
        paid = await budget.take("default", Purpose.MISS)

        late = await budget.enter("default", paid)

        assert late is not None
        assert await closed_for(budget) > 0.0
        await budget.give_back("default", late)
        assert await granted(budget)


async def test_a_late_call_is_no_second_probe(world: World) -> None:
    """It was paid before the 429, and the pause is over: it has to ask again."""
    async with world.budget(10, 60.0) as budget:
        paid = await budget.take("default", Purpose.MISS)
        await budget.close("default", 20.0)
        world.advance(25.0)
        earlier = replace(paid, stamp=paid.stamp - world.shifted(25.0))

        assert await budget.enter("default", earlier) is None

        assert await granted(budget)
        assert await closed_for(budget) > 0.0


async def test_the_answer_to_the_probe_opens_the_gate(world: World) -> None:
    """Then everybody may go."""
    async with world.budget(10, 60.0) as budget:
        await budget.close("default", 20.0)
        world.advance(25.0)
        await budget.take("default", Purpose.PROBE)
        assert budget.view("default").gate_closed_for > 0.0

        assert await budget.reopen("default") is True

        assert budget.view("default").gate_closed_for == 0.0
        assert await count_granted(budget) == 9


async def test_a_429_says_whether_the_pause_grew(world: World) -> None:
    """The first and that of a probe always; that of a call that was under way where it asks for
    more."""
    async with world.budget(10, 60.0) as budget:
        grew = [(await budget.close("default", each)).is_longer for each in (20.0, 10.0, 30.0)]
        world.advance(40.0)
        await budget.take("default", Purpose.MISS)
        grew.append((await budget.close("default", 1.0)).is_longer)

        assert grew == [True, False, True, True]


async def test_429s_of_calls_that_were_sent_together_are_one(world: World) -> None:
    """Each comes a moment after the one before, and names the same pause."""
    async with world.budget(10, 60.0) as budget:
        grew = []
        for _ in range(3):
            grew.append((await budget.close("default", 20.0)).is_longer)
            world.advance(0.2)

        assert grew == [True, False, False]


async def test_an_answer_opens_a_gate_that_is_due(world: World) -> None:
    """It does not linger until somebody probes; and it is opened once."""
    async with world.budget(10, 60.0) as budget:
        await budget.close("default", 20.0)
        world.advance(25.0)

        assert [await budget.reopen("default") for _ in range(2)] == [True, False]

        assert await count_granted(budget) == 10


async def test_an_answer_sent_before_the_429_opens_nothing(world: World) -> None:
    """Only a probe knows."""
    async with world.budget(10, 60.0) as budget:
        await budget.close("default", 20.0)

        assert await budget.reopen("default") is False

        assert await closed_for(budget) > 0.0
        assert budget.view("default").gate_closed_for > 0.0


async def test_a_spent_budget_does_not_use_up_the_probe(world: World) -> None:
    """Who is refused for want of budget leaves the probe to the next."""
    async with world.budget(1, 600.0) as budget:
        await budget.take("default", Purpose.MISS)
        await budget.close("default", 1.0)
        world.advance(10.0)
        assert await take_or_wait(budget) > 0.0

        world.advance(600.0)

        assert [await closed_for(budget) > 0.0 for _ in range(2)] == [False, True]


async def test_a_closed_gate_charges_nothing(world: World) -> None:
    """Being turned away costs no call."""
    async with world.budget(2, 600.0) as budget:
        await budget.close("default", 1.0)
        await closed_for(budget)
        world.advance(2.0)
        await budget.take("default", Purpose.PROBE)
        await budget.reopen("default")

        assert await count_granted(budget) == 1


@dataclass(frozen=True)
class Rhythm:
    """Somebody who takes all there is after each pause, a part of the window."""

    limit: int
    window: float
    pauses: list[float]
    start_paced: bool


rhythms = st.builds(
    Rhythm,
    limit=st.integers(1, 12),
    window=st.sampled_from([6.0, 60.0, 600.0]),
    pauses=st.lists(st.floats(0.0, 0.6), min_size=5, max_size=25),
    start_paced=st.booleans(),
)


# A scope's keys have one node, so a cluster says nothing here that one Redis does not.
@pytest.mark.parametrize("world", ["local", "redis"], indirect=True)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rhythm=rhythms, number=st.integers(0, 2**32))
def test_no_window_holds_more_than_the_limit(world: World, rhythm: Rhythm, number: int) -> None:
    """Whatever the rhythm of those who ask."""
    sent = asyncio.run(spend(world, f"{rhythm}-{number}", rhythm))

    for earlier, later in zip(sent, sent[rhythm.limit :], strict=False):
        assert later - earlier >= rhythm.window


async def spend(world: World, scope: str, rhythm: Rhythm) -> list[float]:
    """When calls were granted."""
    sent = []
    async with world.budget(rhythm.limit, rhythm.window, start_paced=rhythm.start_paced) as budget:
        for pause in rhythm.pauses:
            world.advance(pause * rhythm.window)
            while await granted(budget, scope):
                sent.append(world.clock.monotonic())
    return sent


async def test_a_scope_may_have_a_rate_of_its_own(world: World) -> None:
    """Each tenant its own, and those without one the usual one."""
    rates = OwnRates({"small": Rate(2, 60.0), "free": None})
    async with world.budget(5, 60.0, rates=rates) as budget:
        assert [await granted(budget, "small") for _ in range(3)] == [True, True, False]
        assert [await granted(budget, "free") for _ in range(9)] == [True] * 9
        assert sum([await granted(budget, "usual") for _ in range(9)]) == 5

        assert budget.view("small").limit == 2
        assert budget.view("free").limit is None
        assert budget.view("usual").limit == 5


async def test_another_rate_counts_what_was_sent_before(world: World) -> None:
    """A reload is no second helping, and no loss."""
    rates = OwnRates({"acme": Rate(4, 60.0)})
    async with world.budget(50, 60.0, rates=rates) as budget:
        assert sum([await granted(budget, "acme") for _ in range(9)]) == 4
        rates.replace({"acme": Rate(6, 60.0)})
        assert sum([await granted(budget, "acme") for _ in range(9)]) == 2
        rates.replace({"acme": Rate(3, 60.0)})
        assert not await granted(budget, "acme")
        assert budget.view("acme") == replace(budget.view("acme"), limit=3, available=0)
