"""A gateway that stands still, as under a CPU quota, blames neither Redis nor its callers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rounds.stopped_replicas import stop_gateways


@pytest.mark.parametrize(("length", "count", "over"), [(0.08, 20, 4.0), (0.3, 3, 3.0), (3.0, 1, 4)])
async def test_stops_cut_nobody_off(
    tmp_path: Path, redis_url: str, length: float, count: int, over: float
) -> None:
    """All are answered, and Redis is never called away."""
    seen = await stop_gateways(tmp_path, redis_url, length=length, count=count, over=over)

    assert seen.away == []
    assert seen.statuses.keys() == {200}
