"""SharedStore: what is stored, what an order rules out, and what is believed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from gateway.adapters.ledger import Ledger
from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.marks import State, Version, state_of
from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import SharedStore
from tests.contract.conftest import URLS, epochs, store_on
from tests.doubles.clocks import TickingClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.shared import InMemoryShared
from tests.doubles.stored import entry_of
from tests.support.redis_cluster import client_of, keys_of
from tests.support.redis_writes import Written, written

__all__ = ["written"]

KEY = Key("p1", "trn_1")
BESIDE = Key("p2", "trn_1")
OLD, NEW, NEWEST = Instant(1_000), Instant(2_000), Instant(3_000)
BELIEVE_AFTER = 60.0
KEEP = 600.0


@pytest.fixture(params=["ledger", "in memory", *URLS])
async def shared_store(
    request: pytest.FixtureRequest, observer: RecordingObserver
) -> AsyncIterator[SharedStore]:
    """Each SharedStore, empty; the double in memory as well, because the tests of flow trust it."""
    if request.param == "ledger":
        yield Ledger(TickingClock(), epochs(), believe_after=BELIEVE_AFTER)
    elif request.param == "in memory":
        yield InMemoryShared(TickingClock(), epochs(), believe_after=BELIEVE_AFTER)
    else:
        async with store_on(request.getfixturevalue(URLS[request.param]), observer) as store:
            yield store


async def fetch(
    store: SharedStore, version: Version, key: Key = KEY, *, before: float = 0.0
) -> Entry:
    """An answer whose fetch begins now, or so many seconds before."""
    start = await store.begin(key)
    return entry_of(start._replace(started=start.started - before), version)


async def offer(store: SharedStore, entry: Entry, key: Key = KEY) -> StoreVerdict:
    """What becomes of it."""
    return (await store.store(key, entry.facts, entry, KEEP)).verdict


async def fill(store: SharedStore, version: Version, key: Key = KEY) -> Entry:
    """An answer that is stored."""
    entry = await fetch(store, version, key)
    assert not (await offer(store, entry, key)).is_refusal
    return entry


async def state(store: SharedStore, key: Key = KEY) -> State | None:
    """The state of what is stored, as a look-up and a confirmation say. None: nothing is stored."""
    found = await store.lookup(key)
    assert (await store.confirm([key]))[key] == found._replace(entry=None)
    return None if found.stored is None else state_of(found.stored, found.marks)


async def test_an_answer_is_current_as_it_was_stored(shared_store: SharedStore) -> None:
    """Facts, words and body come back the same."""
    entry = await fetch(shared_store, NEW)
    assert await state(shared_store) is None
    assert await offer(shared_store, entry) is StoreVerdict.FIRST

    found = await shared_store.lookup(KEY)

    assert found.stored == entry.facts
    assert found.entry == (entry if shared_store.holds_bodies else None)
    assert await state(shared_store) is State.CURRENT


async def test_verdicts_tell_what_changed(shared_store: SharedStore) -> None:
    """By the version alone."""
    said = [await offer(shared_store, await fetch(shared_store, each)) for each in (OLD, OLD, NEW)]
    said += [await offer(shared_store, await fetch(shared_store, each)) for each in (None, None)]

    changed, unchanged = StoreVerdict.CHANGED, StoreVerdict.UNCHANGED
    assert said == [StoreVerdict.FIRST, unchanged, changed, changed, unchanged]


async def test_an_answer_whose_marks_were_not_read_is_not_stored(shared_store: SharedStore) -> None:
    """Storing makes no mark."""
    entry = await fetch(shared_store, NEW, BESIDE)
    entry = entry.but(ticket=entry.ticket._replace(training=entry.ticket.everything))

    assert await offer(shared_store, entry) is StoreVerdict.INVALIDATED
    assert await state(shared_store) is None


async def test_an_answer_that_must_not_be_stored_ends_what_is(shared_store: SharedStore) -> None:
    """And what earlier fetches bring."""
    early = await fetch(shared_store, NEW)
    await fill(shared_store, NEW)
    facts = (await fetch(shared_store, None)).facts

    await shared_store.store(KEY, facts, None, KEEP)

    found = await shared_store.lookup(KEY)
    assert (found.stored, found.entry) == (facts, None)
    assert await offer(shared_store, early) is StoreVerdict.INVALIDATED
    await fill(shared_store, NEW)


ABOUT = [("trn_1", None), (None, "p1"), (None, None)]


@pytest.mark.parametrize(("training_id", "partition"), ABOUT)
async def test_an_order_says_whether_there_was_a_mark(
    shared_store: SharedStore, training_id: str | None, partition: str | None
) -> None:
    """So an operator learns of a wrong partition."""
    said = [await shared_store.order(training_id, partition, None, is_hard=True) for _ in range(2)]

    assert said == [False, True]


@pytest.mark.parametrize("about", ABOUT, ids=str)
@pytest.mark.parametrize("is_hard", [True, False])
async def test_an_order_rules_out_what_was_read_before(
    shared_store: SharedStore, about: tuple[str | None, str | None], is_hard: bool
) -> None:
    """Stored or in flight; a hard one leaves nothing, a soft one leaves it for rescue."""
    store = shared_store
    await fill(store, NEW)
    await fill(store, NEW, BESIDE)
    late = await fetch(store, NEW)

    await store.order(*about, None, is_hard=is_hard)

    left = State.GONE if is_hard else State.RESCUE
    assert await state(store) is left
    assert await state(store, BESIDE) is (State.CURRENT if about[1] else left)
    await offer(store, late)
    assert await state(store) is left
    await fill(store, NEW)
    assert await state(store) is State.CURRENT


@pytest.mark.parametrize("is_hard", [True, False])
async def test_an_order_with_a_version_rules_out_the_versions_below(
    shared_store: SharedStore, is_hard: bool
) -> None:
    """And every 404; not that version. Bounds only rise."""
    await fill(shared_store, OLD)
    await fill(shared_store, None, BESIDE)

    for version in (NEW, OLD):
        await shared_store.order("trn_1", None, version, is_hard=is_hard)

    assert await state(shared_store) is (State.GONE if is_hard else State.RESCUE)
    assert await state(shared_store, BESIDE) is State.GONE
    await fill(shared_store, NEW)
    assert await state(shared_store) is State.CURRENT


@pytest.mark.parametrize("is_hard", [True, False])
async def test_an_order_with_a_version_leaves_that_version(
    shared_store: SharedStore, is_hard: bool
) -> None:
    """It stays current."""
    await fill(shared_store, NEW)

    await shared_store.order("trn_1", None, NEW, is_hard=is_hard)

    assert await state(shared_store) is State.CURRENT


async def test_a_hard_order_forgets_the_bounds(shared_store: SharedStore) -> None:
    """The next answer is stored, whatever its version."""
    await shared_store.order("trn_1", None, NEW, is_hard=True)
    await shared_store.order("trn_1", None, None, is_hard=True)

    await fill(shared_store, OLD)
    assert await state(shared_store) is State.CURRENT


async def test_a_soft_order_keeps_the_bounds(shared_store: SharedStore) -> None:
    """An answer below them is refused."""
    await shared_store.order("trn_1", None, NEW, is_hard=False)
    await shared_store.order("trn_1", None, None, is_hard=False)

    assert await offer(shared_store, await fetch(shared_store, OLD)) is StoreVerdict.OLDER


async def test_an_older_version_is_refused(shared_store: SharedStore) -> None:
    """What is stored stays."""
    entry = await fill(shared_store, NEW)

    assert await offer(shared_store, await fetch(shared_store, OLD)) is StoreVerdict.OLDER

    assert (await shared_store.lookup(KEY)).stored == entry.facts


async def test_an_equal_version_of_an_earlier_fetch_changes_nothing(
    shared_store: SharedStore,
) -> None:
    """Nor does an earlier 404."""
    early, gone = await fetch(shared_store, NEW), await fetch(shared_store, None)
    entry = await fill(shared_store, NEW)

    assert await offer(shared_store, early) is StoreVerdict.UNCHANGED
    assert await offer(shared_store, gone) is StoreVerdict.INVALIDATED

    assert (await shared_store.lookup(KEY)).stored == entry.facts


async def test_a_start_in_the_future_does_not_count(shared_store: SharedStore) -> None:
    """The clock was set back."""
    ahead = await fetch(shared_store, NEW, before=-3_600.0)
    await offer(shared_store, ahead)

    entry = await fill(shared_store, NEW)

    assert (await shared_store.lookup(KEY)).stored == entry.facts


@pytest.mark.parametrize("is_hard", [True, False])
async def test_a_version_that_comes_again_is_believed(
    shared_store: SharedStore, is_hard: bool
) -> None:
    """By a fetch that began long enough after the refusal; bounds sink, and another tenant's entry
    is not current again."""
    await fill(shared_store, OLD, BESIDE)
    await shared_store.order("trn_1", None, NEW, is_hard=is_hard)
    assert await offer(shared_store, await fetch(shared_store, OLD)) is StoreVerdict.OLDER
    assert await offer(shared_store, await fetch(shared_store, OLD)) is StoreVerdict.OLDER

    later = await fetch(shared_store, OLD, before=-BELIEVE_AFTER - 1.0)
    stored = await shared_store.store(KEY, later.facts, later, KEEP)

    assert stored.verdict is StoreVerdict.BELIEVED
    assert await state(shared_store) is State.CURRENT
    assert (await shared_store.lookup(KEY)).stored == stored.facts
    assert await state(shared_store, BESIDE) is (State.GONE if is_hard else State.RESCUE)


async def test_an_order_ends_the_belief(shared_store: SharedStore) -> None:
    """What was fetched before it is neither believed nor noted."""
    await fill(shared_store, NEW)
    await offer(shared_store, await fetch(shared_store, OLD))
    late = await fetch(shared_store, OLD, before=-BELIEVE_AFTER - 1.0)
    await shared_store.order("trn_1", None, NEWEST, is_hard=False)

    assert await offer(shared_store, late) is StoreVerdict.OLDER


async def test_an_item_of_the_list_is_no_refusal(shared_store: SharedStore) -> None:
    """An older version in the list is not noted, however often it comes."""
    await fill(shared_store, NEW)
    for seconds in (0.0, BELIEVE_AFTER + 1.0, 3 * BELIEVE_AFTER):
        item = await fetch(shared_store, OLD, before=-seconds)
        stored = await shared_store.store(KEY, item.facts, item, KEEP, is_item=True)
        assert stored.verdict is StoreVerdict.OLDER


@pytest.mark.parametrize("url", URLS.values())
@pytest.mark.parametrize("which", [0, 1, 2])
async def test_a_lost_mark_is_an_order(
    request: pytest.FixtureRequest, observer: RecordingObserver, url: str, which: int
) -> None:
    """Nothing that was read before is current, before and after the mark is made again."""
    address = request.getfixturevalue(url)
    async with store_on(address, observer) as store:
        await fill(store, NEW)
        late = await fetch(store, NEW)
        with client_of(address) as client:
            client.delete(("gateway:g2:all", "gateway:g2:p:p1", "gateway:g2:{trn_1}:m")[which])

        assert await state(store) is State.GONE
        await offer(store, late)
        await asyncio.sleep(1.1)  # the words of a look-up are used for a second
        await store.begin(KEY)
        assert await state(store) is State.GONE


@pytest.mark.parametrize("url", URLS.values())
async def test_no_loss_brings_back_what_an_order_ruled_out(
    request: pytest.FixtureRequest, observer: RecordingObserver, url: str
) -> None:
    """Any set of records, before and after an answer from before the order is offered."""
    address, chance = request.getfixturevalue(url), random.Random(url)
    async with store_on(address, observer) as store:
        for _ in range(40):
            await fill(store, NEW)
            late = await fetch(store, NEW)
            await store.order(*chance.choice(ABOUT), None, is_hard=True)
            with client_of(address) as client:
                names = sorted(keys_of(client, "gateway:g2:*"))
                list(map(client.delete, chance.sample(names, chance.randint(1, len(names)))))
            assert await state(store) in {None, State.GONE}
            await offer(store, late)
            assert await state(store) in {None, State.GONE}


async def test_each_step_is_one_round_trip(
    redis_url: str, observer: RecordingObserver, written: Written
) -> None:
    """A look-up of three marks and an entry, the start of a fetch, storing, and an order."""
    async with store_on(redis_url, observer) as store:
        await fill(store, NEW)  # Redis remembers the scripts
        await store.order("trn_1", None, OLD, is_hard=False)

        written.clear()
        await store.lookup(KEY)
        entry = await fetch(store, NEW)
        assert await offer(store, entry) is StoreVerdict.UNCHANGED
        await store.order("trn_1", None, NEW, is_hard=True)

        assert written.total() == 4


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_foreign_bytes_are_overwritten(
    redis_url: str, observer: RecordingObserver, which: int
) -> None:
    """Of another type, and of the right length."""
    async with store_on(redis_url, observer) as store:
        for foreign in (b"x" * 94, b"x" * 208, b"x" * 500, None):
            with client_of(redis_url) as client:
                name = f"gateway:g2:{{trn_1}}:{('m', 'e:p1', 'r:p1')[which]}"
                client.delete(name)
                client.lpush(name, "x") if foreign is None else client.set(name, foreign)

            assert await state(store) is not State.CURRENT or which == 2
            await fill(store, NEW)
            assert await state(store) is State.CURRENT
