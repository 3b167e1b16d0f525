"""Chart and Dockerfile before the eyes of the usual scanners; none reaches for the network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.delivery.chart import CHART, ROOT
from tests.delivery.rendering import MATRIX, objects, values_in

TRIVY = (
    *("config", "--quiet", "--skip-check-update", "--skip-version-check", "--disable-telemetry"),
    *("--helm-api-versions", "monitoring.coreos.com/v1", "--format", "json"),
)
# Findings that we live with, and why.
EXCUSED = {
    "KSV-0007": "lines of /etc/hosts are there where values give some",
    "KSV-0011": "no CPU limit: throttling is latency, and a request is what is shared by",
    "KSV-0125": "whose registry is trusted is the operator's to say",
    "KSV-01010": "tls_key is the path of a mounted file",
}


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def _findings(*target: str) -> tuple[int, list[dict[str, Any]]]:
    """How many files trivy judged, and what it found in them."""
    done = _run("trivy", *TRIVY, *target)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout).get("Results", [])
    return len(results), [
        each for result in results for each in result.get("Misconfigurations", [])
    ]


def test_trivy_finds_nothing_in_any_chart_of_the_matrix(tmp_path: Path) -> None:
    """No finding of high weight, and of lower ones those alone that are excused; in one scan of all
    that the matrix renders."""
    for path in MATRIX:
        rendered = yaml.safe_dump_all(objects(values_in(path)))
        (tmp_path / path.name).write_text(rendered)

    judged, findings = _findings(str(tmp_path))

    assert judged == len(MATRIX)
    assert not {each["Severity"] for each in findings} & {"HIGH", "CRITICAL"}
    assert {each["ID"] for each in findings} == EXCUSED.keys()


def test_trivy_would_find_something() -> None:
    """The scan sees the pods: an unsafe one is found."""
    unsafe = "securityContext.readOnlyRootFilesystem=false"
    _, findings = _findings("--helm-set", unsafe, str(CHART))

    assert "HIGH" in {each["Severity"] for each in findings}


def test_trivy_finds_nothing_in_the_dockerfile() -> None:
    """No finding at all."""
    judged, findings = _findings("Dockerfile")

    assert (judged, findings) == (1, [])


def test_hadolint_has_no_complaint() -> None:
    """Of no weight."""
    done = _run("hadolint", "--failure-threshold", "style", "Dockerfile")

    assert (done.returncode, done.stdout) == (0, "")
