"""Which interpreter runs another checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.stands import Checkout
from tests.support.servers import ROOT


def test_another_checkout_runs_on_the_same_interpreter_of_its_own(tmp_path: Path) -> None:
    """Where it is in the same place there; the build of the interpreter must not differ."""
    for name in ("gateway/__main__.py", ".venv-second/bin/python"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()

    own = Checkout.at(tmp_path, str(ROOT / ".venv-second/bin/python"))

    assert own == Checkout(tmp_path, str(tmp_path / ".venv-second/bin/python"))
    with pytest.raises(LookupError, match=r"\.venv/bin/python is not there"):
        Checkout.at(tmp_path, str(ROOT / ".venv/bin/python"))


def test_an_interpreter_of_nobody_runs_both(tmp_path: Path) -> None:
    """And a folder without the gateway is no checkout."""
    other = tmp_path / "python"
    other.touch()
    with pytest.raises(LookupError, match="__main__"):
        Checkout.at(tmp_path, str(other))
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "__main__.py").touch()

    assert Checkout.at(tmp_path, str(other)).python == str(other)
