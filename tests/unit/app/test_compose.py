"""compose: sizes that follow from settings."""

from __future__ import annotations

import pytest

from gateway.app.compose import floors_for


@pytest.mark.parametrize(
    ("max_bytes", "floors"),
    [(0, 1_000), (16 * 1024**2, 11_184), (64 * 1024**2, 44_739), (1024**3, 100_000)],
)
def test_a_ledger_is_as_large_as_l1_allows(max_bytes: int, floors: int) -> None:
    """It knows a floor for each of the smallest entries that L1 can hold, and bounds of its own."""
    assert floors_for(max_bytes) == floors
