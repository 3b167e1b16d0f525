"""promtool, the judge that comes with Prometheus."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def promtool(*arguments: str, typed: bytes = b"") -> subprocess.CompletedProcess[str]:
    """What it says, and its exit code; skips the test where it is not."""
    if shutil.which("promtool") is None:
        pytest.skip("no promtool; type: sudo apt-get install prometheus")
    command = ["promtool", *arguments]
    return subprocess.run(
        command, input=typed.decode(), capture_output=True, text=True, check=False, timeout=100
    )
