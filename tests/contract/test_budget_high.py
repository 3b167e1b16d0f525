"""A budget of a very high rate: what is kept of it stays small, and the limit holds."""

from __future__ import annotations

import pytest

from gateway.adapters.redis import budget as budgets
from gateway.core.budget.window_log import MOST_KEPT
from gateway.core.vocabulary import Purpose
from gateway.flow.budget.replica_share import Shares, _Sent
from gateway.ports import Charge
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


async def test_a_redis_that_forgot_hears_of_the_last_stretch_alone(redis_url: str) -> None:
    """Earlier calls count no more, and a script of Redis cannot take so many at once."""
    async with RedisWorld(redis_url).budget(100_000, 86_400.0) as replica:
        assert isinstance(replica, Shares)
        await replica.look(["default"])
        account = replica._account("default")
        assert account.known is not None
        known, stretch = account.known, 86_400.0 / 50
        for number in range(9_000, 0, -1):  # one call in nine seconds
            age = stretch + 9.0 * number
            charge = Charge(known.stamp - age * 1_000_000, life=known.life)
            account.add(_Sent(known.at - age, charge, known.life))
        await replica.look(["default"])
        with client_of(redis_url) as client:
            client.flushall()

        assert await count_granted(replica, 3) == 3
        assert all(each.charge.life for each in account.sent)  # none is from a share


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
