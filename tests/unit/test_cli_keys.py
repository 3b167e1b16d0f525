"""`gateway hash-key`: keys that nobody guesses, and lines that the clients file takes."""

from __future__ import annotations

import re
import tomllib
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.core.access.caller import bearer, digest_of


def run(*arguments: str, given: str | bytes | None = None) -> Result:
    """The command in this process."""
    return CliRunner().invoke(main, ["hash-key", *arguments], input=given)


def test_a_key_is_made_with_its_line() -> None:
    """Two lines: what the caller presents, and what the file has of it."""
    result = run()

    key, line = result.output.splitlines()
    assert result.exit_code == 0
    assert re.fullmatch(r"gw_[A-Za-z0-9_-]{43}", key)
    assert bearer([b"Bearer " + key.encode()]) == key
    assert tomllib.loads(line) == {"key_sha256": digest_of(key)}


def test_a_token_for_an_operator_has_a_line_of_its_own() -> None:
    """And a beginning by which it is told from a caller's key."""
    key, line = run("--operator").output.splitlines()

    assert re.fullmatch(r"gw_admin_[A-Za-z0-9_-]{43}", key)
    assert tomllib.loads(line) == {"sha256": digest_of(key)}
    assert run("--operator", "--stdin", given=key).output == f"{line}\n"


def test_no_key_is_made_twice() -> None:
    """256 bits of chance."""
    assert len({run().output for _ in range(50)}) == 50


def test_a_key_may_come_from_elsewhere() -> None:
    """Only its line is printed; a line break at its end is no part of it."""
    for given in ("my-own-key", "my-own-key\n", "my-own-key\r\n"):
        result = run("--stdin", given=given)
        assert result.output == f'key_sha256 = "{digest_of("my-own-key")}"\n'


def test_no_standard_input_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is closed, Python has none."""
    monkeypatch.setattr("gateway.cli.keys.sys", SimpleNamespace(stdin=None))

    result = run("--stdin")

    assert result.exit_code == 2
    assert result.output == "standard input: is not a key that a caller can send\n"


def test_what_no_caller_can_present_is_no_key() -> None:
    """It would be refused at the door for ever; it is not repeated."""
    for given in ("", "two words", "é", "a\nb", b"my-own-key-\xe9\n"):
        result = run("--stdin", given=given)
        assert result.exit_code == 2
        assert result.output == "standard input: is not a key that a caller can send\n"
