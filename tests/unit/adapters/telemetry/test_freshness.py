"""freshness: how loudly it is told what is promised, and that a list is left alone."""

from __future__ import annotations

import pytest

from gateway.adapters.telemetry.event_log import DEBUG, INFO, WARNING
from gateway.adapters.telemetry.observer import Telemetry
from gateway.core.sweep.belief import ListState
from gateway.core.sweep.progress import SweepEnd
from tests.doubles.clock import FakeClock
from tests.unit.adapters.telemetry.stand_ins import ListLog


@pytest.fixture
def log() -> ListLog:
    """Where lines go."""
    return ListLog()


@pytest.fixture
def telemetry(log: ListLog) -> Telemetry:
    """The observer."""
    return Telemetry(FakeClock(), log)


def test_a_bound_says_who_keeps_it(telemetry: Telemetry, log: ListLog) -> None:
    """And what its seconds are, since the line stands alone."""
    telemetry.sweeps.bound_stated("acme", 14.9791, trainings=1_000)
    telemetry.sweeps.bound_stated("", 330.0, trainings=None)

    (sweep, windows) = log.lines
    assert sweep[:2] == windows[:2] == (INFO, "freshness.bound")
    said = sweep[2].pop("bound_is")
    assert said == windows[2].pop("bound_is")
    assert "edit" in str(said)
    assert sweep[2] == {
        "tenant": "acme",
        "bound_seconds": 14.979,
        "kept_by": "a sweep of 1000 trainings",
    }
    assert windows[2] == {
        "tenant": "*",
        "bound_seconds": 330.0,
        "kept_by": "freshness.lifetime and freshness.stale_while_revalidate",
    }


def test_a_list_that_refuses_is_a_warning_and_settings_are_none(
    telemetry: Telemetry, log: ListLog
) -> None:
    """Who brings callers' tokens has nothing to mend; and nothing is told that is not known."""
    telemetry.sweeps.sweep_off("acme", "the list answers 403", 3600.0)
    telemetry.sweeps.sweep_off("", "callers bring their own tokens", None)

    refused, settings = log.lines
    assert (refused[0], refused[2]["tenant"]) == (WARNING, "acme")
    assert refused[2]["asked_again_in"] == 3600.0
    assert settings[0] == INFO
    assert settings[2] == {"tenant": "*", "why": "callers bring their own tokens"}


def test_the_end_of_a_sweep_is_news_if_it_was_not_complete(
    telemetry: Telemetry, log: ListLog
) -> None:
    """A complete one comes several times a minute. Both are counted."""
    telemetry.sweeps.sweep_ended("acme", SweepEnd.COMPLETE, 1_000)
    telemetry.sweeps.sweep_ended("other", SweepEnd.ENDLESS, 1_000)

    assert [line[0] for line in log.lines] == [DEBUG, INFO]
    assert telemetry.counters.sweeps[SweepEnd.ENDLESS] == 1


def test_a_list_that_is_not_believed_is_a_warning(telemetry: Telemetry, log: ListLog) -> None:
    """With the training that showed it."""
    telemetry.sweeps.list_moved("acme", ListState.EQUAL, "")
    telemetry.sweeps.list_moved("other", ListState.BEHIND, "trn_7")

    assert [line[0] for line in log.lines] == [INFO, WARNING]
    assert log.lines[1][2] == {"tenant": "other", "state": "behind", "training": "trn_7"}
