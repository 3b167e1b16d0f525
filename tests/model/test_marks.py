"""The rules of marks keep their promises in random histories, and each rule is needed."""

from __future__ import annotations

import pytest

from tests.model.marks.history import failure, make, read
from tests.model.marks.plants import PLANTS, planted


def test_random_histories_keep_all_promises() -> None:
    """Whatever happens in whatever order; the drills search for longer."""
    for number in range(300):
        assert failure(list(make(f"test/{number}"))) is None


@pytest.mark.parametrize("name", PLANTS)
def test_a_history_breaks_a_promise_without_the_rule(name: str) -> None:
    """With the rule the same history breaks none."""
    steps = read(PLANTS[name].history)

    assert failure(steps) is None
    with planted(PLANTS[name]):
        assert failure(steps) is not None
