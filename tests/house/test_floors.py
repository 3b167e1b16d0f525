"""The arrows of ARCHITECTURE.md: who may import whom, and which libraries each floor may know."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from tests.house.sources import ROOT, Source, sources

# The longest matching name decides. The floors above the wings (app, cli, demo) may use anything.
LIBRARIES = {
    "gateway.core": {"msgspec", "cachetools"},
    "gateway.ports": {"msgspec"},
    "gateway.flow": {"cachetools"},
    "gateway.adapters": set(),
    "gateway.adapters.ledger": {"cachetools"},
    "gateway.adapters.otlp": {"opentelemetry", "requests"},
    "gateway.adapters.redis": {"redis", "msgspec", "cachetools"},
    "gateway.adapters.telemetry": {"prometheus_client", "structlog", "msgspec", "cachetools"},
    "gateway.adapters.upstream": {"anyio", "httpcore", "httpx"},
    "gateway.settings": {"pydantic"},
    "gateway.web": {"starlette", "uvicorn", "httptools", "msgspec"},
}
IMPURE = {
    *("asyncio", "os", "io", "pathlib", "random", "secrets", "select", "socket", "subprocess"),
    *("threading", "time", "uuid"),
}


def test_every_contract_on_imports_is_kept() -> None:
    """import-linter finds no import against the arrows, and no module without a floor."""
    # In a process of its own: it sets up logging, and would silence the loggers of other tests.
    linter = Path(sys.executable).with_name("lint-imports")
    linted = subprocess.run(
        [linter, "--config", "pyproject.toml", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_each_floor_knows_only_its_own_libraries() -> None:
    """The core imports the standard library and msgspec, the flow no driver, an adapter its one."""
    found = [
        f"{source.path} imports {library}"
        for source in sources()
        if (allowed := _libraries_of(source)) is not None
        for library in _third_parties(source) - allowed
    ]

    assert found == []


def test_the_core_is_pure() -> None:
    """No await, no clock, no randomness, no I/O on the ground floor."""
    core = [source for source in sources() if source.within("gateway.core")]

    assert [f"{source.path} imports {name}" for source in core for name in _impure(source)] == []
    assert [str(source.path) for source in core if _awaits(source)] == []


def _libraries_of(source: Source) -> set[str] | None:
    names = [name for name in LIBRARIES if source.within(name)]
    return LIBRARIES[max(names, key=len)] if names else None


def _third_parties(source: Source) -> set[str]:
    roots = {name.partition(".")[0] for name in source.imports()}
    return roots - sys.stdlib_module_names - {"gateway"}


def _impure(source: Source) -> set[str]:
    return {name for name in source.imports() if name.partition(".")[0] in IMPURE}


def _awaits(source: Source) -> bool:
    return any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(source.tree))
