"""Findings: since when something is so, whoever looked when."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.adapters.telemetry.counters import Counters
from gateway.adapters.telemetry.live_figures import History
from gateway.adapters.telemetry.metrics import GaugeReadings
from gateway.app.health_findings import Findings
from gateway.core.vocabulary import Circuit
from tests.doubles.clock import FakeClock


class Stand:
    """Findings of gauges in the test's hands."""

    def __init__(self, docs_url: str | None = None) -> None:
        self.clock = FakeClock()
        self.well = GaugeReadings(ready=True, draining=False, l1_entries=0, l1_bytes=0)
        self.now = self.well
        counters = Counters()
        history = History(counters, self.clock, lambda: self.now, 30.0)
        self.warned: list[str] = []
        self.findings = Findings(
            history,
            lambda: self.now,
            self.clock,
            docs_url,
            warn=lambda says, _: self.warned.append(says),
        )

    def since(self, whose: str = "upstream") -> float | None:
        """Since when that one's first finding is so."""
        found = [each for each in self.findings.now() if each.whose == whose]
        return found[0].since if found else None


@pytest.fixture
def stand() -> Stand:
    """One where all is well."""
    return Stand()


def test_what_is_well_has_no_beginning(stand: Stand) -> None:
    """Nobody asks since when."""
    assert stand.since("nobody") is None


def test_it_began_when_it_was_seen_first(stand: Stand) -> None:
    """Also where it was seen by nobody but the watch, and changed its words since."""
    stand.now = replace(stand.well, circuit=Circuit.OPEN)
    began = round(stand.clock.now(), 3)
    stand.findings.now()

    stand.clock.advance(15.0)
    stand.now = replace(stand.well, circuit=Circuit.HALF_OPEN)

    assert stand.since() == began


def test_what_comes_and_goes_is_one_trouble(stand: Stand) -> None:
    """Twenty seconds without it, and the next one is another."""
    began = round(stand.clock.now(), 3)
    for pause, expected in ((19.0, began), (21.0, began + 40.0)):
        stand.now = replace(stand.well, circuit=Circuit.OPEN)
        stand.findings.now()
        stand.now = stand.well
        stand.clock.advance(pause)
        stand.findings.now()
        stand.now = replace(stand.well, circuit=Circuit.OPEN)

        assert stand.since() == expected


def test_two_troubles_have_a_beginning_each(stand: Stand) -> None:
    """Redis went away later than the API."""
    began = round(stand.clock.now(), 3)
    stand.now = replace(stand.well, circuit=Circuit.OPEN)
    stand.findings.now()
    stand.clock.advance(5.0)
    stand.now = replace(stand.now, redis_up=False)

    assert stand.since() == began
    assert stand.since("redis") == began + 5.0


@pytest.mark.parametrize(
    ("docs_url", "address"),
    [
        (None, "dashboards/RUNBOOK.md#gatewaycircuitopen"),
        ("https://docs.test/a", "https://docs.test/a/dashboards/RUNBOOK.md#gatewaycircuitopen"),
    ],
)
def test_a_finding_says_where_there_is_more_of_it(docs_url: str | None, address: str) -> None:
    """In the gateway's own copy of the runbook, or where it is published."""
    stand = Stand(docs_url)
    assert [each.runbook_url for each in stand.findings.now()] == [None]

    stand.now = replace(stand.well, circuit=Circuit.OPEN)

    assert stand.findings.now()[0].runbook_url == address


async def test_too_many_replicas_are_logged_once(stand: Stand) -> None:
    """Again if they come back."""
    watch = asyncio.create_task(stand.findings.watch())
    for alive in (5, 5, 4, 5):
        stand.now = replace(stand.well, replicas=alive, expected_replicas=4)
        await asyncio.sleep(0.01)

    assert stand.warned == ["5 replicas are alive, and `redis.replicas` is 4"] * 2
    watch.cancel()
