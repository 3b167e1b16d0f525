"""What the shield promises, in short: the drills have the same, and more, at the real rate."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.simulator.limiter import RetryAfter
from tests.integration import scenarios
from tests.integration.gate_rounds import LIMITS, pair
from tests.integration.shielding import Pace


async def test_a_cold_start_a_purge_and_one_more_replica(redis_url: str) -> None:
    """No 429, never more calls than the limit, and the hot ids are served."""
    await scenarios.cold_start(redis_url, Pace(10, 4.0), windows=0.8)


async def test_an_exhausted_field_closes_the_gate(redis_url: str) -> None:
    """Nothing goes until the time given, and what is stored answers meanwhile."""
    await scenarios.gate(redis_url, RetryAfter.RATELIMIT_FIELD, hold=2.0)


@pytest.mark.parametrize(("mode", "limit"), [("passthrough", LIMITS[0]), ("clients", LIMITS[1])])
async def test_a_gate_is_closed_for_all_replicas(
    redis_url: str, tmp_path: Path, mode: str, limit: str
) -> None:
    """No other one starts a call once the first has told Redis, be it back from an absence."""
    async with pair(redis_url, tmp_path, mode, limit) as both:
        assert [await both.round(cut=cut) for cut in (True, False)] == [0, 0]
