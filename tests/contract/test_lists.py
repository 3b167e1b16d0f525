"""SharedSweep: a page of the list compared with what is stored, in memory and on Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from gateway.adapters.ledger import Ledger, LedgerSweep
from gateway.adapters.redis.sweep import RedisSweep
from gateway.core.cache.entry import Entry, FetchStart, Key
from gateway.core.cache.marks import State, Ticket, state_of
from gateway.core.instant import Instant
from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import Compared, SharedStore, SharedSweep
from tests.contract.conftest import URLS, epochs, store_on
from tests.doubles.clocks import TickingClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.shared import InMemoryShared, InMemorySweep
from tests.doubles.stored import VERSION, entry_of, version

KEY = Key("p1", "trn_1")
KEEP = 600.0
DATE = "Wed, 15 Nov 2023 08:00:00 GMT"
CONFIRMED, NEWER, DOUBTFUL = ListVerdict.CONFIRMED, ListVerdict.NEWER, ListVerdict.DOUBTFUL
PASSED, UNKNOWN = ListVerdict.PASSED, ListVerdict.UNKNOWN


def item(updated_at: Instant, as_of: float, training_id: str = "trn_1") -> Listed:
    """An item of a page that speaks for that moment."""
    return Listed(Training(training_id, updated_at, "", b""), DATE, as_of)


@dataclass
class Both:
    """A store, and the sweep that compares the list with it."""

    store: SharedStore
    sweep: SharedSweep

    async def fetch(self, updated_at: Instant | None = VERSION) -> Entry:
        """Store what a single call brought that began now."""
        entry = entry_of(await self.store.begin(KEY), updated_at)
        assert not (await self.store.store(KEY, entry.facts, entry, KEEP)).verdict.is_refusal
        return entry

    async def asked(self) -> FetchStart:
        """The start of a page that is asked for now."""
        start = await self.store.begin(Key("p1", "(the list)"))
        return start._replace(started=round(start.started, 6))

    async def page(
        self, updated_at: Instant = VERSION, asked: FetchStart | None = None
    ) -> Compared:
        """What a page says that was asked for then, or now."""
        start = asked or await self.asked()
        (compared,) = await self.compare([item(updated_at, start.started)], start.ticket)
        return compared

    async def compare(
        self, items: list[Listed], page: Ticket, *, stores: bool = True
    ) -> list[Compared]:
        """What a page with these items says."""
        return await self.sweep.compare("p1", items, page, stores=stores)

    async def fill(
        self, updated_at: Instant = VERSION, asked: FetchStart | None = None
    ) -> StoreVerdict | None:
        """Store the item of a page. None if it cannot be stored."""
        start = asked or await self.asked()
        compared = await self.page(updated_at, start)
        if compared.ticket is None:
            return None
        entry = entry_of(FetchStart(start.started, compared.ticket), updated_at)
        return (await self.store.store(KEY, entry.facts, entry, KEEP, is_item=True)).verdict

    async def state(self) -> State:
        """The state of what is stored."""
        found = await self.store.lookup(KEY)
        assert found.stored is not None
        return state_of(found.stored, found.marks)


@pytest.fixture(params=["ledger", "in memory", *URLS])
async def both(request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    """Each implementation, empty."""
    if request.param == "ledger":
        ledger = Ledger(clock := TickingClock(), epochs())
        yield Both(ledger, LedgerSweep(ledger, clock, pause_after=30.0))
    elif request.param == "in memory":
        shared = InMemoryShared(clock := TickingClock(), epochs())
        yield Both(shared, InMemorySweep(shared, clock, pause_after=30.0))
    else:
        url = request.getfixturevalue(URLS[request.param])
        async with store_on(url, RecordingObserver()) as store:
            yield Both(store, RedisSweep(store, pause_after=30.0, keep=KEEP))


async def test_an_unknown_training_gets_a_mark_only_to_be_stored(both: Both) -> None:
    """Then the item is stored like a single answer."""
    start = await both.asked()
    (compared,) = await both.compare([item(VERSION, start.started)], start.ticket, stores=False)
    assert (compared.verdict, compared.ticket, compared.is_held) == (UNKNOWN, None, False)
    assert (await both.store.lookup(KEY)).marks.training is None

    assert await both.fill() is StoreVerdict.FIRST

    assert await both.state() is State.CURRENT
    assert (await both.page()).verdict is CONFIRMED


async def test_a_mark_of_another_partition_keeps_no_item_out(both: Both) -> None:
    """The keys of a training share its mark: the first fetch makes it. After an order, a single
    answer comes first."""
    other = Key("p2", KEY.training_id)
    entry = entry_of(await both.store.begin(other))
    await both.store.store(other, entry.facts, entry, KEEP)

    assert await both.fill() is StoreVerdict.FIRST

    await both.store.order(KEY.training_id, None, None, is_hard=True)
    assert await both.fill() is None


async def test_a_purge_rules_a_page_out(both: Both) -> None:
    """Also if the page was asked for before it, and compared after it."""
    start = await both.asked()
    await both.store.order(None, "p1", None, is_hard=True)

    assert await both.fill(asked=start) is None


async def test_each_training_of_a_page_has_its_own_verdict(both: Both) -> None:
    """In the order of the page, and whatever is stored of the others."""
    ids = [f"trn_{number}" for number in range(1, 50)]
    for number, training_id in enumerate(ids):
        if number % 3:  # every third one is unknown
            key = Key("p1", training_id)
            entry = entry_of(await both.store.begin(key), version(number % 3))
            await both.store.store(key, entry.facts, entry, KEEP)
    start = await both.asked()
    items = [item(version(2), start.started, each) for each in ids]

    compared = await both.compare(items, start.ticket)

    expected = [(UNKNOWN, NEWER, CONFIRMED)[number % 3] for number in range(len(ids))]
    assert [each.verdict for each in compared] == expected
    assert [each.is_held for each in compared] == [each is not UNKNOWN for each in expected]


async def test_the_stored_version_is_confirmed(both: Both) -> None:
    """Date and time are the page's, all else the single answer's. An older page takes nothing
    back."""
    entry, early = await both.fetch(), await both.asked()
    start = await both.asked()

    for asked in (start, early):
        compared = await both.page(asked=asked)

    assert (compared.verdict, compared.is_held) == (CONFIRMED, True)
    found = await both.store.lookup(KEY)
    assert found.stored is not None
    assert found.stored.confirmed == pytest.approx(start.started)
    assert found.stored.started == entry.started
    if both.store.holds_bodies:
        assert found.entry == entry.renewed_by(found.stored)


async def test_a_later_version_is_stored_and_rules_out_nothing_before(both: Both) -> None:
    """What is stored stays current until the item or a single answer replaces it."""
    await both.fetch()

    assert (await both.page(version(1))).verdict is NEWER

    assert await both.state() is State.CURRENT
    assert await both.fill(version(1)) is StoreVerdict.CHANGED


async def test_only_a_single_answer_brings_back_what_was_gone(both: Both) -> None:
    """A list that lags shows a deleted training for a while."""
    await both.fetch(None)

    assert (await both.page()).verdict is DOUBTFUL


@pytest.mark.parametrize("seconds", [-1, 10_000])
async def test_an_older_or_far_later_version_decides_nothing(both: Both, seconds: int) -> None:
    """A single call has to tell; what is known stays."""
    start = await both.asked()
    now = round(start.started) * 10**9
    await both.fetch(Instant(now))
    before = await both.store.lookup(KEY)

    assert (await both.page(Instant(now + seconds * 10**9))).verdict is DOUBTFUL

    assert await both.store.lookup(KEY) == before


async def test_a_page_asked_for_before_a_fetch_says_nothing(both: Both) -> None:
    """Whatever version it shows."""
    before = await both.asked()
    await both.fetch()

    for updated_at in (VERSION, version(1)):
        compared = await both.page(updated_at, before)
        assert (compared.verdict, compared.ticket) == (PASSED, None)


async def test_a_page_after_an_order_with_a_version_brings_that_version(both: Both) -> None:
    """An older one is doubtful."""
    await both.fetch()
    await both.store.order("trn_1", None, version(1), is_hard=True)

    assert (await both.page()).verdict is DOUBTFUL
    assert await both.fill(version(1)) is StoreVerdict.CHANGED


@pytest.mark.parametrize("is_stored", [True, False])
@pytest.mark.parametrize("is_hard", [True, False])
async def test_an_order_without_a_version_is_ended_by_a_single_answer(
    both: Both, is_stored: bool, is_hard: bool
) -> None:
    """Never by a page, however late it was asked for: the list may lag."""
    if is_stored:
        await both.fetch()
    await both.store.order("trn_1", None, None, is_hard=is_hard)

    assert [await both.fill(version(each)) for each in (0, 1)] == [None, None]

    await both.fetch()
    assert (await both.page()).verdict is CONFIRMED


@pytest.mark.parametrize("is_hard", [True, False])
@pytest.mark.parametrize("partition", [None, KEY.partition])
async def test_a_page_asked_for_before_a_purge_brings_nothing(
    both: Both, partition: str | None, is_hard: bool
) -> None:
    """A page that was asked for after it is stored. After a hard purge its version may be any."""
    await both.fetch(version(1))
    before = await both.asked()
    await both.store.order(None, partition, None, is_hard=is_hard)

    await both.fill(version(1), before)
    assert await both.state() is not State.CURRENT
    await both.fill(VERSION if is_hard else version(1))
    assert await both.state() is State.CURRENT


async def test_an_order_after_the_comparison_rules_the_item_out(both: Both) -> None:
    """The words that the comparison returned are the item's."""
    start = await both.asked()
    compared = await both.page(asked=start)
    assert compared.ticket is not None
    await both.store.order("trn_1", None, None, is_hard=True)

    entry = entry_of(FetchStart(start.started, compared.ticket))
    stored = await both.store.store(KEY, entry.facts, entry, KEEP, is_item=True)

    assert stored.verdict is StoreVerdict.INVALIDATED


async def test_without_words_from_before_its_moment_a_page_stores_nothing(both: Both) -> None:
    """An order may have come between; what is stored is confirmed all the same."""
    start = await both.asked()

    (compared,) = await both.compare([item(VERSION, start.started)], Ticket())

    assert (compared.verdict, compared.ticket) == (UNKNOWN, None)
    assert (await both.store.lookup(KEY)).marks.training is None
