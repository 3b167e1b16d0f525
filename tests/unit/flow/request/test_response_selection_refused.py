"""A 401 to a caller's own token ends all that the token stored or fetches."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from gateway.core.cache.entry import Key
from gateway.core.cache.marks import State, state_of
from gateway.core.errors import AccessRefused
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Cause, NotStoredReason, Outcome
from tests.unit.flow.house import KEY, Redis, Replica, minute_of, ok, says, settle

SECOND, THIRD = Key("p1", "trn_2"), Key("p1", "trn_3")


async def test_a_401_ends_the_other_entries_of_the_credential(
    replica: Replica, redis: Redis
) -> None:
    """In both tiers; a 403 of one training spares the others."""
    await replica.fill(1)
    await replica.fill(1, SECOND)
    replica.upstream.then(says(403))
    await replica.get(THIRD)
    assert (await replica.get(SECOND)).outcome is Outcome.FRESH

    replica.upstream.then(says(401))
    await replica.get(THIRD)

    assert replica.peek() is None
    assert replica.peek(SECOND) is None
    found = await redis.store.lookup(SECOND)
    assert found.stored is not None
    assert state_of(found.stored, found.marks) is State.GONE
    assert replica.observer.of("invalidated") == [(Cause.PURGE, "*", 2)]


async def test_a_401_ends_the_fetches_of_the_credential(replica: Replica, redis: Redis) -> None:
    """Those who wait get what they asked for; it is kept nowhere, and nobody joins any more."""
    release = asyncio.Event()

    async def slowly(call: object) -> Reply:
        await release.wait()
        return ok(1)

    replica.upstream.then(slowly, says(401))
    waiter = asyncio.create_task(replica.get())
    await settle()

    await replica.get(SECOND)
    assert replica.serving.fills.under_way(KEY) is None
    release.set()
    answer = await waiter

    assert minute_of(answer) == 1
    assert answer.handling.not_stored is NotStoredReason.INVALIDATED
    assert replica.local.entries == 0
    assert (await redis.store.lookup(KEY)).entry is None


@pytest.mark.parametrize("is_up", [True, False])
async def test_no_other_fetch_of_the_credential_ends_meanwhile(
    replica: Replica, redis: Redis, monkeypatch: pytest.MonkeyPatch, is_up: bool
) -> None:
    """While the other replicas are told of the 401: the refused caller does not get what it
    brought."""
    redis.switch.is_up = is_up
    release = asyncio.Event()

    async def slowly(call: object) -> Reply:
        await release.wait()
        return ok(1)

    async def announce(notice: object) -> None:
        release.set()
        await waiter

    monkeypatch.setattr(replica.invalidation, "_bus", SimpleNamespace(announce=announce))
    replica.upstream.then(slowly, says(401))
    waiter = asyncio.create_task(replica.get())
    await settle()
    replica.clock.advance(1.0)
    await replica.get(SECOND)

    assert waiter.done()
    assert replica.local.entries == 0
    with pytest.raises(AccessRefused):
        await replica.get()
