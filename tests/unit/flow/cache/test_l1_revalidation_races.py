"""What happens while Redis is asked about L1's entries is later news than its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.core.vocabulary import NoticeKind, Tier
from gateway.ports import Notice
from tests.doubles.clock import FakeClock
from tests.doubles.stored import entry_of, held_of, version
from tests.unit.flow.house import KEY, Redis, Replica, settle
from tests.unit.flow.offering import find, in_l1, put

Meanwhile = Callable[[Replica], Awaitable[None]]


async def ask_and(replica: Replica, redis: Redis, meanwhile: Meanwhile) -> None:
    """Ask Redis about the key, which answers, and let something happen before that arrives."""
    redis.switch.hold()
    asking = asyncio.create_task(replica.tiers.confirming.confirm([KEY]))
    await settle()
    replica.clock.advance(0.01)
    await meanwhile(replica)
    redis.switch.release()
    await asking


async def invalidated(replica: Replica) -> None:
    """An order that this replica obeys."""
    await replica.shared.invalidate(KEY.training_id, None)
    replica.apply(Notice(NoticeKind.INVALIDATED, (KEY.training_id,)))


async def purged(replica: Replica) -> None:
    """All is gone."""
    replica.apply(Notice(NoticeKind.PURGED))


async def purged_softly(replica: Replica) -> None:
    """What is left may rescue."""
    replica.apply(Notice(NoticeKind.PURGED, soft=True))


async def changed_elsewhere(replica: Replica) -> None:
    """Another replica told of a later version."""
    replica.apply(Notice(NoticeKind.CHANGED, (KEY.training_id,), KEY.partition, version(9)))


async def gap(replica: Replica) -> None:
    """The bus may have missed something."""
    replica.invalidation.gap()


async def evicted(replica: Replica) -> None:
    """L1 had no room for it."""
    replica.local.drop(KEY)


@pytest.mark.parametrize(
    "meanwhile", [invalidated, purged, purged_softly, changed_elsewhere, gap, evicted]
)
@pytest.mark.parametrize("renewed", [False, True])
async def test_what_was_ruled_out_meanwhile_is_not_confirmed(
    replica: Replica, other: Replica, redis: Redis, meanwhile: Meanwhile, *, renewed: bool
) -> None:
    """Redis agreed, and another replica even had it renewed, before that happened."""
    await put(replica)
    replica.clock.advance(1.0)
    if renewed:
        await put(other)

    await ask_and(replica, redis, meanwhile)

    assert replica.tiers.peek(KEY) is None


async def test_what_was_stored_meanwhile_stays(replica: Replica, redis: Redis) -> None:
    """Redis told of what was there before."""
    await put(replica, version(1))

    async def store(replica: Replica) -> None:
        await put(replica, version(2))

    await ask_and(replica, redis, store)

    held = replica.tiers.peek(KEY)
    assert held is not None
    assert held.entry.updated_at == version(2)


async def test_a_doubt_from_before_what_was_stored_meanwhile_does_not_reach_it(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """Redis disagreed with the entry that is gone."""
    await put(replica, version(1))
    await put(other, version(2))

    async def store(replica: Replica) -> None:
        await put(replica, version(3))

    await ask_and(replica, redis, store)

    held = replica.tiers.peek(KEY)
    assert held is not None
    assert held.entry.updated_at == version(3)


async def test_an_answer_counts_from_when_it_was_asked_for(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """A slow one does not make an entry confirmed for longer."""
    await put(replica)
    clock.advance(1.0)

    async def take_long(replica: Replica) -> None:
        replica.clock.advance(3.0)

    await ask_and(replica, redis, take_long)
    clock.advance(1.9)
    assert replica.tiers.peek(KEY) is not None
    clock.advance(0.2)

    assert replica.tiers.peek(KEY) is None


async def test_a_slow_answer_does_not_undo_a_later_one(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """The later moment stays."""
    await put(replica)

    async def confirm_later(replica: Replica) -> None:
        held = replica.local.peek(KEY)
        assert held is not None
        replica.clock.advance(2.0)
        held.checked_at = replica.clock.monotonic()

    await ask_and(replica, redis, confirm_later)
    clock.advance(4.9)

    assert replica.tiers.peek(KEY) is not None


async def test_a_doubted_entry_is_not_asked_about(replica: Replica, redis: Redis) -> None:
    """That it is outdated is known: the body is read at once."""
    await put(replica)
    replica.tiers.doubt(KEY)

    await find(replica)

    assert (redis.store.confirmed, redis.store.lookups) == ([], 1)


async def test_a_suspect_entry_costs_no_body(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """A gap on the bus is mended by a question, and the answer is L1's."""
    await put(replica)
    clock.advance(0.1)
    replica.invalidation.gap()
    clock.advance(0.1)
    assert replica.tiers.peek(KEY) is None

    seen = await find(replica)

    assert seen.tier is Tier.L1
    assert replica.tiers.peek(KEY) is seen.held
    assert (redis.store.confirmed, redis.store.lookups) == ([1], 0)


async def test_what_is_not_in_l1_costs_one_round_trip(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """There is nothing to confirm."""
    await put(other)

    await find(replica)

    assert (redis.store.confirmed, redis.store.lookups) == ([], 1)


async def test_a_body_that_is_another_is_read(
    replica: Replica, other: Replica, redis: Redis, clock: FakeClock
) -> None:
    """The floor says that there is one, and then it is fetched for all who wait."""
    await put(replica, version(1))
    await put(other, version(2))
    clock.advance(5.0)

    waiting = [asyncio.create_task(replica.get()) for _ in range(50)]
    answers = await asyncio.gather(*waiting)

    assert {answer.tier for answer in answers} == {Tier.L2}
    assert (redis.store.confirmed, redis.store.lookups) == ([1], 1)


async def test_a_renewed_entry_that_is_too_large_by_then_is_read_again(
    replica: Replica, other: Replica, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where L1 has no room for what the confirming answer brought, the body serves."""
    await put(replica)
    replica.clock.advance(5.0)
    await put(other)
    monkeypatch.setattr(replica.local, "replace", lambda key, _: replica.local.drop(key))

    assert (await find(replica)).tier is Tier.L2


async def test_a_process_alone_asks_nothing(alone: Replica) -> None:
    """Its ledger has no body that L1 could have missed."""
    entry = entry_of(await alone.tiers.begin(KEY))
    alone.local.put(KEY, held_of(entry, alone.clock.monotonic()))
    await alone.shared.store(KEY, entry, 60.0)
    alone.clock.advance(3600.0)

    assert alone.tiers.peek(KEY) is not None
    assert (await find(alone)).held.entry is entry
    assert in_l1(alone) is entry
