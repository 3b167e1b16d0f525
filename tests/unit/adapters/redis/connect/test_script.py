"""Script: how a script is put together out of the files of `lua/`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gateway.adapters.redis
from gateway.adapters.redis.connect.script import Script
from tests.support.redis_acl import rule

LUA = Path(gateway.adapters.redis.__path__[0]) / "lua"


def test_a_script_is_its_section_behind_all_that_it_needs() -> None:
    """First the files that it needs, then what its file shares, then the section alone."""
    script = Script.load("lease", "renew", needs=["mark"])

    mark, shared, section = (
        script.text.index(each)
        for each in ("local function make_mark", "local function read_lease", "-- Promise: ")
    )
    assert mark < shared < section
    assert script.text.count("-- Promise: ") == 1
    assert script.text[section:].startswith("-- Promise: the lease lasts for another lifetime")


def test_a_name_that_a_file_does_not_have_is_an_error() -> None:
    """When the gateway starts, and not when the script is run."""
    with pytest.raises(KeyError):
        Script.load("lease", "forget")


@pytest.mark.parametrize("path", sorted(LUA.glob("*.lua")), ids=lambda path: path.stem)
def test_the_documented_user_may_run_each_command(path: Path) -> None:
    """SECURITY.md lists the rights. A command that a script needs rarely would fail late."""
    commands = re.findall(r"redis\.p?call\(\s*'(\w+)'", path.read_text())

    assert commands
    assert {f"+{each.lower()}" for each in commands} <= set(rule())


@pytest.mark.parametrize("path", sorted(LUA.glob("*.lua")), ids=lambda path: path.stem)
def test_each_script_begins_with_its_promise(path: Path) -> None:
    """So that it can be read beside the code that runs it; names do not come twice in a file."""
    _, *sections = path.read_text().split("-- script: ")
    names = [each.partition("\n")[0] for each in sections]
    texts = [each.partition("\n")[2] for each in sections]

    assert len(set(names)) == len(names)
    assert [text for text in texts if not text.startswith("-- Promise: ")] == []
