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


def _pytest(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "--continue-on-collection-errors", str(folder)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
