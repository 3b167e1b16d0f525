"""freshness: how loudly it is told what is promised, and that a list is left alone."""

from __future__ import annotations

import pytest

from gateway.adapters.telemetry.events import DEBUG, INFO, WARNING
from gateway.adapters.telemetry.observer import Telemetry
from tests.doubles.clock import FakeClock
from tests.unit.adapters.telemetry.stand_ins import ListLog


@pytest.fixture
def log() -> ListLog:
    """Where lines go."""
    return ListLog()


@pytest.fixture
def telemetry(log: ListLog) -> Telemetry:
    """The observer."""
    return Telemetry("1", FakeClock(), log=log)


@pytest.mark.parametrize(
    ("seconds", "trainings", "level"),
    [(14.9791, 1_000, INFO), (20.0, 1_000, INFO), (20.1, 1_600, WARNING), (330.0, None, INFO)],
)
def test_a_bound_beyond_the_lifetime_is_a_warning(
    telemetry: Telemetry, log: ListLog, seconds: float, trainings: int | None, level: int
) -> None:
    """Where a sweep was to keep it; without one it is as it was set."""
    telemetry.bound_stated("acme", seconds, trainings=trainings, lifetime=20.0)

    ((said, event, fields),) = log.lines
    assert (said, event) == (level, "freshness.bound")
    assert fields["seconds"] == round(seconds, 3)
    assert (fields["why"] is not None) is (level == WARNING)


def test_a_list_that_is_left_alone_is_a_warning(telemetry: Telemetry, log: ListLog) -> None:
    """Each tenant's by itself, or all of them."""
    telemetry.sweep_off("acme", "the list answers 403", 3600.0)
    telemetry.sweep_off("", "callers bring their own tokens", None)

    assert [(level, fields["tenant"]) for level, _, fields in log.lines] == [
        (WARNING, "acme"),
        (WARNING, "*"),
    ]


def test_the_end_of_a_sweep_is_nobodys_news(telemetry: Telemetry, log: ListLog) -> None:
    """It comes several times a minute."""
    telemetry.sweep_ended("acme", True, 1_000)

    assert log.lines[0][0] == DEBUG
