"""What lies where: the top level is fixed, the papers exist, and the package carries its data."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hatchling import build

from tests.house.sources import ROOT

FOLDERS = {"gateway", "config", "tests", "dashboards", "helm", "docs"}
PAPERS = (
    *("README.md", "ARCHITECTURE.md", "DECISIONS.md", "CHANGELOG.md"),
    *("CONTRIBUTING.md", "SECURITY.md"),
)
# Left by building and measuring, and ignored by git.
LEFTOVERS = {"build", "dist", "htmlcov"}


def test_there_is_no_other_folder_at_the_top() -> None:
    """A new concern goes into one of the folders that exist."""
    found = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."}

    assert {name for name in found if not name.endswith(".egg-info")} - LEFTOVERS <= FOLDERS


@pytest.mark.parametrize("name", PAPERS)
def test_each_paper_is_there(name: str) -> None:
    """The papers exist and say something."""
    assert len((ROOT / name).read_text()) > 100


def test_the_wheel_carries_what_the_code_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file below `gateway/` is in the wheel, Lua scripts and the live page included."""
    monkeypatch.chdir(ROOT)
    expected = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "gateway").rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }

    with zipfile.ZipFile(tmp_path / build.build_wheel(str(tmp_path))) as wheel:
        names = set(wheel.namelist())

    assert expected - names == set()
