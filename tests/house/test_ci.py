"""What holds in continuous integration alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.house.sources import ROOT


def test_with_ci_a_skip_is_a_failure(tmp_path: Path) -> None:
    """A test and a file that skip themselves pass on a desk, and fail with CI=true."""
    (tmp_path / "test_test.py").write_text(
        "import pytest\n@pytest.mark.skip(reason='no server')\ndef test(): pass\n"
    )
    (tmp_path / "test_file.py").write_text(
        "import pytest\npytest.skip('no browser', allow_module_level=True)\n"
    )

    desk, ci = (_pytest(tmp_path, CI=value) for value in ("", "true"))

    assert "2 skipped" in desk.stdout
    assert ci.returncode != 0
    assert "no server" in ci.stdout
    assert "no browser" in ci.stdout


def test_who_may_not_install_servers_is_told_what_to_type(tmp_path: Path) -> None:
    """Without root, each missing server is named in the command to type, and nothing fails."""
    nobody = tmp_path / "id"
    nobody.write_text("#!/bin/sh\necho 1000\n")
    nobody.chmod(0o755)

    told = subprocess.run(
        [ROOT / ".ci/servers"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stderr.endswith(
        "sudo apt-get install redis-server prometheus chromium nginx nodejs curl strace\n"
    )


_FAILS_BESIDE_OTHERS = """
from pathlib import Path
import pytest
@pytest.mark.parametrize("name", ["late", "early"])
def test_first(name):
    seen = Path("seen", name)
    if not seen.exists():
        seen.mkdir(parents=True)
        assert name == "nobody"
def test_sound(): pass
@pytest.fixture
def broken():
    yield
    seen = Path("seen", "teardown")
    if not seen.exists():
        seen.mkdir(parents=True)
        raise OSError("port taken")
def test_end(broken): pass
"""


def test_what_passes_at_the_second_run_alone_is_told_at_the_end(tmp_path: Path) -> None:
    """By name, with its first failure, and counted; the second run decides."""
    (tmp_path / "test_late.py").write_text(_FAILS_BESIDE_OTHERS)

    done = _second_run(tmp_path)

    assert done.returncode == 0, done.stdout
    told = done.stdout[done.stdout.index("3 passed only at the second run, alone:") :]
    assert told == (tmp_path / "build/second-run.txt").read_text()
    names = [line.strip() for line in told.splitlines() if line.startswith("  test")]
    assert names == [
        f"test_late.py::test_{name}" for name in ("end", "first[early]", "first[late]")
    ]
    assert "test_late.py:9: AssertionError: assert 'late' == 'nobody'" in told
    assert "test_late.py:17: OSError: port taken" in told
    assert (tmp_path / "build/second-run.txt").exists()


def test_what_fails_twice_fails(tmp_path: Path) -> None:
    """And is told at once, each time, but not among those that passed late."""
    (tmp_path / "test_bad.py").write_text("def test_bad(): assert 1 == 2\n")

    done = _second_run(tmp_path)

    assert done.returncode == 1
    assert done.stdout.count("\nFAILED test_bad.py::test_bad test_bad.py:1: ") == 2
    assert done.stdout.endswith("0 passed only at the second run, alone:\n")


def test_a_run_without_failures_is_the_only_one(tmp_path: Path) -> None:
    """And nothing of an earlier run is left to be told."""
    (tmp_path / "build").mkdir()
    (tmp_path / "build/second-run.txt").write_text("1 passed only at the second run, alone:")
    (tmp_path / "test_good.py").write_text("def test_good(): pass\n")

    done = _second_run(tmp_path)

    assert done.returncode == 0
    assert done.stdout.count("test session starts") == 1
    assert not (tmp_path / "build/second-run.txt").exists()


def _second_run(folder: Path) -> subprocess.CompletedProcess[str]:
    return _run(folder, "-m", "tests.second_run", "--verbosity", "0")


def _pytest(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    options = ("-p", "tests.conftest", "--continue-on-collection-errors")
    return _run(folder, "-m", "pytest", *options, **environment)


def _run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a folder of its own, without what other plugins take to load."""
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = .\n")
    alone = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ours = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**ours, **alone, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
