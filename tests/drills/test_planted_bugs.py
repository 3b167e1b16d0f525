"""Small bugs planted in core and flow, one at a time: the unit tests kill each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.servers import ROOT

BUGS = tomllib.loads((Path(__file__).parent / "planted.toml").read_text())["bug"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code and its tests, to be spoilt."""
    folder = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in ("gateway", "tests", "config"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


@pytest.mark.parametrize("number", range(len(BUGS)))
def test_a_planted_bug_is_killed(tree: Path, number: int) -> None:
    """By the tests of its own floor, or of the one that uses it."""
    bug = BUGS[number]
    file = tree / "gateway" / bug["file"]
    text = file.read_text()
    assert text.count(bug["find"]) == 1, f"{bug['file']} has changed: plant it anew"
    file.write_text(text.replace(bug["find"], bug["put"]))
    try:
        floors = ["core", "flow"] if bug["file"].startswith("core") else ["flow"]
        outcome = _run(tree, [f"tests/unit/{floor}" for floor in floors])
    finally:
        file.write_text(text)

    assert outcome.returncode == pytest.ExitCode.TESTS_FAILED, outcome.stdout[-2_000:]


def _run(tree: Path, tests: list[str]) -> subprocess.CompletedProcess[str]:
    """The tests up to the first that fails, on the spoilt code and not on this one."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tree,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
