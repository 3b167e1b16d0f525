"""The dashboards and rules of `dashboards/`, as the chart hands them on."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.delivery.chart import DASHBOARDS
from tests.delivery.rendering import Object, Values, named, of_kind


def test_dashboards_arrive_byte_for_byte() -> None:
    """Each is a ConfigMap of its own that the sidecar looks for, under its own name."""
    maps = [each for each in of_kind(named("watched"), "ConfigMap")
            if "grafana_dashboard" in each["metadata"]["labels"]]  # fmt: skip
    sent = {name: text.encode() for each in maps for name, text in each["data"].items()}

    assert sent == {path.name: path.read_bytes() for path in DASHBOARDS.glob("*.json")}
    assert len(maps) == len(sent) >= 2
    assert all(json.loads(text)["panels"] for text in sent.values())


def test_rules_arrive_and_promtool_takes_them(tmp_path: Path) -> None:
    """What the operator would be given is sound by Prometheus' own tool."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed; .ci/servers says how")
    for each in of_kind(named("watched"), "PrometheusRule"):
        file = tmp_path / f"{each['metadata']['name']}.yml"
        file.write_text(json.dumps(each["spec"]))
    checked = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(list(tmp_path.iterdir())) == len(list(DASHBOARDS.glob("*.rules.yml")))


def test_alerts_lead_where_values_say() -> None:
    """To the runbook and the dashboards that were published, by the words that a team routes by."""
    values = named("watched")
    links = {"runbookUrl": "https://wiki.example/gateway", "grafanaUrl": "https://grafana.example/"}
    severities = {"critical": "warning", "warning": "critical"}
    values["rules"] = values["rules"] | links | {"severities": severities}

    ours, theirs = _alerts(named("watched")), _alerts(values)

    assert ours.keys() == theirs.keys() != set()
    for name, alert in theirs.items():
        word = ours[name]["labels"]["severity"]
        assert alert["labels"]["severity"] == severities.get(word, word)
        said = alert["annotations"]
        assert said["runbook_url"] == f"https://wiki.example/gateway#{name.lower()}"
        assert said["dashboard_url"].startswith("https://grafana.example/d/gateway-")


def _alerts(values: Values) -> dict[str, Object]:
    rules = (
        rule
        for each in of_kind(values, "PrometheusRule")
        for group in each["spec"]["groups"]
        for rule in group["rules"]
    )
    return {rule["alert"]: rule for rule in rules if "alert" in rule}
