"""The demo's line of figures, from what `/status` says."""

from __future__ import annotations

import io

import msgspec
import pytest

from gateway.adapters.telemetry.counters import Counters
from gateway.adapters.telemetry.live_figures import figures
from gateway.core.vocabulary import Cause
from gateway.demo import LiveLine, Plan, Status, _ports, sentence


def test_edits_seen_are_newer_versions_and_no_other_invalidation() -> None:
    """A purge or an order makes much invalid, and nobody edited anything."""
    counters = Counters()
    counters.invalidations[Cause.UPDATED_AT] = 3
    counters.invalidations[Cause.PURGE] = 1_000
    assert "edits seen 3" in sentence(status(counters))


def status(counters: Counters, level: str = "good") -> Status:
    """What `/status` says of these counts, with one finding."""
    finding = {"level": level, "whose": "upstream", "says": "The breaker is open"}
    told = {"findings": [finding], "hit_rate": 0.5, "figures": figures(counters), "budgets": {}}
    return msgspec.convert(told, type=Status)


@pytest.mark.parametrize(
    ("plan", "simulators", "callers", "operators"),
    [
        (Plan(), 8090, 8080, 8081),
        (Plan(port=8081), 8090, 8081, 0),
        (Plan(admin_port=8080), 8090, 0, 8080),
        (Plan(port=8090), 0, 8090, 8081),
    ],
)
def test_a_usual_port_moves_aside_for_one_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, plan: Plan, simulators: int, callers: int, operators: int
) -> None:
    """As for a port that another program has: any free one is taken instead."""
    monkeypatch.setattr("gateway.demo._is_free", lambda _: True)

    ports = _ports(plan, io.StringIO())

    assert ports == Plan(callers, operators, simulators)


def test_what_is_wrong_stands_first() -> None:
    """And is told only then."""
    assert sentence(status(Counters())).startswith("requests 0   hits 50%")
    assert sentence(status(Counters(), "bad")).startswith("The breaker is open   requests 0")


def test_a_log_line_is_written_above_the_figures() -> None:
    """The line is cleared, the log's stands alone, and the figures follow below it."""
    out = io.StringIO()
    live = LiveLine(out)

    live.show("requests 1")
    live.write(b"12:00:00Z warning it.happened\n")
    live.clear()

    rows = [row.rpartition("\x1b[2K")[2] for row in out.getvalue().split("\n")]
    assert rows == ["12:00:00Z warning it.happened", ""]
    assert "\n\x1b" not in out.getvalue()
    assert "\nrequests 1\r\x1b[2K" in out.getvalue()
