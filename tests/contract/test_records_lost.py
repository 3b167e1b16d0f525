"""SharedStore: whatever records are lost, nothing that an order ruled out is found or confirmed."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from gateway.adapters.ledger import Ledger
from gateway.core.cache.entry import Entry, Key
from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import SharedStore
from tests.contract.conftest import URLS, epochs, store_on
from tests.contract.test_shared_store import KEEP, KEY
from tests.doubles.clocks import TickingClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.shared import InMemoryShared
from tests.doubles.stored import VERSION, entry_of, version
from tests.support.redis_cluster import client_of, keys_of

ORDERS = ["all", "bound", "strike", "purge", "soft purge", "drop"]


@dataclass
class Forgetful:
    """A store, and a way to take records from it: the floor, or any by name."""

    store: SharedStore
    lose_floor: Callable[[], object]
    lose: Callable[[list[str]], None] = lambda _: None
    names: Callable[[], list[str]] = list

    async def fetch(self, updated_at: Instant | None = VERSION) -> Entry:
        """Store what a fetch brought that began now."""
        entry = entry_of(await self.store.begin(KEY), updated_at)
        assert not (await self.store.store(KEY, entry, KEEP)).verdict.is_refusal
        return entry

    async def order(self, how: str) -> None:
        """Rule out what is stored."""
        match how:
            case "all":
                await self.store.invalidate(KEY.training_id, None)
            case "bound":
                await self.store.invalidate(KEY.training_id, version(1))
            case "strike":
                await self.store.invalidate_partition(KEY.partition)
            case "drop":
                await self.store.drop(KEY)
            case _:
                await self.store.purge(None, soft=how == "soft purge")

    async def vouches(self, entry: Entry) -> bool:
        """Whether it would be answered unasked by anybody: found, or confirmed where it is held."""
        found = await self.store.lookup(KEY)
        standing = (await self.store.confirm([KEY]))[KEY]
        assert (found.floor is None) is (standing is None)
        if found.floor is None or standing is None:
            assert found.entry is None
            return False
        is_found = found.entry is not None and not found.entry.is_below(found.floor)
        confirmed = entry.confirmed_by(standing.floor, standing.last())
        is_struck = entry.confirmed_at <= standing.struck_at
        return is_found or (confirmed is not None and not is_struck)

    async def may_rescue(self) -> bool:
        """Whether a body is found at all."""
        return (await self.store.lookup(KEY)).entry is not None


@pytest.fixture(params=["ledger", "in memory", *URLS])
async def forgetful(
    request: pytest.FixtureRequest, observer: RecordingObserver
) -> AsyncIterator[Forgetful]:
    """Each SharedStore, empty."""
    if request.param == "ledger":
        ledger = Ledger(TickingClock(), epochs())
        yield Forgetful(ledger, lambda: ledger._floors.pop(KEY))
        return
    if request.param == "in memory":
        shared = InMemoryShared(TickingClock(), epochs())
        yield Forgetful(shared, lambda: shared.lose_floor(KEY))
        return
    url = request.getfixturevalue(URLS[request.param])
    async with store_on(url, observer) as store:
        yield _on_redis(url, store)


@pytest.fixture(params=[*URLS])
async def on_redis(
    request: pytest.FixtureRequest, observer: RecordingObserver
) -> AsyncIterator[Forgetful]:
    """Those whose records can be lost one by one."""
    url = request.getfixturevalue(URLS[request.param])
    async with store_on(url, observer) as store:
        yield _on_redis(url, store)


def _on_redis(url: str, store: SharedStore) -> Forgetful:
    def lose(names: list[str]) -> None:
        with client_of(url) as client:
            for name in names:
                client.delete(name)

    def names() -> list[str]:
        with client_of(url) as client:
            return sorted(name.decode() for name in keys_of(client, "*"))

    floor = f"gateway:{{{KEY.training_id}}}:f:{KEY.partition}"
    return Forgetful(store, lambda: lose([floor]), lose, names)


@pytest.mark.parametrize("how", ORDERS)
async def test_without_the_floor_nothing_is_known(forgetful: Forgetful, how: str) -> None:
    """Of what was there before an order, and of what came after it."""
    before = await forgetful.fetch()
    await forgetful.order(how)
    forgetful.lose_floor()
    assert not await forgetful.vouches(before)

    assert not await forgetful.may_rescue()
    assert (await forgetful.store.lookup(KEY)).floor is None


@pytest.mark.parametrize("how", ["all", "bound", "strike"])
async def test_an_order_tells_its_time_without_the_floor(forgetful: Forgetful, how: str) -> None:
    """So that a replica that did not hear of it rescues nobody with what is older."""
    before = await forgetful.fetch()
    await forgetful.order(how)
    forgetful.lose_floor()

    assert before.confirmed_at <= (await forgetful.store.lookup(KEY)).struck_at


@pytest.mark.parametrize("updated_at", [None, version(5)])
async def test_a_soft_order_rules_nothing_out_without_the_floor(
    forgetful: Forgetful, updated_at: Instant | None
) -> None:
    """What a replica holds may rescue, as with the floor."""
    before = await forgetful.fetch()
    await forgetful.store.invalidate(KEY.training_id, updated_at, soft=True)
    forgetful.lose_floor()

    assert (await forgetful.store.lookup(KEY)).struck_at < before.confirmed_at


async def test_an_order_spares_what_came_after_it(forgetful: Forgetful) -> None:
    """That may rescue, where a replica holds it."""
    await forgetful.order("all")
    await forgetful.fetch()
    after = await forgetful.fetch()
    forgetful.lose_floor()

    assert (await forgetful.store.lookup(KEY)).struck_at < after.confirmed_at


async def test_the_next_fetch_makes_a_floor_again(forgetful: Forgetful) -> None:
    """Under which an order that is left counts as before, in each partition."""
    await forgetful.store.invalidate(KEY.training_id, version(5))
    ticket = await forgetful.store.begin(Key("p2", KEY.training_id))

    older = await forgetful.store.store(
        Key("p2", KEY.training_id), entry_of(ticket, version(4)), KEEP
    )
    taken = await forgetful.fetch(version(5))

    assert older.verdict is StoreVerdict.OLDER
    floor = (await forgetful.store.lookup(KEY)).floor
    assert floor is not None
    assert (floor.epoch, floor.updated_at) == (taken.epoch, version(5))


async def test_what_is_stored_is_vouched_for(on_redis: Forgetful) -> None:
    """Until one of its records is lost, whichever it is: each is one that an order may be in."""
    entry = await on_redis.fetch()
    records = on_redis.names()
    assert await on_redis.vouches(entry)
    assert len(records) == 4

    for name in records:
        entry = await on_redis.fetch()
        on_redis.lose([name])
        assert await on_redis.vouches(entry) is (":b" in name), name  # confirmed without its body
        assert not await on_redis.may_rescue()


@pytest.mark.parametrize("how", ORDERS)
async def test_no_loss_brings_back_what_an_order_ruled_out(on_redis: Forgetful, how: str) -> None:
    """Any set of keys, before and after another fetch begins, which fails."""
    chance = random.Random(how)
    for number in range(40):
        before = await on_redis.fetch()
        await on_redis.order(how)
        records = on_redis.names()
        lost = chance.sample(records, chance.randint(1, len(records)))
        on_redis.lose(lost if number >= len(records) else [records[number]])
        soft = how == "soft purge"

        assert not await on_redis.vouches(before), lost
        assert soft or not await on_redis.may_rescue(), lost
        await on_redis.store.begin(KEY)
        assert not await on_redis.vouches(before), lost
        assert soft or not await on_redis.may_rescue(), lost
        on_redis.lose(on_redis.names())


@pytest.mark.parametrize("how", ORDERS)
async def test_a_fetch_from_before_an_order_that_was_lost_is_not_kept(
    on_redis: Forgetful, how: str
) -> None:
    """What it brings is refused, or found by nobody."""
    chance = random.Random(how)
    for number in range(40):
        await on_redis.fetch()
        early = entry_of(await on_redis.store.begin(KEY))
        await on_redis.order(how)
        records = on_redis.names()
        lost = chance.sample(records, chance.randint(1, len(records)))
        on_redis.lose(lost if number >= len(records) else [records[number]])
        if chance.random() < 0.5:
            await on_redis.store.begin(KEY)

        await on_redis.store.store(KEY, early, KEEP)

        assert not await on_redis.vouches(early), (number, lost)
        on_redis.lose(on_redis.names())


async def test_a_bound_given_where_an_order_was_lost_rules_out_everything(
    on_redis: Forgetful,
) -> None:
    """The one before may have."""
    entry = await on_redis.fetch()
    await on_redis.order("all")
    on_redis.lose([f"gateway:{{{KEY.training_id}}}:i"])

    await on_redis.store.invalidate(KEY.training_id, version(-1))

    assert not await on_redis.vouches(entry)


async def test_a_loss_costs_what_it_guards(on_redis: Forgetful) -> None:
    """The training of a lost event, the partition of a lost share; others go on."""
    mine = await on_redis.fetch()
    others = [Key("p1", "trn_2"), Key("p2", "trn_1")]
    for key in others:
        ticket = await on_redis.store.begin(key)
        await on_redis.store.store(key, entry_of(ticket), KEEP)
    shares = [name for name in on_redis.names() if ":x" in name and "p1" in name]

    on_redis.lose(["gateway:{trn_2}:i"])
    found = [(await on_redis.store.lookup(key)).entry is not None for key in others]
    assert (found, await on_redis.vouches(mine)) == ([False, True], True)

    on_redis.lose(shares)
    assert not await on_redis.vouches(mine)
    assert (await on_redis.store.lookup(others[1])).entry is not None
