"""A budget of a very high rate: what is kept of it stays small, and the limit holds."""

from __future__ import annotations

import pytest

from gateway.adapters.redis import budget as budgets
from gateway.core.budget.window_log import MOST_KEPT
from gateway.core.vocabulary import Purpose
from tests.contract.worlds import RedisWorld, World, count_granted
from tests.support.redis_cluster import client_of, keys_of

HIGH = 1_000_000
LONG = 60_000.0


async def test_no_more_than_a_stretch_goes_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when that is over, as much again: within the limit, and the view speaks of the whole."""
    # Nobody looks meanwhile, and thousands of calls take a busy machine some seconds.
    monkeypatch.setattr(budgets, "_SILENCE", 60.0)
    async with world.budget(HIGH, LONG) as budget:
        assert budget.view("default").limit == HIGH
        first = await count_granted(budget, most=3_000)
        spent = budget.view("default")
        world.advance(LONG / (HIGH / MOST_KEPT) + 1.0)

        assert first == MOST_KEPT
        assert spent.available == 0
        assert await count_granted(budget, most=3_000) == MOST_KEPT


async def test_a_lowered_high_limit_recovers_as_slowly_as_any(world: World) -> None:
    """By the window that was set, and not by the stretch of it."""
    async with world.budget(HIGH, LONG) as budget:
        await budget.take("default", Purpose.MISS)
        await budget.close("default", 1.0)
        world.advance(LONG)

        await budget.take("default", Purpose.MISS)

        assert budget.view("default").limit == HIGH // 10


@pytest.mark.parametrize("limit", [MOST_KEPT, HIGH])
async def test_an_unknown_past_takes_redis_few_commands(redis_url: str, limit: int) -> None:
    """However high the limit: nobody else is answered meanwhile."""
    with client_of(redis_url) as client:
        async with RedisWorld(redis_url).budget(limit, 60.0, start_paced=True) as budget:
            client.config_resetstat()
            await budget.take("default", Purpose.MISS)
            calls = sum(each["calls"] for each in client.info("commandstats").values())
        kept = [client.zcard(key) for key in keys_of(client, "gateway:{*}:w")]

    assert calls < 200
    assert kept
    assert max(kept) <= MOST_KEPT
