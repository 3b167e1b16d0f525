"""`make test`'s pytest: tests that failed beside others run once more alone, and decide.

Tests that pass only then are listed at the very end, each with its first failure, and in
`build/second-run.txt`: a failure under load may be a real finding.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

# Real servers on two cores are late at times: what failed beside others has to pass by itself.
AGAIN = ("--last-failed", "--last-failed-no-failures", "none")
REPORT = Path("build/second-run.txt")
_WIDTH = 300


def pytest_addoption(parser: pytest.Parser) -> None:
    """This module is pytest's plugin too, in both runs."""
    parser.addoption("--note-failures", type=Path, help="a file for the first failure of each test")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell a failure at once: the run goes on for many minutes."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        sys.stdout.write(f"\nFAILED {report.nodeid} {_short(report)}\n")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Note what failed, by name."""
    stats = terminalreporter.stats
    failures: dict[str, str] = {}
    for report in (*stats.get("failed", ()), *stats.get("error", ())):
        failures.setdefault(report.nodeid, _short(report))
    config.getoption("note_failures").write_text(json.dumps(failures))


def _short(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Where it failed, and the first line of why."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:  # a worker that died, a file that cannot be read
        return (report.longreprtext.strip().splitlines() or ["no reason given"])[-1][:_WIDTH]
    why = str(crash.message).partition("\n")[0][:_WIDTH]
    return f"{Path(crash.path).name}:{crash.lineno}: {why}"


def run(arguments: list[str]) -> int:
    """The exit code of the run that decides: the first one if all passed, else the second."""
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.unlink(missing_ok=True)
    code, first = _pytest(REPORT.with_name("first-failures.json"), arguments)
    if code == pytest.ExitCode.OK:
        return code
    code, second = _pytest(REPORT.with_name("second-failures.json"), AGAIN)
    told = _told({name: why for name, why in first.items() if name not in second})
    REPORT.write_text(told)
    sys.stdout.write(told)
    return code


def _pytest(noted: Path, arguments: Iterable[str]) -> tuple[int, dict[str, str]]:
    """Its exit code, and what failed."""
    noted.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-p", "tests.second_run", "--note-failures"]
    code = subprocess.run([*command, str(noted), *arguments], check=False).returncode
    return code, json.loads(noted.read_text()) if noted.exists() else {}


def _told(late: dict[str, str]) -> str:
    lines = [f"{len(late)} passed only at the second run, alone:"]
    for name, why in sorted(late.items()):
        lines += [f"  {name}", f"    {why}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
