"""The rules of marks keep their promises in random histories, and each rule is needed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.model.marks.history import failure, make, read
from tests.model.marks.rules import Rule

FILE = Path(__file__).parent / "marks/counterexamples.toml"
COUNTEREXAMPLES: dict[str, str] = tomllib.loads(FILE.read_text())


def test_random_histories_keep_all_promises() -> None:
    """Whatever happens in whatever order; the drills search for longer."""
    for number in range(300):
        assert failure(list(make(f"test/{number}"))) is None


@pytest.mark.parametrize("name", COUNTEREXAMPLES)
def test_a_history_breaks_a_promise_without_the_rule(name: str) -> None:
    """With the rule the same history breaks none."""
    steps = read(COUNTEREXAMPLES[name])

    assert failure(steps, {Rule[name]}) is not None
    assert failure(steps) is None


def test_each_rule_has_its_history() -> None:
    """A rule without one is not needed."""
    assert list(COUNTEREXAMPLES) == [rule.name for rule in Rule]
