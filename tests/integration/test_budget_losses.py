"""Redis is lost, in three of the ways of the drill: no window holds more calls than the limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.budget_losses import LIMIT, Loss, lost


@pytest.mark.parametrize(
    ("loss", "is_used"), [(Loss.KILLED, True), (Loss.CUT, False), (Loss.FORGOTTEN, True)]
)
async def test_no_window_holds_more_than_the_limit(
    tmp_path: Path, loss: Loss, is_used: bool
) -> None:
    """Three replicas, callers for ever new ids; a call may count in two windows by its way."""
    figures = await lost(tmp_path, loss, is_used=is_used, before=3.0, after=6.0)

    assert figures.fullest <= LIMIT + 1
    assert figures.calls >= LIMIT
