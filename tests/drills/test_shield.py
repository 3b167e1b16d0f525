"""What the shield promises, at the real hundred a minute; `pytest -s` shows what each counted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.simulator.limiter import RetryAfter
from tests.integration import scenarios
from tests.integration.gate_rounds import LIMITS, MODES, pair
from tests.integration.shielding import Pace
from tests.support.servers import RedisServer

REAL = Pace(100, 60.0)


def told(figures: dict[str, int]) -> None:
    """Show what was counted, with `pytest -s`."""
    sys.stdout.write(f"{figures}\n")


async def test_a_cold_start_a_purge_and_one_more_replica(redis_url: str) -> None:
    """No 429, never more calls than the limit, and the hot ids are served."""
    told(await scenarios.cold_start(redis_url, REAL, windows=1.2))


@pytest.mark.parametrize(
    "form", [RetryAfter.SECONDS, RetryAfter.HTTP_DATE, RetryAfter.RATELIMIT_FIELD]
)
async def test_a_429_closes_the_gate_in_every_form(redis_url: str, form: RetryAfter) -> None:
    """Nothing goes until the time given, and what is stored answers meanwhile."""
    told(await scenarios.gate(redis_url, form, hold=10.0))


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("mode", MODES)
async def test_a_gate_is_closed_for_all_replicas(
    redis_url: str, tmp_path: Path, mode: str, limit: str
) -> None:
    """In each of ten rounds, every other one after an absence of Redis."""
    async with pair(redis_url, tmp_path, mode, limit) as both:
        late = [await both.round(cut=number % 2 == 0) for number in range(10)]
    told({"rounds": len(late), "late": sum(late)})
    assert sum(late) == 0


async def test_a_second_user_of_the_key_keeps_its_half(redis_url: str) -> None:
    """The gateway settles below the rest."""
    told(await scenarios.second_user(redis_url, Pace(20, 12.0), windows=10))


async def test_who_comes_back_when_told_is_served(redis_url: str) -> None:
    """With demand within the budget, from a cold start."""
    told(await scenarios.obeyed(redis_url, Pace(50, 12.0), bursts=6))


@pytest.mark.parametrize("is_lost", [False, True], ids=["hung", "lost"])
async def test_redis_is_away_for_five_minutes(tmp_path: Path, is_lost: bool) -> None:
    """What is stored is served, and all reserves are spent. Redis is back, and within 3 s all that
    it hands out is spent; if it lost its data, a window later."""
    with RedisServer(tmp_path) as server:
        told(await scenarios.redis_away(server, REAL, windows=5, is_lost=is_lost))


async def test_a_redis_that_forgets_is_told(tmp_path: Path) -> None:
    """Again and again."""
    with RedisServer(tmp_path) as server:
        told(await scenarios.redis_empty(server, Pace(20, 12.0), rounds=6))
