"""Files that hold one secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings.secret_files import Unreadable, read_secret


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_line_break_at_its_end_is_no_part_of_it(tmp_path: Path, ending: str) -> None:
    """As editors and `echo` leave it."""
    path = tmp_path / "secret"
    path.write_bytes(f"a b{ending}".encode())

    assert read_secret("x_file", str(path)) == "a b"


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "empty"), (b"\xff", "UTF-8"), (b"x" * 70_000, "too large")],
)
def test_what_is_no_secret_is_told_under_its_name(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    """And without the path."""
    path = tmp_path / "secret"
    path.write_bytes(content)

    with pytest.raises(Unreadable, match=problem) as caught:
        read_secret("x_file", str(path))

    assert caught.value.fault.name == "x_file"
    assert str(path) not in str(caught.value)


@pytest.mark.parametrize("path", [None, 7, "", "/none/such", "a\0b"])
def test_what_is_no_path_has_none(path: object) -> None:
    """Whatever was written there."""
    with pytest.raises(Unreadable, match="path"):
        read_secret("x_file", path)
