"""How the lock files are made (`make lock`), and by what mark one sees that they are out of date.

Nothing of the gateway is imported here: the locks come before anything can run.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OLDEST = PROJECT["project"]["requires-python"].removeprefix(">=")
RUNTIME, OTLP, BUILD, DEV = LOCKS = (
    "requirements.lock",
    "requirements-otlp.lock",
    "requirements-build.lock",
    "requirements-dev.lock",
)
MARK = "# Made by `make lock` from the requirements in pyproject.toml with fingerprint "

OPTIONS = (
    # Named, or else uv takes the interpreter's version for the oldest, and leaves out what only an
    # older one needs.
    *("--python-version", OLDEST),
    *("--universal", "--generate-hashes", "--no-emit-index-url", "--no-header", "--quiet"),
    *("--no-python-downloads", "--system-certs", "--python", sys.executable),
)


def requirements(lock: str) -> list[str]:
    """The requirements in pyproject.toml that the lock named must satisfy."""
    runtime: list[str] = PROJECT["project"]["dependencies"]
    otlp: list[str] = runtime + PROJECT["project"]["optional-dependencies"]["otlp"]
    groups = PROJECT["dependency-groups"]
    build: list[str] = PROJECT["build-system"]["requires"] + groups["build"]
    dev: list[str] = [each for each in groups["dev"] if isinstance(each, str)]
    return {RUNTIME: runtime, OTLP: otlp, BUILD: build, DEV: otlp + build + dev}[lock]


def fingerprint(lock: str) -> str:
    """What changes whenever the requirements do: a digest, independent of their order."""
    facts = [PROJECT["project"]["requires-python"], *sorted(requirements(lock))]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def renew(*options: str) -> None:
    """Resolve all locks anew; pins that still satisfy pyproject.toml stay unless `--upgrade`."""
    _compile(RUNTIME, "pyproject.toml", *options)
    # With what sends traces: for the image.
    traced = ("pyproject.toml", "--extra", "otlp")
    _compile(OTLP, *traced, "--constraints", RUNTIME, *options)
    _compile(BUILD, "--group", "build", *options)
    # The last is bound to all, so that what is tested is what is shipped, and what builds it.
    bound = ("--constraints", OTLP, "--constraints", BUILD)
    _compile(DEV, *traced, "--group", "dev", *bound, *options)


def _compile(lock: str, *options: str) -> None:
    path = ROOT / lock
    before = path.read_text() if path.exists() else ""
    with tempfile.TemporaryDirectory() as folder:
        # Resolved beside the lock, and written only where it differs: an unchanged lock keeps its
        # time stamp, and so the environment made from it.
        output = Path(folder) / lock
        output.write_text(before)
        _uv("pip", "compile", "--output-file", str(output), *OPTIONS, *options)
        after = f"{MARK}{fingerprint(lock)}\n{output.read_text()}"
    if after != before:
        path.write_text(after)


def _uv(*arguments: str) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    renew(*sys.argv[1:])
