"""Times that leave nothing out, and callers that wait for nobody."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from tests.bench.callers import Caller, Crowd, Histogram, Schedule

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Wire(asyncio.Transport):
    """Counts what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written.append(bytes(data))


@pytest.fixture
def caller() -> tuple[Caller, Wire, Crowd]:
    """One connection that is made."""
    crowd, wire = Crowd("token", 3), Wire()
    one = Caller(crowd)
    one.connection_made(wire)
    return one, wire, crowd


def test_all_that_is_due_is_asked_however_late_it_is_looked_at() -> None:
    """At an even rate, and no more than was wanted."""
    schedule = Schedule(10.0, rate=100, seconds=0.1)

    first, rest = list(schedule.due(10.025)), list(schedule.due(99.0))

    assert first == [10.0, 10.01, 10.02]
    assert len(first + rest) == 10
    assert all(later - sooner == pytest.approx(0.01) for sooner, later in pairwise(first + rest))
    assert schedule.is_over
    assert list(schedule.due(100.0)) == []


def test_a_request_behind_a_slow_answer_counts_from_when_it_was_due(
    caller: tuple[Caller, Wire, Crowd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that stalls would else be asked less, and its stall counted once."""
    one, wire, crowd = caller
    monkeypatch.setattr("time.perf_counter", lambda: 2.0)

    for due in (1.0, 1.1, 1.2):
        crowd.ask(due)
    assert len(wire.written) == 1
    for _ in range(3):
        one.data_received(ANSWER)

    assert len(wire.written) == 3
    assert crowd.times.quantile(1.0) == pytest.approx(1_000, abs=0.01)
    assert crowd.times.quantile(0.01) == pytest.approx(800, abs=0.01)
    assert (one.due, crowd.failed) == (None, 0)


def test_a_request_takes_an_idle_connection(caller: tuple[Caller, Wire, Crowd]) -> None:
    """One behind a slow answer would tell of the callers, not of the server."""
    slow, _, crowd = caller
    wire = Wire()
    other = Caller(crowd)
    other.connection_made(wire)

    crowd.ask(0.0)
    for _ in range(2):
        crowd.ask(1.0)
        other.data_received(ANSWER)

    assert slow.due == 0.0
    assert len(wire.written) == crowd.times.count == 2


def test_a_request_without_an_answer_has_failed(caller: tuple[Caller, Wire, Crowd]) -> None:
    """So has one that found no idle connection."""
    one, _, crowd = caller
    crowd.ask(0.0)
    crowd.ask(0.0)

    crowd.give_up([one])

    assert (crowd.times.count, crowd.failed) == (2, 2)


def test_an_answer_may_come_in_pieces(caller: tuple[Caller, Wire, Crowd]) -> None:
    """Also within its head; what is no 200 is counted."""
    one, _, crowd = caller
    crowd.ask(0.0)
    crowd.ask(0.0)

    for at in range(len(ANSWER)):
        one.data_received(ANSWER[at : at + 1])
    one.data_received(ANSWER.replace(b"200", b"503"))

    assert (crowd.times.count, crowd.failed) == (2, 1)


def test_a_share_of_all_times_was_within_a_quantile() -> None:
    """To a microsecond, and the longest ones to their bound."""
    times = Histogram()
    for micros in range(1, 1_001):
        times.add(micros / 1e6)
    times.add(1e9)

    assert times.quantile(0.5) == pytest.approx(0.5, abs=0.002)
    assert times.quantile(0.99) == pytest.approx(0.99, abs=0.002)
    assert times.quantile(1.0) == 5_000.0
    assert Histogram().quantile(0.5) == 0.0
