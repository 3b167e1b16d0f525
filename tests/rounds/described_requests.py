"""Schemathesis against a real gateway: whatever the planes' descriptions allow, and what not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Not `positive_data_acceptance`: that a version is more than five minutes ahead of the gateway's
# clock, and so refused, is what no schema can say.
_CHECKS = ",".join((
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance", "negative_data_rejection",
    "missing_required_header", "unsupported_method", "ignored_auth", "use_after_free",
    "ensure_resource_availability",
))  # fmt: skip


def findings(base_url: str, token: str, folder: Path, *, examples: int, seconds: float) -> str:
    """What is found wrong at a plane with so many examples an operation; empty where nothing is."""
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{base_url}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}", "--checks", _CHECKS),
        *("--max-examples", str(examples), "--seed", "20260101", "--no-color"),
        # Its answer ends when the gateway does.
        *("--exclude-path", "/live"),
        *("--phases", "examples,coverage,fuzzing", "--request-timeout", "20"),
    ]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=seconds
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr
