"""A few trainings are behind what an order or the list told of them, and are read all the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

import pytest

from gateway.core.budget.window_log import Rate
from gateway.core.errors import CallWithheld
from gateway.core.http.fields import Reply
from gateway.core.instant import parse_instant
from gateway.core.sweep.staleness_bound import Pace
from gateway.ports import Call
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import Redis, ok, settle
from tests.unit.flow.sweeping import Catalogue, Swept

# 100 calls a minute, half of them for the sweep: what a gateway has by default.
LIMIT = 100
DEFAULTS = Pace(Rate(LIMIT, 60.0), 0.5, None, 30.0, 5.0)
IDS = [f"t{number:03d}" for number in range(250)]
ORDERED, LISTED, FINE = IDS[7], IDS[8], IDS[9]
AFTER_ORDER = parse_instant("2023-11-14T22:03:00Z")
# Pages, and single calls, in a quarter of a second.
MOST_AT_ONCE = 5


def behind(call: Call) -> Reply | None:
    """The single answer is older than the row of the list."""
    return ok(1, training_id=LISTED) if call.training_id == LISTED else None


@pytest.fixture(params=["alone", "redis"])
def swept(request: pytest.FixtureRequest, clock: FakeClock) -> Swept:
    """With Redis and without."""
    redis = Redis(clock, LIMIT) if request.param == "redis" else None
    return Swept(clock, Catalogue(*IDS), redis, limit=LIMIT, pace=DEFAULTS)


async def errands(swept: Swept) -> None:
    """Run single calls that wait; those that are refused wait on."""
    for _ in range(MOST_AT_ONCE):
        errand = swept.following._next()
        if errand is not None:
            with suppress(CallWithheld):
                await swept.following._run(errand)
    await settle()


async def live(swept: Swept, seconds: int, reads: Iterable[str] = ()) -> list[float]:
    """Sweep for so long, and read each of those every quarter of a second; how old the oldest
    confirmation was each time."""
    clock, due, ages = swept.clock, 0.0, []
    for _ in range(seconds * 4):
        for _ in range(MOST_AT_ONCE):
            if clock.now() >= due:
                due = clock.now() + await swept.step()
        await errands(swept)
        for each in reads:
            with suppress(CallWithheld):
                await swept.read(each)
        ages.append(swept.sweep.age or 0.0)
        clock.advance(0.25)
    return ages


async def test_calls_stay_few_and_the_sweep_in_time(swept: Swept) -> None:
    """800 reads of each in 200 s."""
    for each in (ORDERED, LISTED, FINE):
        await swept.read(each)
    await live(swept, 60)
    swept.catalogue.minutes[LISTED] = 2
    swept.catalogue.instead = behind
    await swept.replica.invalidation.invalidate((ORDERED,), AFTER_ORDER)
    swept.catalogue.asked.clear()

    ages = await live(swept, 200, (ORDERED, LISTED, FINE))

    calls = Counter(map(str, swept.catalogue.asked))
    assert calls[ORDERED] <= 20
    assert calls[LISTED] <= 20
    assert calls[FINE] == 0
    assert len(swept.catalogue.pages_asked) >= 39
    assert swept.sweep.bound is not None
    assert max(ages) <= swept.sweep.bound.seconds
    assert await swept.read(FINE) == "1 l1"
