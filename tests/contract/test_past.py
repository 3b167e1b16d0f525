"""Budget on Redis: what was spent is lost there, and told by the replicas that saw it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from gateway.core.errors import GateClosed
from gateway.core.status import Purpose
from gateway.ports import Budget
from tests.cluster_servers import client_of, keys_of
from tests.contract.worlds import RedisWorld, count_granted, granted

LIMIT, WINDOW, SCOPE = 20, 600.0, "default"


@pytest.fixture
def world(any_redis_url: str) -> RedisWorld:
    """Each kind of Redis."""
    return RedisWorld(any_redis_url)


@pytest.fixture
async def replicas(world: RedisWorld) -> AsyncIterator[tuple[Budget, Budget]]:
    """Two replicas a window after their start."""
    async with AsyncExitStack() as stack:
        made = [
            await stack.enter_async_context(world.budget(LIMIT, WINDOW, start_paced=True))
            for _ in range(2)
        ]
        for budget in made:
            await budget.take(SCOPE, Purpose.MISS)
            world.advance(2 * WINDOW)
        yield made[0], made[1]


def lose(url: str) -> None:
    """Redis forgets all it knew."""
    with client_of(url) as client:
        for key in keys_of(client, "gateway:*"):
            client.delete(key)


async def test_nothing_is_granted_on_a_guess(
    world: RedisWorld, replicas: tuple[Budget, Budget], any_redis_url: str
) -> None:
    """Nobody who has seen the log may go until the past was told; then all of it counts."""
    one, other = replicas
    assert await count_granted(one, 15) == 15
    seen = (await one.look(SCOPE)).stamps
    lose(any_redis_url)

    for _ in range(2):
        for each in replicas:
            with pytest.raises(GateClosed, match="forgotten") as closed:
                await each.take(SCOPE, Purpose.MISS)
            assert 0.0 < closed.value.retry_after <= 2.0
        await one.hand_in(SCOPE, [], seen)
    world.advance(2.0)

    assert await count_granted(other) == LIMIT - 15


async def test_who_tells_first_does_not_tell_all(
    world: RedisWorld, replicas: tuple[Budget, Budget], any_redis_url: str
) -> None:
    """Where a replica tells before anybody asks for a call, the others are still waited for."""
    one, other = replicas
    assert await count_granted(one, 5) == 5
    first = await one.look(SCOPE)
    assert await count_granted(other, 9) == 9
    seen = await other.look(SCOPE)
    lose(any_redis_url)

    await one.hand_in(SCOPE, [], first.stamps)
    for each in replicas:
        with pytest.raises(GateClosed, match="forgotten"):
            await each.take(SCOPE, Purpose.MISS)
    await other.hand_in(SCOPE, [], seen.stamps)
    world.advance(2.0)

    assert await count_granted(one) == LIMIT - 14


async def test_a_loss_is_told_apart_from_a_call_that_is_old(
    replicas: tuple[Budget, Budget], any_redis_url: str
) -> None:
    """By the life of the log, though what was seen last stands there again."""
    one, other = replicas
    await count_granted(one, 3)
    before = await one.look(SCOPE)
    assert (await other.look(SCOPE)).life == before.life > 0
    lose(any_redis_url)

    await other.hand_in(SCOPE, [], before.stamps[-1:])

    after = await one.look(SCOPE)
    assert before.stamps[-1] in after.stamps
    assert after.life > before.life


async def test_each_tells_what_only_it_has_seen(
    replicas: tuple[Budget, Budget], any_redis_url: str
) -> None:
    """What both saw counts once."""
    one, other = replicas
    await count_granted(one, 4)
    first = (await one.look(SCOPE)).stamps
    await count_granted(other, 4)
    both = (await other.look(SCOPE)).stamps
    lose(any_redis_url)

    await one.hand_in(SCOPE, [1.0, 2.0], first)
    await other.hand_in(SCOPE, [], both)

    assert len((await one.look(SCOPE)).ages) == 4 + 4 + 2


async def test_that_nothing_was_sent_is_knowledge(
    world: RedisWorld, replicas: tuple[Budget, Budget], any_redis_url: str
) -> None:
    """An idle past is told as well, an old one does not come back."""
    one, other = replicas
    await count_granted(one, 5)
    seen = (await one.look(SCOPE)).stamps
    lose(any_redis_url)

    await one.hand_in(SCOPE, [], [stamp - world.shifted(2 * WINDOW) for stamp in seen])
    world.advance(2.0)

    assert await count_granted(other) == LIMIT


async def test_who_knows_nothing_leaves_it_unknown(
    world: RedisWorld, replicas: tuple[Budget, Budget], any_redis_url: str
) -> None:
    """After that the past is guessed, as at a start."""
    one, _ = replicas
    lose(any_redis_url)
    assert not await granted(one)

    await one.hand_in(SCOPE, [3.0])
    world.advance(2.0)

    assert await count_granted(one) == LIMIT // 10


async def test_a_turn_that_was_lost_is_not_used(
    replicas: tuple[Budget, Budget], any_redis_url: str
) -> None:
    """Another one is to be asked for; nothing is charged for it."""
    one, _ = replicas
    await count_granted(one)
    turn = await one.take(SCOPE, Purpose.MISS, patience=2 * WINDOW)
    assert turn.wait > 0.0
    seen = (await one.look(SCOPE)).stamps
    lose(any_redis_url)
    await one.hand_in(SCOPE, [], seen)

    assert await one.enter(SCOPE, turn) is None
    assert len((await one.look(SCOPE)).ages) == LIMIT


async def test_a_log_of_before_gets_a_life(
    replicas: tuple[Budget, Budget], any_redis_url: str
) -> None:
    """An older release began it, or the book lapsed: the next call gives it one."""
    one, _ = replicas
    with client_of(any_redis_url) as client:
        for key in keys_of(client, "gateway:*"):
            if key.endswith(b":b"):
                client.delete(key)
    assert (await one.look(SCOPE)).life == 0

    await one.take(SCOPE, Purpose.MISS)

    assert (await one.look(SCOPE)).life > 0


async def test_where_nothing_is_counted_nothing_is_told(
    world: RedisWorld, any_redis_url: str
) -> None:
    """Else the log of an unlimited scope would grow with each call."""
    async with world.budget(None, WINDOW, start_paced=True) as budget:
        await budget.hand_in(SCOPE, [1.0], [2.0])

    with client_of(any_redis_url) as client:
        assert keys_of(client, "gateway:*") == []
