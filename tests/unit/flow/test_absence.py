"""Redis away: a share for each replica, together no more than the limit, and all told after it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.adapters.ledger import LocalBudget
from gateway.core.errors import BudgetExhausted
from gateway.core.status import Purpose
from gateway.flow import absence
from gateway.flow.absence import Absences
from gateway.flow.outbound import Outbound
from gateway.ports import Budget, Call, Charge, Spent
from tests.doubles.bus import Hub
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import Redis, Replica, ok

SCOPE, LIMIT, WINDOW = "default", 12, 61.0


class Three:
    """Three replicas on one Redis, who count each other."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.redis = Redis(self.clock, LIMIT)
        hub = Hub()
        self.replicas = [Replica(self.clock, self.redis, limit=LIMIT, hub=hub) for _ in range(3)]
        for each in self.replicas:
            each.upstream.always = ok(1)

    async def spend(self, replica: Replica) -> int:
        """How many calls go at once."""
        count = 0
        while True:
            deadline = self.clock.monotonic() + 1.0
            try:
                await replica.outbound.ask(SCOPE, Call("t", "k", Purpose.MISS, deadline))
            except BudgetExhausted:
                return count
            count += 1

    async def spend_all(self) -> list[int]:
        """What each could."""
        return [await self.spend(each) for each in self.replicas]

    async def look(self) -> None:
        """Let each keep its eye on the shared budget."""
        for each in self.replicas:
            absences = each.outbound._paying.absences
            assert absences is not None
            await absences.look()


@pytest.fixture
async def three() -> Three:
    """Three who have spent six calls, all by the first, and have seen it."""
    three = Three()
    for each in three.replicas:
        await each.outbound.ask(SCOPE, Call("t", "k", Purpose.MISS, three.clock.monotonic() + 1.0))
    for _ in range(3):
        await three.replicas[0].outbound.ask(
            SCOPE, Call("t", "k", Purpose.MISS, three.clock.monotonic() + 1.0)
        )
    await three.look()
    return three


async def test_scopes_that_come_and_go_are_forgotten(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a budget for each credential there are as many as tokens; the latest are known."""
    monkeypatch.setattr(absence, "_MOST_ABSENCES", 10)
    absences = three.replicas[0].outbound._paying.absences
    assert absences is not None

    for number in range(100):
        absences.spent(f"scope {number}")

    assert list(absences._absences) == [f"scope {number}" for number in range(90, 100)]


async def test_what_was_left_is_divided(three: Three) -> None:
    """Six were left: two for each, whoever spent the others."""
    three.redis.switch.is_up = False

    assert await three.spend_all() == [2, 2, 2]


async def test_then_the_limit_is_divided(three: Three) -> None:
    """In no window more than the limit, nor is any replica left without."""
    three.redis.switch.is_up = False
    calls = [*[three.clock.monotonic()] * 6]
    for _ in range(25):
        calls += [three.clock.monotonic()] * sum(await three.spend_all())
        three.clock.advance(10.0)

    for first in calls:
        assert sum(first <= call < first + WINDOW for call in calls) <= LIMIT
    assert len(calls) > 3 * LIMIT


async def test_one_that_is_cut_off_has_its_share_alone(three: Three) -> None:
    """The overshoot is bounded by that: what the others have left, and a third of it."""
    cut_off, *others = three.replicas
    three.redis.switch.is_up = False
    assert await three.spend(cut_off) == 2
    three.redis.switch.is_up = True

    assert sum([await three.spend(each) for each in others]) == 6


async def test_on_its_return_all_is_told(three: Three) -> None:
    """What was spent meanwhile counts, before anybody takes from it again."""
    three.redis.switch.is_up = False
    three.clock.advance(100.0)
    assert await three.spend_all() == [4, 4, 4]
    three.redis.switch.is_up = True

    for _ in range(5):
        assert await three.spend_all() == [0, 0, 0]
        await three.look()
        three.clock.advance(1.0)

    assert three.redis.budget.view(SCOPE).available == 0
    three.clock.advance(WINDOW)
    assert sum(await three.spend_all()) == LIMIT


@pytest.mark.parametrize("is_away", [False, True])
async def test_what_it_has_lost_it_is_told(
    three: Three, is_away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back with nothing of what the three saw there, or loses it between two calls."""
    lost = LocalBudget(three.clock, LIMIT, WINDOW, start_paced=False)
    told: list[float] = []

    async def hand_in(_scope: str, _ages: object, known: Sequence[float] | None = None) -> None:
        told.extend(known or ())

    monkeypatch.setattr(lost, "hand_in", hand_in)
    before = (await three.redis.budget.look(SCOPE)).stamps
    if is_away:
        three.redis.switch.is_up = False
        await three.spend(three.replicas[0])
        three.redis.switch.is_up = True
    three.redis.budget.lose(lost)

    await three.look()

    assert len(before) == 6
    assert set(before) <= set(told)


class Told:
    """A shared budget that says what the test wants, and keeps what it is told."""

    def __init__(self, *says: Spent) -> None:
        self.says = list(says)
        self.told: list[list[float]] = []
        self.knew: list[Sequence[float] | None] = []

    async def look(self, _scope: str) -> Spent:
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]

    async def hand_in(
        self, _scope: str, _ages: object, known: Sequence[float] | None = None
    ) -> None:
        self.told.append(list(known or ()))
        self.knew.append(known)


@pytest.mark.parametrize(
    ("then", "is_told"),
    [
        (Spent([0.0], [7.0], life=1), False),
        (Spent([0.0], [7.0], life=2), True),
        (Spent([], [], life=1), True),
        (Spent([], [], life=0), True),
    ],
    ids=["nothing lost", "another told the latest", "too old, or lost", "no life"],
)
async def test_a_loss_is_seen_though_another_told_of_the_latest_call(
    three: Three, then: Spent, is_told: bool
) -> None:
    """What this replica alone has seen is told by nobody else."""
    shared = Told(Spent([3.0, 0.0], [4.0, 7.0], life=1), then)
    budget: Budget = shared  # type: ignore[assignment]
    absences = Absences(budget, three.replicas[0].local_budget, three.clock, lambda: 3)
    absences.used(SCOPE, Charge(4.0), sent=True)
    await absences.look()
    shared.told.clear()

    await absences.look()

    assert shared.told == ([[4.0, 7.0]] if is_told else [])


async def test_who_has_seen_nothing_does_not_claim_to_know(three: Three) -> None:
    """Redis was away before it was ever asked: the past stays unknown, look by look."""
    shared = Told(Spent([], []))
    budget: Budget = shared  # type: ignore[assignment]
    absences = Absences(budget, three.replicas[0].local_budget, three.clock, lambda: 3)
    absences.begin(SCOPE)
    absences.spent(SCOPE)

    for _ in range(3):
        await absences.look()

    assert shared.knew == [None, None, None]


async def test_the_eye_is_kept_until_it_is_closed(three: Three) -> None:
    """The task ends by cancellation alone, Redis or not."""
    outbound: Outbound = three.replicas[0].outbound
    watching = asyncio.create_task(outbound.run())
    for up in (True, False, True):
        three.redis.switch.is_up = up
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not watching.done()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
