"""A fetch that nobody waited for is denied: what becomes of those who joined or followed it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import BudgetExhausted, Frozen
from gateway.core.vocabulary import EndingKind, Mode, Purpose
from gateway.flow.answer import Ask
from gateway.flow.fill.fetch import Want
from gateway.flow.singleflight import Course
from gateway.ports import Budget, Charge
from tests.unit.flow.house import KEY, OURS, minute_of, ok, serve_stale, settle
from tests.unit.flow.leases import Town


async def spend_refreshes(budget: Budget) -> None:
    """Spend all that those may have whom nobody waits for."""
    while True:
        try:
            await budget.take("default", Purpose.REFRESH)
        except BudgetExhausted:
            return


async def test_a_miss_that_joined_a_denied_refresh_is_no_refresh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is kept for callers is there for it, though the flight it joined may not have it."""
    town = Town(limit=10)
    replica = town.replica()
    replica.caller = OURS
    await serve_stale(replica)
    await spend_refreshes(replica.budget)
    replica.upstream.then(ok(2))
    answered, take = asyncio.Event(), town.redis.budget.take

    async def take_slowly(scope: str, purpose: Purpose) -> Charge:
        await answered.wait()
        return await take(scope, purpose)

    monkeypatch.setattr(town.redis.budget, "take", take_slowly)
    await replica.get()  # begins a refresh, which will be denied
    await settle()
    replica.local.drop(KEY)
    await town.redis.memory.drop(KEY)

    asked = asyncio.create_task(replica.serving.from_upstream(Ask(KEY, OURS), None))
    await settle()
    assert replica.serving.fills.waiters == 1
    answered.set()

    assert minute_of(await asked) == 2


async def test_a_denied_refresh_elsewhere_is_no_end() -> None:
    """The leader had no caller: a caller that waits here may have a call all the same."""
    town = Town(limit=10)
    leading, replica = town.replica(), town.replica()
    leading.caller = replica.caller = OURS
    await serve_stale(leading)
    await spend_refreshes(leading.budget)
    await town.redis.memory.drop(KEY)
    replica.upstream.then(ok(2))
    leading.peek()
    await settle()
    asked = asyncio.create_task(replica.get())
    await town.pass_time(1.0)

    assert minute_of(await asked) == 2
    assert leading.upstream.count == 1


async def test_a_frozen_leader_is_no_end() -> None:
    """Each replica hears of the mode by itself."""
    town = Town()
    leading, replica = town.replica(), town.replica()
    await leading.modes.order(Mode.FROZEN)
    replica.upstream.then(ok(2))
    want = Want(KEY, leading.caller, Purpose.MISS)
    with pytest.raises(Frozen):
        await leading.collapsing.fill(want, Course())

    assert town.ending() is EndingKind.TRANSIENT
    assert minute_of(await replica.get()) == 2
