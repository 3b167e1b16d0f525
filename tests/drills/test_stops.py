"""Gateways stopped as often as a CPU quota does it, and for seconds."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.rounds.stopped_replicas import stop_gateways

_logger = logging.getLogger(__name__)


@pytest.mark.parametrize(
    ("length", "count", "over"), [(0.08, 100, 20.0), (0.3, 10, 10.0), (3.0, 2, 10.0)]
)
async def test_many_stops_cut_nobody_off(
    tmp_path: Path, redis_url: str, length: float, count: int, over: float
) -> None:
    """All are answered, and Redis is never called away."""
    seen = await stop_gateways(tmp_path, redis_url, length=length, count=count, over=over)
    _logger.info("%d stops of %g s: %s", count, length, seen)

    assert seen.away == []
    assert seen.statuses.keys() == {200}
