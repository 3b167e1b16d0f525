"""One thing grows at a time."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from tests.bench.growth import AXES, USUAL, point


@pytest.mark.parametrize("axis", AXES)
def test_one_thing_grows_at_a_time(axis: str) -> None:
    """From the usual point; a million entries have smaller bodies, each credential an entry."""
    usual = asdict(USUAL)
    for value in AXES[axis][1]:
        there = asdict(point(axis, value))

        assert there[axis] == value
        others = {name for name in usual if there[name] != usual[name]} - {axis}
        assert others <= {"entries": {"body"}, "credentials": {"entries"}}.get(axis, set())
        assert there["entries"] >= there["credentials"]


def test_each_axis_passes_the_usual_point_or_begins_beyond_it() -> None:
    """Curves meet there, so that they can be read beside each other."""
    for axis, (_, values) in AXES.items():
        assert min(values) <= asdict(USUAL)[axis] <= max(values)
