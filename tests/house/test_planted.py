"""House: each bug that a drill plants still finds its place in the code."""

from __future__ import annotations

import tomllib

import pytest

from tests.house.sources import ROOT

BUGS = tomllib.loads((ROOT / "tests/drills/planted.toml").read_text())["bug"]


@pytest.mark.parametrize("number", range(len(BUGS)))
def test_a_bug_has_one_place(number: int) -> None:
    """Else its drill would fail an hour later, for no fault of the code."""
    bug = BUGS[number]

    assert (ROOT / "gateway" / bug["file"]).read_text().count(bug["find"]) == 1, bug
