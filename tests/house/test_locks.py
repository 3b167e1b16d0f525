"""The locks fit pyproject.toml, and pin by hash alone."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.locks import (
    BUILD,
    DEV,
    LOCKS,
    MARK,
    OTLP,
    ROOT,
    RUNTIME,
    fingerprint,
    requirements,
)

PIN = re.compile(r"^([a-z0-9-]+)==([^ ]+)((?: ;[^\\]+)?) \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def _lines(lock: str) -> list[str]:
    return (ROOT / lock).read_text().splitlines()


def _pins(lock: str) -> dict[str, str]:
    return {match[1]: match[2] for line in _lines(lock) if (match := PIN.match(line))}


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_was_made_from_the_present_requirements(lock: str) -> None:
    """The fingerprint in the first line is that of pyproject.toml; else it takes `make lock`."""
    assert _lines(lock)[0] == MARK + fingerprint(lock), f"{lock} is out of date: type `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_each_requirement_is_met_by_its_pin(lock: str) -> None:
    """Whatever pyproject.toml asks for is pinned to a version that it allows."""
    pins = _pins(lock)
    wanted = [Requirement(line) for line in requirements(lock)]

    unmet = [
        str(each)
        for each in wanted
        if not each.specifier.contains(pins.get(canonicalize_name(each.name), "0"))
    ]

    assert unmet == []


@pytest.mark.parametrize("lock", LOCKS)
def test_there_is_nothing_but_pins_hashes_and_comments(lock: str) -> None:
    """Every package has a hash, and no line names an address, an index or an option."""
    lines = [line for line in _lines(lock) if not line.lstrip().startswith("#")]
    pinned = [number for number, line in enumerate(lines) if PIN.match(line)]

    assert [line for line in lines if not PIN.match(line) and not HASH.match(line)] == []
    assert [lines[number] for number in pinned if not HASH.match(lines[number + 1])] == []
    assert not re.search(r"[a-z]+://", "\n".join(_lines(lock)))


@pytest.mark.parametrize("lock", [RUNTIME, OTLP, BUILD])
def test_what_is_tested_is_what_is_shipped(lock: str) -> None:
    """Every package that runs or builds is in the development lock, at the same version."""
    assert _pins(lock).items() - _pins(DEV).items() == set()
