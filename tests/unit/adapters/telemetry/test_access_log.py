from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.adapters.telemetry.access_log import AccessLog
from gateway.adapters.telemetry.log_lines import Lines
from gateway.core.vocabulary import Detail, Outcome, Part, Problem, Tier
from gateway.ports import AccessLine
from tests.unit.adapters.telemetry.stand_ins import BrokenSink, ListSink, ManualClock


def answered(**known: Any) -> AccessLine:
    """An answered request; all of it is said in the test where it matters."""
    usual = AccessLine(
        request_id="r-1",
        method="GET",
        training_id="training-1",
        outcome=Outcome.FILLED,
        tier=Tier.L1,
        detail=None,
        status=200,
        seconds=0.001,
        age=None,
        client=None,
        trace_id=None,
    )
    return replace(usual, **known)


def _log(sink: ListSink, level: str = "info", every: int = 1_000) -> AccessLog:
    return AccessLog(Lines("json", lambda: 0.0, sink), level, every=every)


def tell(log: AccessLog, line: AccessLine) -> None:
    """As the web does: a line is made where one is due."""
    weight = log.weigh(line.outcome, line.status, line.seconds, line.detail)
    if weight is not None:
        log.put(line, weight)


def test_a_line_has_all_that_is_known() -> None:
    """The fields by their names, numbers as numbers, nothing where nothing is known."""
    sink = ListSink()

    tell(
        _log(sink),
        answered(
            tier=Tier.UPSTREAM,
            seconds=0.0123456,
            age=0.5,
            client="shop",
            detail=Detail.CHANGED,
        ),
    )

    assert sink.records == [
        {
            "time": "1970-01-01T00:00:00.000Z",
            "level": "info",
            "event": "request.answered",
            "request_id": "r-1",
            "method": "GET",
            "id": "training-1",
            "outcome": "filled",
            "tier": "upstream",
            "status": 200,
            "duration_ms": 12.35,
            "age": 0.5,
            "client": "shop",
            "detail": "changed",
        }
    ]


def test_a_line_says_where_the_time_went() -> None:
    """What was waited for, in milliseconds."""
    sink = ListSink()

    tell(_log(sink), answered(seconds=2.0, parts={Part.LOOKUP: 0.0012, Part.UPSTREAM: 1.9}))

    (record,) = sink.records
    assert (record["lookup_ms"], record["upstream_ms"]) == (1.2, 1_900.0)


@pytest.mark.parametrize(
    ("outcome", "seconds", "level"),
    [
        (Outcome.FILLED, 0.1, "info"),
        (Outcome.FILLED, 1.5, "info"),
        (Outcome.REVALIDATED, 0.1, "info"),
    ],
)
def test_an_answer_that_needed_a_call_has_a_line_at_once(
    outcome: Outcome, seconds: float, level: str
) -> None:
    """The rate limit bounds these lines; a slow one is no warning."""
    sink = ListSink()

    tell(_log(sink), answered(outcome=outcome, seconds=seconds))

    assert [record["level"] for record in sink.records] == [level]


@pytest.mark.parametrize(
    ("outcome", "status", "seconds", "detail", "level"),
    [
        (Outcome.FAILED, 503, 0.1, Problem.BUDGET_EXHAUSTED, "error"),
        (Outcome.STALE_ERROR, 200, 0.1, Detail.STALE_ERROR, "warning"),
        (Outcome.STALE_SHIELDED, 200, 0.1, Detail.STALE_SHIELDED, "warning"),
        (Outcome.FRESH, 200, 1.5, Detail.L1, "info"),
        (Outcome.STALE_SHIELDED, 200, 0.1, Detail.FROZEN, "info"),
        (Outcome.COLLAPSED, 200, 0.1, None, "info"),
        (Outcome.REJECTED, 404, 0.1, Problem.NO_SUCH_ROUTE, "info"),
        (Outcome.REJECTED, 504, 0.1, Problem.ONLY_IF_CACHED, "info"),
    ],
)
def test_other_answers_of_a_kind_are_one_line(
    outcome: Outcome, status: int, seconds: float, detail: Detail | Problem | None, level: str
) -> None:
    """The line has the fields of the first of them, how many there were, and the longest time."""
    sink = ListSink()
    access = _log(sink)
    kind = answered(outcome=outcome, status=status, detail=detail)

    for number in range(3_000):
        tell(access, replace(kind, seconds=seconds + number / 1e6, request_id=f"r-{number}"))
    assert sink.records == []
    access.summarise()

    (record,) = sink.records
    assert (record["level"], record["outcome"], record["status"]) == (level, outcome, status)
    assert (record["id"], record["request_id"]) == ("training-1", "r-0")
    assert record["count"] == 3_000
    assert record["longest_ms"] == pytest.approx(seconds * 1_000 + 3, abs=0.01)


def test_each_kind_has_a_line_of_its_own() -> None:
    """A rare reason is not hidden by a frequent one; nor is a slow answer by quick ones."""
    sink = ListSink()
    access = _log(sink)

    for problem in (Problem.BUDGET_EXHAUSTED, Problem.BUDGET_EXHAUSTED, Problem.UPSTREAM_ERROR):
        tell(access, answered(outcome=Outcome.FAILED, status=503, detail=problem))
    for seconds in (0.1, 0.1, 2.0):
        tell(access, answered(outcome=Outcome.COLLAPSED, seconds=seconds))
    access.summarise()

    told = [(record.get("detail"), record["level"], record["count"]) for record in sink.records]
    assert told == [
        ("budget-exhausted", "error", 2),
        ("upstream-error", "error", 1),
        (None, "info", 2),
        (None, "info", 1),
    ]


async def test_every_ten_seconds_what_was_counted_is_written() -> None:
    """And what is left at the end; where nothing was counted, nothing is written."""
    sink, clock = ListSink(), ManualClock()
    clock.lates = [0.0, 0.0]
    access = _log(sink)
    written: list[int] = []

    async def sleep(seconds: float) -> None:
        written.append(len(sink.records))
        if len(written) != 2:
            tell(access, answered(outcome=Outcome.STALE_ERROR))
        await clock.sleep(seconds)

    with pytest.raises(asyncio.CancelledError):
        await access.summarise_until_cancelled(sleep)

    assert written == [0, 1, 1]
    assert [record["count"] for record in sink.records] == [1, 1]
    assert clock.time == 1_020.0


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.FRESH, 200), (Outcome.NEGATIVE, 404), (Outcome.STALE_REFRESHING, 200)],
)
def test_routine_is_sampled(outcome: Outcome, status: int) -> None:
    """One in so many hits has a line; a hit that is refreshed in the background is one."""
    sink = ListSink()
    access = _log(sink, every=10)

    for _ in range(35):
        tell(access, answered(outcome=outcome, status=status))
    access.summarise()

    assert [record["level"] for record in sink.records] == ["info"] * 3


@pytest.mark.parametrize("outcome", [Outcome.FRESH, Outcome.NEGATIVE])
def test_routine_may_be_left_out(outcome: Outcome) -> None:
    """With 0 no hit gets a line; all else does."""
    sink = ListSink()
    access = _log(sink, every=0)

    for _ in range(5_000):
        tell(access, answered(outcome=outcome))
    tell(access, answered(outcome=Outcome.FILLED))

    assert [record["outcome"] for record in sink.records] == ["filled"]


def test_for_debugging_every_answer_is_logged() -> None:
    """`log.level = "debug"` leaves nothing out, and sums nothing up."""
    sink = ListSink()
    access = _log(sink, "debug", every=10)

    for outcome in (Outcome.FRESH, Outcome.STALE_ERROR, Outcome.REJECTED):
        for _ in range(35):
            tell(access, answered(outcome=outcome))
    access.summarise()

    assert len(sink.records) == 105
    assert not any("count" in record for record in sink.records)


def test_a_higher_level_holds_for_access_lines_too() -> None:
    """With `log.level = "warning"` only what is wrong is written."""
    sink = ListSink()
    access = _log(sink, "warning", every=1)

    tell(access, answered(outcome=Outcome.FILLED))
    tell(access, answered(outcome=Outcome.REJECTED))
    tell(access, answered(outcome=Outcome.STALE_ERROR))
    access.summarise()

    assert [record["outcome"] for record in sink.records] == ["stale-error"]


def test_an_endless_id_is_cut() -> None:
    """An id that the caller made up does not fill the log."""
    sink = ListSink()

    tell(_log(sink), answered(training_id="x" * 8_000))

    assert len(sink.text) < 700


def test_a_closed_pipe_fails_no_request() -> None:
    """Who answered cannot help it that nobody reads the log."""
    access = AccessLog(Lines("json", lambda: 0.0, BrokenSink()))

    for outcome in (Outcome.FILLED, Outcome.FAILED):
        tell(access, answered(outcome=outcome))
    access.summarise()


def test_routine_answers_may_be_counted_without_a_question() -> None:
    """One in three has a line, whichever of them count themselves."""
    sink = ListSink()
    log = _log(sink, every=3)
    fresh = answered(outcome=Outcome.FRESH, tier=Tier.L1)

    assert log.is_routine(Outcome.FRESH)
    assert not log.is_routine(Outcome.FILLED)
    for number in range(12):
        if log.unlogged[0] > 0 and number % 2:
            log.unlogged[0] -= 1
        else:
            tell(log, fresh)

    assert len(sink.records) == 4


def test_where_each_answer_has_a_line_none_counts_itself() -> None:
    """No time is short enough."""
    assert _log(ListSink(), level="debug").brief < 0.0
    assert _log(ListSink()).brief > 0.0
