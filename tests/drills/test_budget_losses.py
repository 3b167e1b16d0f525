"""However Redis is lost, no window holds more calls than the limit; `pytest -s` shows figures.

`BUDGET_LOSS_RUNS` says how often each is run.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.integration.budget_losses import LIMIT, Loss, lost

# One call may be counted in both of two windows by the way that it took to the upstream.
_ROOM = 1
RUNS = int(os.environ.get("BUDGET_LOSS_RUNS", "1"))


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("tenants", [1, 300])
@pytest.mark.parametrize("is_used", [True, False], ids=["used", "unused"])
@pytest.mark.parametrize("loss", Loss)
async def test_no_window_holds_more_than_the_limit(
    tmp_path: Path, loss: Loss, is_used: bool, tenants: int, run: int
) -> None:
    """Of one tenant, or of any of three hundred."""
    if loss.step and shutil.which("cc") is None:
        pytest.skip("setting the clock of a Redis takes a C compiler")

    figures = await lost(tmp_path, loss, is_used=is_used, tenants=tenants)

    sys.stdout.write(f"{loss} {is_used=} {tenants=}: {figures}\n")
    assert figures.fullest <= LIMIT + _ROOM
