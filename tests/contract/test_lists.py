"""SharedSweep: a page of the list compared with what is stored, in memory and on Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from gateway.adapters.ledger import Ledger, LedgerSweep
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.store import RedisStore
from gateway.adapters.redis.sweep import RedisSweep
from gateway.core.cache.entry import Entry, Key, Ticket
from gateway.core.instant import Instant
from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import Compared, SharedStore, SharedSweep
from tests.contract.conftest import URLS, epochs
from tests.doubles.clocks import RealClock, TickingClock
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
    return Listed(Training(training_id, updated_at, "", b""), DATE, as_of, 25.0)


@dataclass
class Both:
    """A store, and the sweep that compares the list with it."""

    store: SharedStore
    sweep: SharedSweep

    async def fetch(self, updated_at: Instant | None = VERSION) -> Entry:
        """Store what a single call brought that began now."""
        entry = entry_of(await self.store.begin(KEY), updated_at)
        assert not (await self.store.store(KEY, entry, KEEP)).verdict.is_refusal
        return entry

    async def now(self) -> float:
        """The store's own time."""
        return round((await self.store.begin(Key("p9", "clock"))).started, 6)

    async def page(self, updated_at: Instant = VERSION, asked_at: float | None = None) -> Compared:
        """What a page says that was asked for now."""
        at = await self.now() if asked_at is None else asked_at
        (compared,) = await self.compare([item(updated_at, at)])
        return compared

    async def compare(self, items: list[Listed], *, stores: bool = True) -> list[Compared]:
        """What a page with these items says."""
        ticket = await self.store.begin(Key("p1", "(the list)"))
        return await self.sweep.compare("p1", items, ticket, stores=stores)

    async def fill(self, updated_at: Instant = VERSION) -> StoreVerdict:
        """Store the item of a page that is asked for now."""
        at = await self.now()
        compared = await self.page(updated_at, at)
        assert compared.floor is not None
        ticket = Ticket(compared.floor.epoch, compared.floor.generation, at)
        return (await self.store.store(KEY, entry_of(ticket, updated_at), KEEP)).verdict


@pytest.fixture(params=["ledger", "in memory", *URLS])
async def both(request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    """Each implementation, empty."""
    if request.param == "ledger":
        ledger = Ledger(clock := TickingClock(), epochs(), believe_after=0.0)
        yield Both(ledger, LedgerSweep(ledger, clock, pause_after=30.0))
        return
    if request.param == "in memory":
        shared = InMemoryShared(clock := TickingClock(), epochs(), believe_after=0.0)
        yield Both(shared, InMemorySweep(shared, clock, pause_after=30.0))
        return
    url = request.getfixturevalue(URLS[request.param])
    connection = Connection(url, RealClock(), RecordingObserver(), timeout=30.0)
    assert await connection.check()
    store = RedisStore(
        connection,
        "gateway",
        RecordingObserver(),
        longest_keep=KEEP,
        longest_fetch=20.0,
        entropy=epochs(),
        believe_after=0.0,
        has_partition_invalidations=False,
    )
    times = {"longest_keep": KEEP, "longest_fetch": 20.0, "pause_after": 30.0}
    yield Both(store, RedisSweep(connection, "gateway", entropy=epochs(), **times))
    await connection.close()


async def test_an_unknown_training_gets_a_floor_only_to_be_stored(both: Both) -> None:
    """Then the item is stored like a single answer."""
    unknown = item(VERSION, await both.now())
    assert await both.compare([unknown], stores=False) == [Compared(UNKNOWN, None, is_held=False)]
    assert (await both.store.lookup(KEY)).floor is None

    assert await both.fill() is StoreVerdict.FIRST

    assert (await both.page()).verdict is CONFIRMED


async def test_each_training_of_a_page_has_its_own_verdict(both: Both) -> None:
    """However many of them are compared in one step, and whatever is stored of the others."""
    ids = [f"trn_{number}" for number in range(1, 50)]
    for number, training_id in enumerate(ids):
        if number % 3:  # every third one is unknown
            ticket = await both.store.begin(Key("p1", training_id))
            entry = entry_of(ticket, version(number % 3))
            await both.store.store(Key("p1", training_id), entry, KEEP)
    at = await both.now()
    items = [item(version(2), at, each) for each in ids]

    compared = await both.compare(items)

    expected = [(UNKNOWN, NEWER, CONFIRMED)[number % 3] for number in range(len(ids))]
    assert [each.verdict for each in compared] == expected
    assert [each.is_held for each in compared] == [each is not UNKNOWN for each in expected]


@pytest.mark.parametrize("both", ["ledger", "in memory", "redis"], indirect=True)
async def test_a_miss_under_way_is_no_order(both: Both) -> None:
    """Its ticket makes the record of orders, and no order was given."""
    at = await both.now()
    await both.store.begin(KEY)
    await both.store.begin(Key("p2", "trn_1"))

    assert (await both.page(asked_at=at)).verdict is UNKNOWN


async def test_the_version_known_is_renewed(both: Both) -> None:
    """Times are the page's, header fields and body the single answer's: in what is read as in
    what other replicas hold."""
    entry = await both.fetch()
    at = await both.now()

    compared = await both.page(asked_at=at)

    assert compared.verdict is CONFIRMED
    assert compared.is_held
    renewed = entry.but(date=DATE, confirmed_at=at, freshness_lifetime=25.0)
    assert compared.floor is not None
    assert compared.floor.started == pytest.approx(at)
    if both.store.holds_bodies:
        assert (await both.store.lookup(KEY)).entry == renewed
        standing = (await both.store.confirm([KEY]))[KEY]
        assert standing is not None
        assert entry.confirmed_by(standing.floor, standing.last()) == renewed


async def test_a_renewal_is_renewed_again(both: Both) -> None:
    """The last page counts, and a single answer after it counts more."""
    entry = await both.fetch()
    for _ in range(3):
        assert (await both.page()).verdict is CONFIRMED
    later = await both.fetch()

    standing = (await both.store.confirm([KEY]))[KEY]

    assert standing is not None
    assert standing.floor.started == pytest.approx(later.confirmed_at)
    if both.store.holds_bodies:
        confirmed = entry.confirmed_by(standing.floor, standing.last())
        assert confirmed == later


async def test_a_later_version_is_stored_and_raises_nothing_before(both: Both) -> None:
    """What is stored stays current until the item or a single answer replaces it."""
    entry = await both.fetch()

    compared = await both.page(version(1))

    assert compared.verdict is NEWER
    floor = (await both.store.lookup(KEY)).floor
    assert floor is not None
    assert not entry.is_below(floor)
    assert await both.fill(version(1)) is StoreVerdict.CHANGED


async def test_only_a_single_answer_brings_back_what_was_gone(both: Both) -> None:
    """A list that lags shows a deleted training for a while."""
    await both.fetch(None)

    assert (await both.page()).verdict is DOUBTFUL


@pytest.mark.parametrize("later", [-1, 10**13])
async def test_an_older_or_far_later_version_decides_nothing(both: Both, later: int) -> None:
    """A single call has to tell; what is known stays."""
    await both.fetch(version())
    now = await both.now()
    known = Instant(round(now * 1e9)) if later > 0 else version()
    before = (await both.store.lookup(KEY)).floor

    compared = await both.page(Instant(known + later), asked_at=now)

    assert compared.verdict is DOUBTFUL
    assert (await both.store.lookup(KEY)).floor == before


async def test_a_page_asked_for_before_a_fetch_says_nothing(both: Both) -> None:
    """Whatever version it shows."""
    before = await both.now()
    await both.fetch()

    assert (await both.page(asked_at=before)).verdict is PASSED
    assert (await both.page(version(1), asked_at=before)).verdict is PASSED


async def test_a_page_asked_for_before_an_order_with_a_version_says_nothing(both: Both) -> None:
    """A page after it brings that version, or is doubtful."""
    await both.fetch()
    before = await both.now()
    await both.store.invalidate("trn_1", version(1))

    assert (await both.page(version(2), asked_at=before)).verdict is PASSED
    assert (await both.page()).verdict is DOUBTFUL
    assert await both.fill(version(1)) is StoreVerdict.CHANGED


@pytest.mark.parametrize("is_stored", [True, False])
@pytest.mark.parametrize("soft", [True, False])
async def test_an_order_without_a_version_is_ended_by_a_single_answer(
    both: Both, is_stored: bool, soft: bool
) -> None:
    """Never by a page, however late it was asked for: the list may lag."""
    if is_stored:
        await both.fetch()
    await both.store.invalidate("trn_1", None, soft=soft)

    verdicts = [(await both.page(version(each))).verdict for each in (0, 1)]
    await both.fetch()

    assert verdicts == [PASSED, PASSED]
    assert (await both.page()).verdict is CONFIRMED


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("partition", [None, KEY.partition])
async def test_a_page_asked_for_before_a_purge_says_nothing(
    both: Both, partition: str | None, soft: bool
) -> None:
    """Of what it purged. A page that was asked for after it is stored."""
    await both.fetch()
    before = await both.now()
    await both.store.purge(partition, soft=soft)

    assert (await both.page(asked_at=before)).verdict is PASSED
    assert await both.fill() is StoreVerdict.FIRST


async def test_an_order_after_the_comparison_rules_the_item_out(both: Both) -> None:
    """The floor that the comparison returned is the ticket."""
    at = await both.now()
    compared = await both.page(asked_at=at)
    assert compared.floor is not None
    await both.store.invalidate("trn_1", None)

    ticket = Ticket(compared.floor.epoch, compared.floor.generation, at)
    stored = await both.store.store(KEY, entry_of(ticket), KEEP)

    assert stored.verdict is StoreVerdict.INVALIDATED


async def test_each_of_a_page_is_judged_by_itself(both: Both) -> None:
    """In the order of the page."""
    await both.fetch()
    at = await both.now()
    items = [item(VERSION, at, f"trn_{n}") for n in (0, 1, 2)]

    compared = await both.compare(items)

    assert [each.verdict for each in compared] == [UNKNOWN, CONFIRMED, UNKNOWN]


@pytest.mark.parametrize("both", list(URLS), indirect=True)
async def test_a_page_confirms_an_entry_from_before_the_clock_of_redis_was_set_back(
    both: Both,
) -> None:
    """The floor has the present time again. Other stores have a clock that is never set."""
    ticket = await both.store.begin(KEY)
    ahead = entry_of(replace(ticket, started=ticket.started + 3_600.0))
    await both.store.store(KEY, ahead, KEEP)

    compared = await both.page()

    assert compared.verdict is CONFIRMED
    assert compared.floor is not None
    assert compared.floor.started < ticket.started + 60.0
