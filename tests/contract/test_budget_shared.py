"""Budget on Redis: what replicas are told and tell, and what is kept for one that is not heard."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from gateway.core.budget.window_log import MOST_KEPT
from gateway.core.errors import BudgetExhausted, GateClosed, RedisUnavailable
from gateway.core.vocabulary import Purpose
from gateway.flow.budget.replica_share import Shares
from gateway.ports import KnownBudget, Looking, SharedBudget
from tests.contract.worlds import RedisWorld, count_granted, granted
from tests.support.redis_cluster import client_of, keys_of

LIMIT, WINDOW, SCOPE = 20, 600.0, "default"


@pytest.fixture
def world(any_redis_url: str) -> RedisWorld:
    """Each kind of Redis."""
    return RedisWorld(any_redis_url)


@pytest.fixture
async def replicas(world: RedisWorld) -> AsyncIterator[list[Shares]]:
    """Two replicas that know of each other, a window after their start."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(2):
            budget = await stack.enter_async_context(world.budget(LIMIT, WINDOW, start_paced=True))
            assert isinstance(budget, Shares)
            made.append(budget)
        await see(made)
        world.advance(2 * WINDOW)
        await see(made)
        yield made


async def see(replicas: list[Shares]) -> None:
    """Let each see what the others told, and tell that it did."""
    for _ in range(3):
        for each in replicas:
            await each.look([SCOPE])


def known(replica: Shares) -> KnownBudget:
    """What it saw last."""
    seen = replica._account(SCOPE).known
    assert seen is not None
    return seen


def lose(url: str) -> None:
    """Redis forgets all it knew."""
    with client_of(url) as client:
        for key in keys_of(client, "gateway:*"):
            client.delete(key)


async def test_half_of_what_is_unspent_is_for_those_who_lose_sight(
    replicas: list[Shares],
) -> None:
    """In equal parts; nobody else spends that until they have seen that there is less."""
    one, other = replicas
    assert [known(each).claim for each in replicas] == [5, 5]

    assert await count_granted(one) == 15
    await see(replicas)
    assert await count_granted(one) == 4
    await see(replicas)
    assert await count_granted(other) == 1
    assert len(known(one).ages) == 19


async def test_own_calls_come_from_the_own_part(replicas: list[Shares]) -> None:
    """All of the limit is there for replicas that ask for as much each."""
    one, other = replicas

    assert await count_granted(one, 10) + await count_granted(other, 10) == LIMIT


def heard_at(url: str, replica: Shares) -> set[int]:
    """The time of the last look of which Redis knows that its reply reached the replica."""
    field = f"r{replica._shared._name}"  # type: ignore[attr-defined]
    with client_of(url) as client:
        books = keys_of(client, "gateway:{*}:b")
        return {int(client.hget(key, field).split(b" ", 1)[0]) for key in books}


def fall_silent(url: str, replica: Shares, seconds: float, *, from_now: bool = False) -> None:
    """It was not heard for so much longer, or (`from_now`) for so long."""
    field = f"r{replica._shared._name}"  # type: ignore[attr-defined]
    with client_of(url) as client:
        for key in keys_of(client, "gateway:{*}:b"):
            seen, rest = client.hget(key, field).split(b" ", 1)
            heard = time.time() if from_now else int(seen) / 1_000_000
            client.hset(key, field, b"%d %s" % ((heard - seconds) * 1_000_000, rest))


async def test_an_equal_part_is_kept_for_one_that_is_silent(
    replicas: list[Shares], any_redis_url: str
) -> None:
    """From the moment on at which it may spend that; not any more once it is forgotten, a minute
    and a window later: what it spent in that minute counts for a window."""
    fall_silent(any_redis_url, replicas[1], 2.0)
    assert await count_granted(replicas[0]) == LIMIT // 2

    fall_silent(any_redis_url, replicas[1], WINDOW + 58.0)
    assert await count_granted(replicas[0]) == 0
    fall_silent(any_redis_url, replicas[1], 3.0)
    assert await count_granted(replicas[0]) == LIMIT // 2


async def test_a_part_of_a_high_limit_is_kept_for_a_stretch(
    world: RedisWorld, any_redis_url: str
) -> None:
    """Calls count for a stretch of the window, and for a minute before that one may have spent its
    part."""
    limit = 10 * MOST_KEPT
    async with (
        world.budget(limit, WINDOW) as one,
        world.budget(limit, WINDOW) as other,
    ):
        assert isinstance(one, Shares)
        assert isinstance(other, Shares)
        await see([one, other])
        for seconds, replicas in ((58.0 + WINDOW / 10, 2), (62.0 + WINDOW / 10, 1)):
            fall_silent(any_redis_url, other, seconds, from_now=True)
            await one.look([SCOPE])

            assert known(one).replicas == replicas


async def test_a_silent_one_is_kept_the_part_that_it_was_told(
    world: RedisWorld, replicas: list[Shares], any_redis_url: str
) -> None:
    """It knew of one other, and has a half; that a third one joins it cannot know."""
    one, silent = replicas
    assert known(silent).share == LIMIT // 2
    fall_silent(any_redis_url, silent, 2.0)
    async with world.budget(LIMIT, WINDOW, start_paced=True) as third:
        assert isinstance(third, Shares)
        await see([one, third])
        assert known(third).replicas == 3

        assert await count_granted(one) + await count_granted(third) == LIMIT // 2


async def test_a_refusal_tells_of_a_replica_that_has_just_joined(
    world: RedisWorld, replicas: list[Shares]
) -> None:
    """Before the next look: callers of each replica are told to come back at a pace that depends
    on the number of replicas."""
    one, _ = replicas
    assert await count_granted(one) > 0
    assert one.view(SCOPE).replicas == 2
    async with world.budget(LIMIT, WINDOW) as third:
        assert isinstance(third, Shares)
        await third.look([SCOPE])

        assert await count_granted(one) == 0

    assert one.view(SCOPE).replicas == 3


async def test_one_that_joins_has_no_part_until_the_others_gave_it_up(
    world: RedisWorld, replicas: list[Shares]
) -> None:
    """Else they had more than the limit together, should all lose Redis then. Until then it goes by
    what a start without Redis goes by."""
    async with world.budget(LIMIT, WINDOW, start_paced=True) as third:
        assert isinstance(third, Shares)
        await third.look([SCOPE])
        assert [known(each).share for each in (*replicas, third)] == [10, 10, 0]
        assert third._past(third._account(SCOPE)) == (None, 3)

        for each in (*replicas, third):
            await each.look([SCOPE])
        assert [known(each).share for each in (*replicas, third)] == [6, 6, 6]


async def test_one_that_is_cut_off_before_it_has_a_part_is_kept_an_equal_one(
    world: RedisWorld, replicas: list[Shares], any_redis_url: str
) -> None:
    """It spends as much, evenly."""
    async with world.budget(LIMIT, WINDOW, start_paced=True) as third:
        assert isinstance(third, Shares)
        await third.look([SCOPE])
        fall_silent(any_redis_url, third, 2.0)

        assert sum([await count_granted(each) for each in replicas]) == LIMIT - LIMIT // 3


async def test_where_all_are_silent_an_equal_part_is_left(
    world: RedisWorld, replicas: list[Shares], any_redis_url: str
) -> None:
    """They have probably ended together, and the next one is not to wait for so long."""
    for each in replicas:
        fall_silent(any_redis_url, each, 2.0)
    async with world.budget(LIMIT, WINDOW, start_paced=True) as third:
        assert isinstance(third, Shares)
        assert await count_granted(third) == LIMIT // 3
        await third.look([SCOPE])
        assert known(third).share == LIMIT // 3


async def test_one_of_a_release_that_was_told_no_part_is_kept_an_equal_one(
    replicas: list[Shares], any_redis_url: str
) -> None:
    """Its record is as 0.1.0 writes it, which runs beside this release in a rolling update."""
    one, other = replicas
    name = other._shared._name  # type: ignore[attr-defined]
    with client_of(any_redis_url) as client:
        for key in keys_of(client, "gateway:{*}:b"):
            assert len(client.hget(key, f"r{name}").split()) == 3
            assert client.hdel(key, f"p{name}") == 1
    fall_silent(any_redis_url, other, 2.0)

    assert await count_granted(one) == LIMIT // 2


async def test_a_log_that_does_not_say_when_it_began_is_an_old_one(
    replicas: list[Shares], any_redis_url: str
) -> None:
    """Some builds before 0.1.0 did not note it; calls go on."""
    with client_of(any_redis_url) as client:
        for key in keys_of(client, "gateway:{*}:b"):
            assert client.hdel(key, "since") == 1

    one, other = replicas
    assert await count_granted(one) == LIMIT - known(other).claim


async def test_a_part_holds_in_a_redis_that_forgot_it(
    replicas: list[Shares], any_redis_url: str
) -> None:
    """Until it is told another one; the others have theirs still."""
    lose(any_redis_url)

    await replicas[0]._look([SCOPE])  # the answer to a second question is lost

    assert known(replicas[0]).share == LIMIT // 2
    await see(replicas)
    assert [known(each).share for each in replicas] == [10, 10]


@pytest.mark.parametrize("is_long", [False, True])
async def test_a_call_that_is_reported_again_counts_once(
    replicas: list[Shares], monkeypatch: pytest.MonkeyPatch, any_redis_url: str, is_long: bool
) -> None:
    """Redis noted the report, and its answer was lost; one more call came meanwhile. Also if
    answers are lost for so long that the replica does not count any more."""
    one, other = replicas
    shared = shared_of(one)
    look = shared.look

    async def look_in_vain(asked: Sequence[Looking]) -> list[KnownBudget]:
        await look(asked)
        raise RedisUnavailable("budget", "the answer is lost")

    monkeypatch.setattr(shared, "look", look_in_vain)
    for _ in range(2):
        await one._from_share(SCOPE, Purpose.MISS, patience=0.0)
        await one.look_at_all()
        if is_long:
            fall_silent(any_redis_url, one, WINDOW + 61.0, from_now=True)
            await other.look([SCOPE])
    monkeypatch.setattr(shared, "look", look)
    await see(replicas)

    assert len(known(other).ages) == 2


async def test_a_call_that_is_granted_for_later_is_no_word_of_its_replica(
    replicas: list[Shares], any_redis_url: str
) -> None:
    """What it saw is as old as before: it goes by that, should it lose sight."""
    other = replicas[1]
    await count_granted(other)
    before = heard_at(any_redis_url, other)

    for _ in range(2):
        await other.take(SCOPE, Purpose.MISS, patience=2 * WINDOW)

    assert heard_at(any_redis_url, other) == before


async def test_what_becomes_free_is_divided_with_a_silent_one_too(
    replicas: list[Shares], any_redis_url: str
) -> None:
    """The silent one may be back by then, and knows of the same calls."""
    spent = await count_granted(replicas[1], 10)
    await see(replicas)
    spent += await count_granted(replicas[0], 5)
    fall_silent(any_redis_url, replicas[1], 2.0)
    await replicas[0].look([SCOPE])

    past, parts = replicas[0]._past(replicas[0]._account(SCOPE))

    assert past is not None
    assert (past.limit, len(past.times), parts) == (LIMIT, spent, 2)


@pytest.mark.parametrize(("seconds", "is_passing"), [(0.0, False), (2.0, True), (5.0, False)])
async def test_what_is_kept_for_a_slow_replica_is_soon_free(
    replicas: list[Shares], any_redis_url: str, seconds: float, is_passing: bool
) -> None:
    """A caller waits for that; it does not where nobody is silent, or one is for long."""
    fall_silent(any_redis_url, replicas[1], seconds)
    await count_granted(replicas[0])
    fall_silent(any_redis_url, replicas[1], seconds, from_now=True)  # those calls may take seconds

    with pytest.raises(BudgetExhausted) as caught:
        await replicas[0].take(SCOPE, Purpose.MISS)

    assert caught.value.is_passing is is_passing


async def test_who_has_not_looked_is_asked_to(replicas: list[Shares]) -> None:
    """Lately, and at this life of the log."""
    shared, seen = shared_of(replicas[0]), known(replicas[0])

    for outdated in (
        None,
        replace(seen, life=seen.life - 1),
        replace(seen, stamp=seen.stamp - 10_000_000, at=seen.at - 10.0),
    ):
        assert await shared.take(SCOPE, Purpose.MISS, outdated) is None


async def test_a_redis_that_forgot_waits_for_all(
    replicas: list[Shares], any_redis_url: str
) -> None:
    """Nothing is granted on a guess; what each has spent is told by itself, once."""
    one, other = replicas
    assert await count_granted(one, 5) + await count_granted(other, 3) == 8
    await see(replicas)
    lose(any_redis_url)

    for _ in range(2):
        with pytest.raises(GateClosed, match="lost the record") as closed:
            await one.take(SCOPE, Purpose.MISS)
        assert closed.value.retry_after <= WINDOW + 1.0
    assert known(one).claim == 0
    await see(replicas)

    assert len(known(one).ages) == 8
    assert known(one).claim == known(other).claim == 3


async def test_a_newcomer_is_none_of_those_that_a_redis_that_forgot_waits_for(
    world: RedisWorld, replicas: list[Shares], any_redis_url: str
) -> None:
    """It knew nothing of the calls of the one that has not told yet."""
    one, other = replicas
    assert await count_granted(one, 12) == 12
    await see(replicas)
    lose(any_redis_url)
    await see([other])
    async with world.budget(LIMIT, WINDOW, start_paced=True) as late:
        assert isinstance(late, Shares)
        await see([late, other])

        for each in (late, other):
            with pytest.raises(GateClosed, match="lost the record"):
                await each.take(SCOPE, Purpose.MISS)
        await see([one, other, late])
        assert len(known(late).ages) == 12
        assert await granted(late)


async def test_one_that_told_and_left_is_not_waited_for(
    replicas: list[Shares], any_redis_url: str
) -> None:
    """What it spent is known."""
    one, other = replicas
    assert await count_granted(one, 12) == 12
    await see(replicas)
    lose(any_redis_url)
    await see([one])
    await shared_of(one).leave([SCOPE])
    await see([other])

    assert await count_granted(other) == LIMIT - 12


async def test_a_redis_that_forgot_hears_of_the_calls_of_one_that_left(
    replicas: list[Shares], any_redis_url: str
) -> None:
    """From any that saw them; each call counts once, also one that was paid from a share."""
    one, other = replicas
    for _ in range(2):
        await one._from_share(SCOPE, Purpose.MISS, patience=0.0)
    assert await count_granted(one, 8) == 8
    assert await count_granted(other, 2) == 2
    await see(replicas)
    await shared_of(one).leave([SCOPE])
    await see([other])
    assert await count_granted(other, 3) == 3
    lose(any_redis_url)
    await see([other])

    assert len(known(other).ages) == 15
    assert await count_granted(other) == LIMIT - 15


async def test_a_window_later_it_waits_for_nobody(
    world: RedisWorld, replicas: list[Shares], any_redis_url: str
) -> None:
    """What was spent counts no more. A part is kept for one that has not told, and may be cut off;
    it is forgotten a minute later."""
    lose(any_redis_url)
    await replicas[0].look([SCOPE])
    world.advance(WINDOW + 1.1)

    assert await count_granted(replicas[0]) == LIMIT // 2
    world.advance(60.0)
    assert await count_granted(replicas[0]) == LIMIT // 2


async def test_one_that_returns_later_than_a_window_counts_once(
    world: RedisWorld, replicas: list[Shares], any_redis_url: str
) -> None:
    """Its part is kept for it until it has told, and not any more from then on."""
    one, other = replicas
    lose(any_redis_url)
    await one.look([SCOPE])
    world.advance(WINDOW + 1.1)

    await other._look([SCOPE])  # the answer to a second question is lost
    await one.look([SCOPE])
    assert known(one).replicas == 2
    assert await count_granted(one, 2) == 2

    await see(replicas)
    assert known(one).replicas == 2
    assert await count_granted(one, 9) + await count_granted(other, 9) == LIMIT - 2


async def test_one_that_has_ended_is_waited_for_after_one_loss_alone(
    world: RedisWorld, any_redis_url: str
) -> None:
    """Otherwise those that ended would add up while Redis loses its data again and again."""
    async with AsyncExitStack() as stack:

        async def start() -> Shares:
            budget = await stack.enter_async_context(world.budget(LIMIT, WINDOW, start_paced=True))
            assert isinstance(budget, Shares)
            return budget

        running = [await start(), await start()]
        await see(running)
        for _ in range(6):
            running = [running[1], await start()]  # the first one is killed
            await see(running)
            lose(any_redis_url)
            await see(running)
            world.advance(5.0)
            await see(running)

        assert known(running[0]).replicas <= 4


@pytest.mark.parametrize("step", [-60.0, -3.0, 3.0, 60.0])
async def test_a_clock_that_was_set_is_a_redis_that_forgot(
    replicas: list[Shares], step: float
) -> None:
    """Nothing is granted under it; replicas look, and what they spent is told anew."""
    one, other = replicas
    assert await count_granted(one, 6) + await count_granted(other, 7) == 13
    await see(replicas)
    before = known(one)
    for each in replicas:  # as if the clock were ahead of what they saw
        account = each._account(SCOPE)
        account.known = replace(known(each), at=known(each).at + step)

    assert await shared_of(one).take(SCOPE, Purpose.MISS, known(one)) is None
    with pytest.raises((GateClosed, BudgetExhausted)):
        await one.take(SCOPE, Purpose.MISS)
    await see(replicas)

    assert known(one).life > before.life
    assert len(known(one).ages) == 13


async def test_a_clock_that_was_set_is_forgotten_by_once(replicas: list[Shares]) -> None:
    """The second to see it does not undo what the first has told since."""
    one, other = replicas
    for each in replicas:
        account = each._account(SCOPE)
        account.known = replace(known(each), at=known(each).at - 60.0)
    await one.look([SCOPE])
    life = known(one).life

    await other.look([SCOPE])

    assert known(other).life == life


async def test_a_lowered_limit_recovers_after_a_clock_was_set_back(
    world: RedisWorld, replicas: list[Shares], any_redis_url: str
) -> None:
    """As if it had been lowered when the clock was set; not only once the clock is where it was."""
    one = replicas[0]
    await count_granted(one)
    await one.close(SCOPE, 1.0)
    await see(replicas)
    assert known(one).limit < LIMIT
    with client_of(any_redis_url) as client:
        for key in keys_of(client, "gateway:{*}:b"):
            client.hincrby(key, "lowered", round(30 * WINDOW * 1_000_000))
        for key in keys_of(client, "gateway:{*}:w"):
            client.delete(key)
    await see(replicas)

    world.advance(25 * WINDOW)
    await see(replicas)

    assert known(one).limit == LIMIT


async def test_an_answer_that_took_its_time_is_no_clock_that_was_set(
    replicas: list[Shares],
) -> None:
    """What was seen was known late, and as late its time was taken."""
    one, seen = replicas[0], known(replicas[0])
    one._account(SCOPE).known = replace(seen, at=seen.at + 3.0, error=3.0)

    assert await granted(one)
    await one.look([SCOPE])
    assert known(one).life == seen.life


async def test_calls_that_were_paid_without_it_are_told(replicas: list[Shares]) -> None:
    """When they went, and once."""
    one, other = replicas
    for _ in range(2):
        await one._from_share(SCOPE, Purpose.MISS, patience=0.0)

    await see(replicas)

    assert len(known(other).ages) == 2


async def test_who_leaves_is_not_waited_for(replicas: list[Shares], any_redis_url: str) -> None:
    """Nothing is kept for it, and nothing of it is left."""
    one, other = replicas
    name = other._shared._name  # type: ignore[attr-defined]
    await shared_of(other).leave([SCOPE])
    with client_of(any_redis_url) as client:
        for key in keys_of(client, "gateway:{*}:b"):
            assert not {f"r{name}".encode(), f"p{name}".encode()} & set(client.hkeys(key))

    assert await count_granted(one) == LIMIT


async def test_a_start_is_paced_by_what_redis_does_not_know(
    world: RedisWorld, replicas: list[Shares]
) -> None:
    """One more replica knows at once what is spent."""
    assert await count_granted(replicas[0], 4) == 4
    async with world.budget(LIMIT, WINDOW, start_paced=True) as late:
        assert isinstance(late, Shares)
        await late.look([SCOPE])

        assert len(known(late).ages) == 4
        assert known(late).replicas == 3


async def test_a_turn_is_not_used_where_a_part_is_kept(
    replicas: list[Shares], any_redis_url: str
) -> None:
    """It was booked before a replica fell silent: that may have spent as much by now."""
    one, other = replicas
    assert await count_granted(one, 10) + await count_granted(other, 10) == LIMIT
    turn = await one.take(SCOPE, Purpose.MISS, patience=2 * WINDOW)
    fall_silent(any_redis_url, replicas[1], 2.0)

    assert await one.enter(SCOPE, turn) is None


async def test_charges_that_are_undone_are_no_loss(
    world: RedisWorld, replicas: list[Shares]
) -> None:
    """An empty log would count as lost, and all would wait for each other."""
    one, life = replicas[0], known(replicas[0]).life
    paid = [await one.take(SCOPE, Purpose.MISS) for _ in range(2)]
    world.advance(WINDOW + 10.0)

    for each in paid:
        late = replace(each, stamp=each.stamp - world.shifted(WINDOW + 10.0))
        assert await one.enter(SCOPE, late) is None

    await see(replicas)
    assert known(one).life == life


async def test_where_nothing_is_counted_nothing_is_told(
    world: RedisWorld, any_redis_url: str
) -> None:
    """Else the log of an unlimited scope would grow with each call."""
    async with world.budget(None, WINDOW, start_paced=True) as budget:
        assert await count_granted(budget, 5) == 5
        assert isinstance(budget, Shares)
        await budget.look_at_all()

    with client_of(any_redis_url) as client:
        assert keys_of(client, "gateway:*") == []


def shared_of(replica: Shares) -> SharedBudget:
    """The budget behind it."""
    return replica._shared
