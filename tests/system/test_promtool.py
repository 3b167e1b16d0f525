"""promtool, which comes with Prometheus, judges the rules and what a gateway exports."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dashboards.source.exported import Exported, exported
from dashboards.source.used import expressions
from gateway.adapters.telemetry.metrics import GaugeReadings, Metrics
from gateway.adapters.telemetry.observer import Telemetry
from gateway.app.clock import SystemClock
from tests.house.promql import plain
from tests.support.promtool import promtool
from tests.support.servers import ROOT

FOLDER = ROOT / "dashboards"
RULES = sorted(FOLDER.glob("*.rules.yml"))
TESTS = sorted(FOLDER.glob("*.test.yml"))


def test_promtool_has_nothing_against_the_rules() -> None:
    """Syntax, templates, duplicates: `promtool check rules` with all lints."""
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES))

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("scenes", TESTS, ids=lambda path: path.name)
def test_the_rules_own_tests_pass(scenes: Path) -> None:
    """Quiet nights are quiet, and each failure calls those alerts that it should, no other."""
    tested = promtool("test", "rules", str(scenes))

    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_promtool_has_nothing_against_the_metrics() -> None:
    """Names, types and help texts are as Prometheus wants them. OpenMetrics it cannot read here."""
    readings = GaugeReadings(
        ready=True,
        draining=False,
        l1_entries=1,
        l1_bytes=1,
        redis_up=True,
        bus_connected=True,
        loop_lag=0.0,
        sweep_confirmed=0.0,
        clients_reloaded=True,
    )
    telemetry = Telemetry(SystemClock())
    pieces, _ = Metrics(telemetry.counters, telemetry.events, "1", lambda: readings).scrape()

    checked = promtool("check", "metrics", typed=b"".join(pieces))

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_every_query_of_a_histogram_gives_a_number_of_a_converted_one(tmp_path: Path) -> None:
    """Panels and recordings, where Prometheus stores each histogram as one sample, without series
    of buckets; alerts have scenes of their own."""
    places = [texts for place, texts in expressions().items() if place != "alerts"]
    asked = [text for texts in places for text in texts if "histogram_" in text]
    scene = {
        "interval": "1m",
        "input_series": [_converted(each) for each in exported() if each.type == "histogram"],
        "promql_expr_test": [_gives_a_number(text) for text in asked],
    }
    tests = tmp_path / "converted.test.yml"
    tests.write_text(yaml.safe_dump({"rule_files": [], "tests": [scene]}))

    tested = promtool("test", "rules", str(tests))

    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert len(asked) > 50


def _converted(histogram: Exported) -> dict[str, str]:
    """Ten observations a minute; an outcome that every matcher of the queries lets through."""
    of = "{job='gw',instance='a',outcome='fresh'}"
    none, ten = "{{schema:0 buckets:[0]}}", "{{schema:0 count:10 sum:7 buckets:[10]}}"
    return {"series": f"{histogram.name}{of}", "values": f"{none}+{ten}x10"}


def _gives_a_number(expression: str) -> dict[str, object]:
    asked = f"sum(count(({plain(expression)}) > -Inf))"
    return {"expr": asked, "eval_time": "10m", "exp_samples": [{"labels": "{}", "value": 1}]}
