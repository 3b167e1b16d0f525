"""The dashboards are what their source makes, and look at all that is exported and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.utils import floatToGoString

from dashboards.source import objectives
from dashboards.source.excused import EXCUSED
from dashboards.source.made import made
from dashboards.source.used import expressions
from gateway.adapters.telemetry.counters import AGE_SECONDS, REQUEST_SECONDS
from tests.house.promql import known_series, metrics, selected, summed
from tests.house.sources import ROOT

BOARDS = ("overview", "objectives")
SHARED = {"gateway_budget_limit", "gateway_budget_available", "gateway_gate_closed"}
RENEW = "type `make dashboards` and commit what changes"
JOB = re.compile(r'\bjob\s*[=!]~?\s*"(?!\$job")')
PROVISIONED = sorted((ROOT / "dashboards/provisioning").rglob("*.yml"))


@pytest.mark.parametrize("path", list(made()))
def test_what_is_committed_is_what_the_source_makes(path: str) -> None:
    """Nobody edits the results by hand, and nobody forgets to renew them."""
    committed = (ROOT / path).read_text() if (ROOT / path).exists() else ""

    assert committed == made()[path], f"{path} is out of date: {RENEW}"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "helm").rglob("files/*")), ids=lambda path: path.name
)
def test_the_chart_ships_the_same(path: Path) -> None:
    """Its copies are renewed by the same command."""
    assert path.read_bytes() == (ROOT / "dashboards" / path.name).read_bytes(), RENEW


def test_every_exported_metric_is_shown_or_excused() -> None:
    """A metric that nobody looks at is noise, unless there is a reason for it."""
    shown = _looked_at("overview", "objectives")
    missing = {
        name for name, series in metrics().items() if not series & shown and name not in EXCUSED
    }

    assert missing == set(), (
        "a new metric? Put it on a panel: dashboards/source/overview.py, upstream.py or "
        f"process.py; or, with the reason, into dashboards/source/excused.py. Then {RENEW}"
    )


def test_nothing_is_excused_that_is_shown_or_is_not_there() -> None:
    """The list of excuses stays true."""
    shown, known = _looked_at("overview", "objectives"), metrics()

    assert [name for name in EXCUSED if name not in known or known[name] & shown] == []


def test_every_metric_looked_at_exists() -> None:
    """Panels and rules name only what the gateway exports, or what a rule records."""
    assert _looked_at(*expressions()) - known_series() == set()


def test_what_all_replicas_share_is_never_summed() -> None:
    """Budget and gate are told by each of them: added up they would be as many as there are."""
    found = [text for texts in expressions().values() for text in texts if summed(text) & SHARED]

    assert found == []
    assert summed("sum by (job) (gateway_budget_limit) + 1") <= SHARED <= known_series()


def test_no_query_fixes_a_job_s_name() -> None:
    """Whoever scrapes calls the job as they like."""
    found = [text for texts in expressions().values() for text in texts if JOB.search(text)]

    assert found == []
    assert JOB.search('up{job="gateway"}')


@pytest.mark.parametrize("name", BOARDS)
def test_grafana_knows_every_key(name: str) -> None:
    """Read by Grafana's own types and written again, nothing is lost: no key is misspelt."""
    committed = json.loads((ROOT / f"dashboards/{name}.json").read_text())

    again = json.loads(json.dumps(Dashboard.from_json(committed), cls=JSONEncoder))

    assert again == committed


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_can_be_told_from_the_others(name: str) -> None:
    """Each has an id of its own, a title, and a sentence on what it shows."""
    panels = json.loads((ROOT / f"dashboards/{name}.json").read_text())["panels"]
    ids = [panel["id"] for panel in panels]

    assert len(set(ids)) == len(ids)
    assert [panel["title"] for panel in panels if panel["type"] != "row" and not _says(panel)] == []


def test_the_first_questions_are_answered_without_scrolling() -> None:
    """Success, the upstream and Redis as figures; our errors beside the upstream's below them."""
    panels = json.loads((ROOT / "dashboards/overview.json").read_text())["panels"]
    first_screen = {panel["title"] for panel in panels if panel["gridPos"]["y"] < 13}

    assert {"Success", "Hit rate", "Budget used", "Ready", "Upstream", "Redis"} <= first_screen
    assert {"Outcomes", "Us or the upstream?", "Latency"} <= first_screen


def test_the_objectives_bounds_are_buckets() -> None:
    """A bound that no bucket has would count nothing as good."""
    requests, ages = (set(map(floatToGoString, of)) for of in (REQUEST_SECONDS, AGE_SECONDS))

    assert {objectives.SLOW, objectives.SLOW_HIT} <= requests
    assert objectives.OLD in ages


@pytest.mark.parametrize("path", PROVISIONED, ids=lambda path: path.parent.name)
def test_grafana_s_provisioning_can_be_read(path: Path) -> None:
    """Each file is of the form that Grafana reads, and names a folder that a container has."""
    document = yaml.safe_load(path.read_text())

    assert document.pop("apiVersion") == 1
    assert list(document) == [{"dashboards": "providers"}.get(path.parent.name, path.parent.name)]


def _looked_at(*places: str) -> set[str]:
    """The metrics that the expressions of those places select; each has to be PromQL."""
    return {name for place in places for text in expressions()[place] for name in selected(text)}


def _says(panel: dict[str, Any]) -> bool:
    return bool(panel.get("title")) and str(panel.get("description", "")).endswith(".")
