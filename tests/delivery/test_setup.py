"""Setting up: the locks are installed and not resolved, and an empty clone runs by one command."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.servers import ROOT, answers, wait_until

BUILD_TOOLS = ROOT / ".ci" / "build-tools"
# Where a Python keeps the pip that it gives to new environments.
BUNDLED = """
import ensurepip, pathlib, sysconfig
own = pathlib.Path(ensurepip.__file__).parent / "_bundled"
shared = pathlib.Path(sysconfig.get_config_var("WHEEL_PKG_DIR") or own)
print(next(wheel for folder in (own, shared) for wheel in folder.glob("pip-*.whl")))
"""
INSTALLS = re.compile(r"^[^#\n]*\bpip install\b(?:[^\n]*\\\n)*[^\n]*-r [^\n]*", re.MULTILINE)


def _output(*command: str | Path) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _wheel(folder: Path, name: str, version: str, requires: str = "") -> str:
    """A package with nothing in it; its line for a lock."""
    stem = f"{name}-{version}"
    file = folder / f"{stem}-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", metadata)
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return f"{name}=={version} --hash=sha256:{digest}\n"


def test_a_newer_release_of_a_pinned_package_changes_nothing(tmp_path: Path) -> None:
    """The oldest pip that our Pythons bring installs what the lock pins, whatever else there is.

    Resolving, pip 23.2 refuses a lock of which one package asks for another with an extra.
    """
    index = tmp_path / "index"
    index.mkdir()
    lock = _wheel(index, "wanted", "1.0")
    lock += _wheel(index, "wanting", "1.0", "Requires-Dist: wanted[extra]>=1.0\n")
    _wheel(index, "wanted", "2.0")
    (tmp_path / "requirements-build.lock").write_text(lock)
    python = _output(ROOT / ".ci/find-python", "python3.11", "python3.12", "python3.13").strip()

    done = subprocess.run(
        [BUILD_TOOLS, python, tmp_path / "tools"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": _output(python, "-c", BUNDLED).strip(),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(index),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    installed = {path.name for path in (tmp_path / "tools").glob("*.dist-info")}
    assert installed == {"wanted-1.0.dist-info", "wanting-1.0.dist-info"}


@pytest.mark.parametrize(
    "name", [".ci/build-tools", ".ci/make-venv", ".ci/second-venv", "Dockerfile"]
)
def test_no_lock_is_resolved_anywhere(name: str) -> None:
    """Each command that installs from a lock says so, and goes by its hashes."""
    commands = INSTALLS.findall((ROOT / name).read_text())

    assert commands
    assert [each for each in commands if "--no-deps" not in each] == []
    assert [each for each in commands if "--require-hashes" not in each] == []


@pytest.mark.timeout(300)
def test_an_empty_clone_runs_and_is_completed(tmp_path: Path) -> None:
    """`make run` brings what running needs alone and ends by Ctrl-C; `make setup` adds the tools
    to the same environment, in which `make run` then has nothing to install."""
    clone = _clone(tmp_path / "clone")
    venv = clone / ".venv"

    code, shown = _run_until_answered(clone)
    without_tools = _size(venv), (venv / "bin" / "hatchling").exists()
    born = (venv / "pyvenv.cfg").stat().st_mtime_ns
    _make(clone, "setup")
    ahead = _make(clone, "--dry-run", "run")

    assert code == -signal.SIGINT
    assert shown.endswith("\nended\n")
    assert without_tools[0] < 100e6
    assert not without_tools[1]
    assert (venv / "bin" / "pytest").exists()
    assert (venv / "pyvenv.cfg").stat().st_mtime_ns == born
    assert ahead.splitlines() == [".venv/bin/gateway demo"]


def _clone(folder: Path) -> Path:
    """The files of the tree as they are now, and nothing that was made from them."""
    for name in _output("git", "ls-files").splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def _environment() -> dict[str, str]:
    """This process's own Python first on PATH; as little else as the commands need."""
    keep = ("HOME", "UV_CACHE_DIR", "PIP_CACHE_DIR", "PIP_CONFIG_FILE", "PIP_CERT", "SSL_CERT_FILE")
    base = Path(getattr(sys, "_base_executable", sys.executable)).parent
    kept = {name: os.environ[name] for name in keep if name in os.environ}
    return {"PATH": f"{base}:{os.environ['PATH']}", **kept}


def _make(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _run_until_answered(folder: Path) -> tuple[int, str]:
    """The exit code after Ctrl-C of `make run`, whose page was answered, and all it printed."""
    log = folder / "run.log"
    # A job that a shell started in the background ignores SIGINT, and so do its children.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("wb") as file:
        child = subprocess.Popen(
            ["make", "--no-print-directory", "run"],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    signal.signal(signal.SIGINT, former)
    try:
        wait_until(lambda: _page_answers(log.read_text()), 180, "an answer of `make run`")
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does
        return child.wait(30), log.read_text()
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _page_answers(shown: str) -> bool:
    page = re.search(r"live page +(\S+)", shown)
    return page is not None and answers(page[1])


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
