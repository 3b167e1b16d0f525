from __future__ import annotations

import asyncio

import pytest

from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.core.vocabulary import NoticeKind, StoreVerdict, Tier
from gateway.flow.singleflight import Course
from gateway.ports import Notice
from tests.doubles.clock import FakeClock
from tests.doubles.shared import InMemoryLists
from tests.doubles.stored import entry_of, version
from tests.unit.flow.house import KEY, Redis, Replica
from tests.unit.flow.offering import FIRST, find, in_l1, outdated, put


async def test_what_was_stored_is_in_both_tiers(replica: Replica, redis: Redis) -> None:
    """The first version is answered with at once, and found by others."""
    assert (await put(replica)).verdict is StoreVerdict.FIRST

    held = replica.tiers.peek(KEY)

    assert held is not None
    assert held.entry == (await redis.store.lookup(KEY)).entry


async def test_l1_asks_redis_again_after_its_lifetime(replica: Replica, clock: FakeClock) -> None:
    """Five seconds after it was confirmed it answers no more, and again once it is confirmed."""
    await put(replica)
    clock.advance(4.9)
    assert replica.tiers.peek(KEY) is not None
    clock.advance(0.1)
    assert replica.tiers.peek(KEY) is None

    seen = await find(replica)

    assert seen.tier is Tier.L1
    assert replica.tiers.peek(KEY) is seen.held


async def test_l1_alone_needs_no_confirmation(alone: Replica, clock: FakeClock) -> None:
    """Without Redis the entry's own freshness decides."""
    await put(alone)
    clock.advance(3600.0)

    assert alone.tiers.peek(KEY) is not None


async def test_what_redis_holds_is_promoted(replica: Replica, other: Replica) -> None:
    """With its head rendered; from then on L1 has it."""
    await put(other)

    seen = await find(replica)

    assert (seen.tier, seen.below_floor) == (Tier.L2, False)
    assert replica.tiers.peek(KEY) is seen.held
    assert b"vary: Authorization\r\n" in seen.held.head


async def test_the_later_of_both_tiers_wins(
    replica: Replica, other: Replica, clock: FakeClock
) -> None:
    """A version that another replica stored replaces what L1 holds."""
    await put(replica, version(1))
    await put(other, version(2))
    clock.advance(5.0)

    seen = await find(replica)

    assert (seen.tier, seen.held.entry.updated_at) == (Tier.L2, version(2))
    assert in_l1(replica) is seen.held.entry


async def test_nothing_is_found_where_nothing_is(replica: Replica) -> None:
    """Neither tier has it."""
    assert await replica.tiers.lookup(KEY, Course()) is None


async def test_what_is_below_the_floor_is_found_for_rescue(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """Also where Redis is away later; that is all."""
    await put(other)
    await redis.store.purge(None, soft=True)

    seen = await find(replica)
    redis.switch.is_up = False

    assert seen.below_floor
    assert in_l1(replica) is seen.held.entry
    assert replica.tiers.peek(KEY) is None


@pytest.mark.parametrize("order", ["no order", "a soft order"])
@pytest.mark.parametrize("successor", ["a 404", "another body"])
async def test_what_was_replaced_without_a_new_version_does_not_return(
    replica: Replica, other: Replica, redis: Redis, successor: str, order: str
) -> None:
    """Not even for rescue, after Redis has lost the body that replaced it."""
    await put(replica)
    replica.clock.advance(1.0)
    if order == "a soft order":
        await redis.store.invalidate(KEY.training_id, None, soft=True)
    await (put(other, None) if successor == "a 404" else put(other, body=b"another one"))

    redis.memory.lose_body(KEY)
    replica.clock.advance(5.0)

    assert await replica.tiers.lookup(KEY, Course()) is None
    assert in_l1(replica) is None


async def test_what_was_deleted_does_not_return_because_the_list_has_it(
    replica: Replica, other: Replica, redis: Redis, clock: FakeClock
) -> None:
    """A page with the version of before the 404 leaves the question to a single call."""
    await put(replica)
    clock.advance(1.0)
    await put(other, None)
    clock.advance(1.0)
    item = Listed(KEY.training_id, FIRST, "0" * 32, "", clock.now(), 30.0)
    page = await redis.memory.begin(KEY._replace(training_id="(the list)"))

    (compared,) = await InMemoryLists(redis.memory).compare(
        KEY.partition, [item], page, 60.0, stores=True
    )
    clock.advance(5.0)

    seen = await replica.tiers.lookup(KEY, Course())
    assert compared.verdict is ListVerdict.DOUBTFUL
    assert seen is not None
    assert seen.held.entry.is_negative


@pytest.mark.parametrize("soft", [False, True])
async def test_what_was_deleted_does_not_return_because_an_order_names_it(
    replica: Replica, other: Replica, redis: Redis, clock: FakeClock, soft: bool
) -> None:
    """The 404 is no answer any more, and neither is what it replaced: upstream has to be asked."""
    await put(replica)
    clock.advance(1.0)
    await put(other, None)
    clock.advance(1.0)

    await redis.store.invalidate(KEY.training_id, FIRST, soft=soft)
    clock.advance(5.0)

    assert await replica.tiers.lookup(KEY, Course()) is None


async def test_a_renewed_body_does_not_end_what_l1_has(
    replica: Replica, other: Replica, redis: Redis, clock: FakeClock
) -> None:
    """The same bytes were confirmed later, and Redis has lost them."""
    await put(replica)
    clock.advance(1.0)
    await put(other)

    redis.memory.lose_body(KEY)
    clock.advance(5.0)

    assert (await find(replica)).tier is Tier.L1


async def test_an_outdated_look_up_does_not_promote(replica: Replica, other: Replica) -> None:
    """It answers those who asked before."""
    await put(other)

    assert await replica.tiers.lookup(KEY, outdated()) is not None

    assert in_l1(replica) is None


async def test_a_look_up_does_not_undo_a_fetch_that_landed_meanwhile(
    replica: Replica, other: Replica, redis: Redis
) -> None:
    """It compares with what L1 holds when Redis answers, not when it was asked."""
    await put(other, version(1))
    redis.switch.hold()
    look_up = asyncio.create_task(replica.tiers.lookup(KEY, Course()))
    await asyncio.sleep(0)
    await put(replica, version(2))

    redis.switch.release()
    seen = await look_up

    assert seen is not None
    assert seen.held.entry.updated_at == version(2)
    assert in_l1(replica) is seen.held.entry


@pytest.mark.parametrize("is_ordered", [True, False], ids=["by an order", "given, not kept"])
async def test_a_redis_that_forgot_brings_nothing_older(
    replica: Replica, other: Replica, redis: Redis, clock: FakeClock, is_ordered: bool
) -> None:
    """Than what this replica answered, though an order took it from L1, and Redis lost the order;
    an older fetch of another one is its first version then."""
    await put(replica, version(2))
    if is_ordered:
        replica.apply(Notice(NoticeKind.INVALIDATED, (KEY.training_id,)))
    else:
        replica.local.drop(KEY)
        await put(replica, version(2), flight=outdated())
        assert in_l1(replica) is None
    redis.memory.flush()
    clock.advance(1.0)
    assert (await put(other, version(1))).verdict is StoreVerdict.FIRST

    assert await replica.tiers.lookup(KEY, Course()) is None

    replica.tiers.purge_local(None, soft=False)
    assert (await find(replica)).held.entry.updated_at == version(1)


@pytest.mark.parametrize("ends", ["by an order", "given, not kept"])
async def test_a_copy_of_redis_that_lacks_the_last_version_brings_nothing_older(
    replica: Replica, other: Replica, redis: Redis, clock: FakeClock, ends: str
) -> None:
    """Than what this replica answered, though it holds that no more; both are of one generation."""
    await put(other, version(1))
    take_over = redis.memory.copied()
    clock.advance(1.0)
    await put(other, version(2))
    if ends == "by an order":
        await find(replica)
        notice = Notice(NoticeKind.INVALIDATED, (KEY.training_id,), updated_at=version(3))
        replica.apply(notice)
    else:
        assert await replica.tiers.lookup(KEY, outdated()) is not None
    assert in_l1(replica) is None

    take_over()

    assert await replica.tiers.lookup(KEY, Course()) is None
    assert (await find(other)).held.entry.updated_at == version(2)


def test_the_compressed_form_is_made_once_and_counted(alone: Replica) -> None:
    """Beside the entry, which takes more from then on."""
    tiers, local = alone.tiers, alone.local
    held = tiers.render(entry_of(body=b'{"a":"' + b"again " * 500 + b'"}'), 1.0)
    local.put(KEY, held)
    before = local.size

    coded = tiers.coded(KEY, held)

    assert coded is held.coded
    assert coded is tiers.coded(KEY, held)
    assert b"content-encoding: gzip\r\n" in coded.head
    assert local.size > before


def test_what_gains_nothing_is_left_as_it_is(alone: Replica) -> None:
    """And not tried again."""
    held = alone.tiers.render(entry_of(body=bytes(range(256)) * 8), 1.0)

    assert alone.tiers.coded(KEY, held) in (held, held.coded)
    assert held.checked_at == 1.0
    assert b"vary: Authorization\r\n" in held.head
