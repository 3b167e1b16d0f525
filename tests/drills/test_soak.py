"""Half an hour under random faults, twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.soaking import soak

SECONDS = 1800.0


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_answered_that_must_not_be(tmp_path: Path, seed: int) -> None:
    """And memory stays as it is after the warming up."""
    outcome = await soak(tmp_path, SECONDS, seed)

    print(outcome)  # noqa: T201
    assert outcome.wrong == []
    assert outcome.growth < 0.05
    assert outcome.files[-1] < 2 * outcome.files[len(outcome.files) // 5]
