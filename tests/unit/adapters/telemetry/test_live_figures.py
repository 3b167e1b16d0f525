from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from gateway.adapters.telemetry.counters import Counters
from gateway.adapters.telemetry.live_figures import EVERY, NAMES, SPAN, History
from gateway.adapters.telemetry.metrics import GaugeReadings
from gateway.core.vocabulary import FailureReason, Outcome, Purpose, Tier
from gateway.ports import BudgetView
from tests.unit.adapters.telemetry.stand_ins import ManualClock


def history(counters: Counters, *views: BudgetView, clock: ManualClock | None = None) -> History:
    """Of these counters, with these budgets."""
    budgets = {f"t{number}": view for number, view in enumerate(views)}
    readings = GaugeReadings(True, False, l1_entries=0, l1_bytes=0, budgets=budgets)
    return History(counters, clock or ManualClock(), lambda: readings, 30.0)


def last(of: History) -> dict[str, float | None]:
    """The newest row."""
    return {name: column[-1] for name, column in of.after(0).items()}


def test_a_row_has_what_happened_since_the_one_before() -> None:
    """Counts are differences; times are of those requests alone."""
    counters = Counters()
    counters.count_request(Outcome.FAILED, Tier.NONE, 502, 2.0, None)
    of = history(counters)
    counters.count_request(Outcome.FRESH, Tier.L1, 200, 0.0002, 4.0)
    counters.call_seconds[Purpose.MISS].observe(0.1)
    counters.denied[Purpose.MISS] += 2

    of.take()
    first = last(of)
    of.take()
    second = last(of)

    assert (first["fresh"], first["failed"], first["errors"]) == (1, 0, 0)
    assert (first["calls"], first["denied"]) == (1, 2)
    assert first["p99"] == pytest.approx(0.00025, rel=0.1)
    assert first["age50"] == pytest.approx(3.5, abs=1.5)
    assert (second["fresh"], second["calls"], second["p99"], second["age50"]) == (0, 0, None, None)


def test_what_a_caller_wished_is_no_error() -> None:
    """The 504 of `only-if-cached` is an answer."""
    counters = Counters()
    of = history(counters)
    counters.count_request(Outcome.REJECTED, Tier.NONE, 504, 0.1, None)
    counters.count_request(Outcome.FAILED, Tier.NONE, 503, 0.1, None)

    of.take()

    assert last(of)["errors"] == 1


def test_a_quarter_of_an_hour_is_kept() -> None:
    """And no more, however long the process lives."""
    of = history(Counters())

    for _ in range(2_000):
        of.take()

    assert len(of.after(0)["time"]) == SPAN / EVERY
    assert of.taken == 2_000


def test_who_was_told_is_told_the_rest() -> None:
    """Rows after a number of them; none where there are none, all where too many are missing."""
    clock = ManualClock()
    of = history(Counters(), clock=clock)
    for _ in range(5):
        clock.time += EVERY
        of.take()

    assert of.after(3)["time"] == [1_008.0, 1_010.0]
    assert of.after(5) == {name: [] for name in NAMES}
    assert of.after(9)["time"] == []


def test_the_last_minute_is_summed() -> None:
    """What was before it is not in it; what came since the last row is."""
    counters = Counters()
    of = history(counters)
    counters.failures[FailureReason.TLS] += 1
    for _ in range(int(60 / EVERY)):
        of.take()
    counters.failures[FailureReason.CONNECT] += 1

    assert of.minute().failures[FailureReason.TLS] == 1
    of.take()
    minute = of.minute()
    assert (minute.failures[FailureReason.TLS], minute.failures[FailureReason.CONNECT]) == (0, 1)


def test_the_oldest_stale_answer_of_a_minute_is_told() -> None:
    """Also the one since the last row; after a minute it is forgotten, and then there is none."""
    counters = Counters()
    of = history(counters)
    assert of.oldest_stale() is None
    for age in (70.0, 40.0):
        counters.count_request(Outcome.STALE_ERROR, Tier.L1, 200, 0.001, age)
        assert of.oldest_stale() == 70.0
        of.take()

    told = []
    for _ in range(int(60 / EVERY)):
        told.append(of.oldest_stale())
        of.take()

    assert told == [70.0] * 29 + [40.0]
    assert of.oldest_stale() is None


@pytest.mark.parametrize(
    ("views", "limit", "available"),
    [
        ((BudgetView(100, 60.0, 40, 0.0),), 100.0, 40.0),
        ((BudgetView(100, 60.0, 40, 0.0), BudgetView(10, 6.0, 3, 0.0)), 200.0, 43.0),
        ((BudgetView(100, 60.0, 40, 0.0), BudgetView(None, 60.0, None, 0.0)), None, None),
        ((), None, None),
    ],
)
def test_the_limit_is_told_by_the_minute(
    views: tuple[BudgetView, ...], limit: float | None, available: float | None
) -> None:
    """All tenants' together; none where one has none."""
    of = history(Counters(), *views)

    of.take()

    assert (last(of)["limit"], last(of)["available"]) == (limit, available)


async def test_rows_are_taken_by_the_clock() -> None:
    """One every two seconds, until cancelled."""
    clock = ManualClock()
    clock.lates = [0.0] * 3
    of = history(Counters(), clock=clock)

    with suppress(asyncio.CancelledError):
        await of.watch()

    assert of.after(0)["time"] == [1_002.0, 1_004.0, 1_006.0]


def test_no_age_is_told_above_the_oldest() -> None:
    """A straight line through the bucket up to a minute would say nearly that."""
    counters = Counters()
    of = history(counters)
    for age in (5.0, *[34.0] * 99):
        counters.count_request(Outcome.STALE_REFRESHING, Tier.L1, 200, 0.001, age)

    minute = of.minute().age(0.99, of.oldest())
    of.take()

    assert of.oldest() == 34.0
    assert minute is not None
    assert 30.0 < minute <= 34.0
    assert last(of)["age99"] == minute


def test_an_age_that_was_counted_is_told_whatever_is_promised() -> None:
    """The upstream's own `Age` may make an answer old on its arrival."""
    counters = Counters()
    of = history(counters)
    counters.count_request(Outcome.FILLED, Tier.UPSTREAM, 200, 0.001, 100.0)

    of.take()

    assert last(of)["age99"] == pytest.approx(119, abs=1)
