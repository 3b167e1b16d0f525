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


def test_the_path_that_was_tried_is_said(tmp_path: Path) -> None:
    """Where it is one beyond doubt: a name in a folder that is there."""
    (tmp_path / "secrets").mkdir()

    with pytest.raises(Unreadable, match=f"No such file or directory, {tmp_path}/secrets/token"):
        read_secret("x_file", "secrets/token", tmp_path)
    with pytest.raises(Unreadable, match=f"No such file or directory, {tmp_path}/secrets/token"):
        read_secret("x_file", f"{tmp_path}/secrets/token")


@pytest.mark.parametrize("secret", ["hunter2", "/hunter2", "a/hunter2", "/no/hunter2"])
def test_a_secret_in_the_place_of_a_path_is_not_shown(tmp_path: Path, secret: str) -> None:
    """At most the folder is, from which its path would count."""
    with pytest.raises(Unreadable) as caught:
        read_secret("x_file", secret, tmp_path)

    assert "hunter2" not in str(caught.value)
    assert (str(tmp_path) in str(caught.value)) == (secret == "hunter2")
