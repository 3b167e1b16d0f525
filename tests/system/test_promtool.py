"""promtool, which comes with Prometheus, judges the rules and what a gateway exports."""

from __future__ import annotations

from gateway.adapters.telemetry.metrics.gauges import GaugeReadings
from gateway.adapters.telemetry.observer import Telemetry
from gateway.app.clock import SystemClock
from tests.support.promtool import promtool
from tests.support.servers import ROOT

FOLDER = ROOT / "dashboards"
RULES = sorted(FOLDER.glob("*.rules.yml"))
TESTS = sorted(FOLDER.glob("*.test.yml"))


def test_promtool_has_nothing_against_the_rules() -> None:
    """Syntax, templates, duplicates: `promtool check rules` with all lints."""
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES))

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_rules_own_tests_pass() -> None:
    """Quiet nights are quiet, and each failure calls those alerts that it should, no other."""
    tested = promtool("test", "rules", *map(str, TESTS))

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
    scrape, _ = Telemetry("1", SystemClock(), lambda: readings).render()

    checked = promtool("check", "metrics", typed=scrape)

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
