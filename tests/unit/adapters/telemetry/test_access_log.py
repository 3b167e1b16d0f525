from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.adapters.telemetry.access_log import AccessLog
from gateway.adapters.telemetry.log_lines import Lines
from gateway.core.vocabulary import Detail, Outcome, Part, Tier
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
    return AccessLog(Lines("json", lambda: 0.0, sink), lambda: 0.0, level, every=every)


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
            "duration_ms": 12.346,
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
    ("outcome", "status", "seconds", "level"),
    [
        (Outcome.FAILED, 502, 0.1, "error"),
        (Outcome.FRESH, 200, 1.5, "warning"),
        (Outcome.STALE_ERROR, 200, 0.1, "warning"),
        (Outcome.STALE_SHIELDED, 200, 0.1, "warning"),
        (Outcome.FILLED, 200, 0.1, "info"),
    ],
)
def test_what_deserves_a_line_gets_one(
    outcome: Outcome, status: int, seconds: float, level: str
) -> None:
    """Every error, slow or rescued answer is logged, each of its weight, and every fill."""
    sink = ListSink()

    tell(_log(sink), answered(outcome=outcome, status=status, seconds=seconds))

    assert [record["level"] for record in sink.records] == [level]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.FRESH, 200),
        (Outcome.NEGATIVE, 404),
        (Outcome.REJECTED, 404),
        (Outcome.REJECTED, 504),
        (Outcome.STALE_REFRESHING, 200),
    ],
)
def test_routine_is_sampled(outcome: Outcome, status: int) -> None:
    """One in so many hits and refusals gets a line, also of `only-if-cached` (504); what is
    refreshed behind is a hit."""
    sink = ListSink()
    access = _log(sink, every=10)

    for _ in range(35):
        tell(access, answered(outcome=outcome, status=status))

    assert [record["level"] for record in sink.records] == ["info"] * 3


@pytest.mark.parametrize("outcome", [Outcome.FRESH, Outcome.NEGATIVE, Outcome.REJECTED])
def test_routine_may_be_left_out(outcome: Outcome) -> None:
    """With 0 no hit and no refusal gets a line; all else does."""
    sink = ListSink()
    access = _log(sink, every=0)

    for _ in range(5_000):
        tell(access, answered(outcome=outcome))
    tell(access, answered(outcome=Outcome.FILLED))

    assert [record["outcome"] for record in sink.records] == ["filled"]


def test_ten_rescued_answers_a_second_get_a_line() -> None:
    """While the API is down each hit may be one: the others are sampled as hits are."""
    sink, now = ListSink(), ManualClock()
    access = AccessLog(Lines("json", lambda: 0.0, sink), now.monotonic, every=50)

    for _ in range(60):
        tell(access, answered(outcome=Outcome.STALE_ERROR))
    now.time += 1.0
    tell(access, answered(outcome=Outcome.STALE_SHIELDED))

    assert [record["level"] for record in sink.records] == [*["warning"] * 10, "info", "warning"]


def test_what_is_stale_by_order_is_sampled() -> None:
    """While the gateway is frozen each answer is, and nobody is to be warned of each."""
    sink = ListSink()
    access = _log(sink, every=10)

    for _ in range(35):
        tell(access, answered(outcome=Outcome.STALE_SHIELDED, detail=Detail.FROZEN))
    tell(access, answered(outcome=Outcome.STALE_SHIELDED, detail=Detail.STALE_SHIELDED))

    assert [record["level"] for record in sink.records] == ["info"] * 3 + ["warning"]


def test_for_debugging_every_answer_is_logged() -> None:
    """`log.level = "debug"` leaves nothing out."""
    sink = ListSink()
    access = _log(sink, "debug", every=10)

    for _ in range(35):
        tell(access, answered(outcome=Outcome.FRESH))

    assert len(sink.records) == 35


def test_a_higher_level_holds_for_access_lines_too() -> None:
    """With `log.level = "warning"` only what is wrong is written."""
    sink = ListSink()
    access = _log(sink, "warning", every=1)

    tell(access, answered(outcome=Outcome.FILLED))
    tell(access, answered(outcome=Outcome.STALE_ERROR))

    assert [record["outcome"] for record in sink.records] == ["stale-error"]


def test_an_endless_id_is_cut() -> None:
    """An id that the caller made up does not fill the log."""
    sink = ListSink()

    tell(_log(sink), answered(training_id="x" * 8_000))

    assert len(sink.text) < 700


def test_a_closed_pipe_fails_no_request() -> None:
    """Who answered cannot help it that nobody reads the log."""
    tell(
        AccessLog(Lines("json", lambda: 0.0, BrokenSink()), lambda: 0.0),
        answered(outcome=Outcome.FILLED),
    )


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
