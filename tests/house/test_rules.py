"""Each alert fires and resolves in the rules' own tests; tests/system runs them with promtool."""

from __future__ import annotations

import re
from typing import Any

import yaml

from dashboards.source.alerts import ALERTS
from tests.house.sources import ROOT

FOLDER = ROOT / "dashboards"
TESTS = sorted(FOLDER.glob("*.test.yml"))
NAMED = re.compile(r'alertname="(\w+)"')


def test_each_alert_fires_and_resolves_in_a_test() -> None:
    """Every scene begins in silence; and whatever fires is silent again later in some scene."""
    fired: set[str] = set()
    resolved: set[str] = set()
    for scene in _scenes():
        moments = [_firing(each) for each in scene["promql_expr_test"] if "ALERTS" in each["expr"]]
        assert moments[0] == set(), scene["name"]
        fired |= set().union(*moments)
        resolved |= set().union(*moments) - moments[-1]

    names = {alert.name for alert in ALERTS}
    assert fired == names, "a new alert? Let it fire and resolve in dashboards/*.test.yml"
    assert resolved == names


def test_quiet_scenes_stay_quiet() -> None:
    """What is named after a quiet night expects no alert at all."""
    quiet = yaml.safe_load((FOLDER / "quiet-night.test.yml").read_text())["tests"]

    assert {
        name for scene in quiet for each in scene["promql_expr_test"] for name in _firing(each)
    } == set()
    assert len(quiet) == 2


def _scenes() -> list[dict[str, Any]]:
    return [scene for path in TESTS for scene in yaml.safe_load(path.read_text())["tests"]]


def _firing(moment: dict[str, Any]) -> set[str]:
    return {name for sample in moment["exp_samples"] for name in NAMED.findall(sample["labels"])}
