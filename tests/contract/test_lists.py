"""ListStore: a page of the list held against what is stored; on the ledger, in memory, on Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from gateway.adapters.ledger import Ledger, LedgerLists
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.store import RedisStore
from gateway.adapters.redis.sweep import RedisLists
from gateway.core.cache.entry import Entry, Key
from gateway.core.instant import Instant
from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import Compared, ListStore, SharedStore
from tests.contract.conftest import URLS, epochs
from tests.doubles.clocks import RealClock, TickingClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.shared import InMemoryLists, InMemoryShared
from tests.doubles.stored import VERSION, entry_of, version

KEY = Key("p1", "trn_1")
KEEP = 600.0
DATE = "Wed, 15 Nov 2023 08:00:00 GMT"
CONFIRMED, NEWER, DOUBTFUL = ListVerdict.CONFIRMED, ListVerdict.NEWER, ListVerdict.DOUBTFUL
PASSED, UNKNOWN = ListVerdict.PASSED, ListVerdict.UNKNOWN


@dataclass
class Both:
    """A store and the list's way to it."""

    store: SharedStore
    lists: ListStore

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
        item = Listed("trn_1", updated_at, "0" * 32, DATE, at, 2.0, 25.0)
        (compared,) = await self.lists.compare("p1", [item], KEEP)
        return compared


@pytest.fixture(params=["ledger", "in memory", *URLS])
async def both(request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    """Each implementation, empty."""
    if request.param == "ledger":
        ledger = Ledger(TickingClock(), epochs(), believe_after=0.0)
        yield Both(ledger, LedgerLists(ledger))
        return
    if request.param == "in memory":
        shared = InMemoryShared(TickingClock(), epochs(), believe_after=0.0)
        yield Both(shared, InMemoryLists(shared))
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
    yield Both(store, RedisLists(connection, "gateway", longest_keep=KEEP))
    await connection.close()


@pytest.mark.parametrize("both", ["cluster"], indirect=True)
async def test_the_times_of_a_page_are_on_the_shared_clock(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the clock of the training's node is ahead of it."""
    monkeypatch.setattr(Connection, "skew", lambda self, name: 2.0)
    await both.fetch()
    at = await both.now()

    compared = await both.page(asked_at=at)

    last = compared.last()
    assert compared.verdict is CONFIRMED
    assert compared.floor is not None
    assert last is not None
    assert [compared.floor.started, last.confirmed_at] == pytest.approx([at, at], abs=0.001)


async def test_what_nobody_fetched_is_unknown(both: Both) -> None:
    """The list makes no floor of its own, and renews nothing that an order left."""
    assert await both.page() == Compared(UNKNOWN, None, is_held=False)
    assert (await both.store.lookup(KEY)).floor is None

    await both.fetch()
    await both.store.drop(KEY)

    assert (await both.page()).verdict is UNKNOWN


async def test_each_training_of_a_page_has_its_own_verdict(both: Both) -> None:
    """However many of them are compared in one step, and whatever is stored of the others."""
    ids = [f"trn_{number}" for number in range(1, 50)]
    for number, training_id in enumerate(ids):
        if number % 3:  # every third one is unknown
            ticket = await both.store.begin(Key("p1", training_id))
            entry = entry_of(ticket, version(number % 3))
            await both.store.store(Key("p1", training_id), entry, KEEP)
    at = await both.now()
    items = [Listed(each, version(2), "0" * 32, DATE, at, 2.0, 25.0) for each in ids]

    compared = await both.lists.compare("p1", items, KEEP)

    expected = [(UNKNOWN, NEWER, CONFIRMED)[number % 3] for number in range(len(ids))]
    assert [each.verdict for each in compared] == expected
    assert [each.is_held for each in compared] == [each is not UNKNOWN for each in expected]
    known = [each.floor for each in compared if each.floor is not None]
    assert {floor.updated_at for floor in known} == {version(2)}


async def test_the_version_known_is_renewed(both: Both) -> None:
    """Times are the page's, header fields and body the single answer's: in what is read as in
    what other replicas hold."""
    entry = await both.fetch()
    at = await both.now()

    compared = await both.page(asked_at=at)

    assert compared.verdict is CONFIRMED
    assert compared.is_held
    renewed = entry.but(date=DATE, confirmed_at=at, initial_age=2.0, freshness_lifetime=25.0)
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


async def test_a_later_version_raises_the_floor(both: Both) -> None:
    """What is stored is below it, and there to rescue; the next fetch brings the new one."""
    entry = await both.fetch()

    compared = await both.page(version(1))

    assert compared.verdict is NEWER
    found = await both.store.lookup(KEY)
    assert found.floor == compared.floor
    assert found.floor is not None
    assert entry.is_below(found.floor)
    assert (found.entry is not None) is both.store.holds_bodies
    new = entry_of(await both.store.begin(KEY), version(1))
    assert (await both.store.store(KEY, new, KEEP)).verdict is StoreVerdict.CHANGED


async def test_a_claim_of_the_list_alone_is_newer_until_it_is_borne_out(both: Both) -> None:
    """A page that repeats it confirms nothing: what is stored is still below it."""
    await both.fetch()

    verdicts = [(await both.page(version(1))).verdict for _ in range(2)]
    await both.fetch(version(1))

    assert verdicts == [NEWER, NEWER]
    assert (await both.page(version(1))).verdict is CONFIRMED


@pytest.mark.parametrize("claims", [(1,), (1, 2), (1, 1)])
async def test_a_claim_that_is_taken_back_leaves_what_is_stored(
    both: Both, claims: tuple[int, ...]
) -> None:
    """As good as before, and the next answer of its version is taken."""
    entry = await both.fetch()
    for each in claims:
        await both.page(version(each))

    assert not await both.lists.take_back(KEY, version(9))
    for _ in range(2):  # the first reply may have been lost
        assert await both.lists.take_back(KEY, version(claims[-1]))

    floor = (await both.store.lookup(KEY)).floor
    assert floor is not None
    assert (floor.updated_at, floor.digest) == (entry.updated_at, entry.digest)
    assert not entry.is_below(floor)
    assert (await both.page()).verdict is CONFIRMED
    assert not await both.lists.take_back(KEY, version())
    same = entry_of(await both.store.begin(KEY))
    assert (await both.store.store(KEY, same, KEEP)).verdict is StoreVerdict.UNCHANGED


async def test_what_others_said_since_is_not_taken_back(both: Both) -> None:
    """A single answer, an order or a purge; nor what was unknown before."""
    await both.fetch()
    await both.page(version(1))
    await both.store.invalidate("trn_1", version(1))
    assert not await both.lists.take_back(KEY, version(1))
    await both.fetch(version(1))
    await both.page(version(2))
    await both.fetch(version(2))
    assert not await both.lists.take_back(KEY, version(2))
    await both.page(version(3))
    await both.store.drop(KEY)
    assert not await both.lists.take_back(KEY, version(3))
    assert not await both.lists.take_back(Key("p1", "trn_2"), version(3))


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_claim_that_is_taken_back_leaves_a_soft_order(both: Both, is_first: bool) -> None:
    """Its version is between the stored one and that of the list. It came before the page or after
    it. The stored response stays ruled out until a fetch brings that version."""
    entry = await both.fetch()
    if not is_first:
        await both.page(version(2))
    await both.store.invalidate("trn_1", version(1), soft=True)
    if is_first:
        await both.page(version(2))

    for _ in range(2):  # the first reply may have been lost
        assert await both.lists.take_back(KEY, version(2))

    floor = (await both.store.lookup(KEY)).floor
    assert floor is not None
    assert floor.updated_at == version(1)
    assert entry.is_below(floor)
    assert not await both.lists.take_back(KEY, version(1))
    asked_for = entry_of(await both.store.begin(KEY), version(1))
    assert (await both.store.store(KEY, asked_for, KEEP)).verdict is StoreVerdict.CHANGED


async def test_a_fetch_begun_before_the_page_may_bring_that_version(both: Both) -> None:
    """The raise is no answer that it would have to be later than."""
    await both.fetch()
    ticket = await both.store.begin(KEY)
    await both.page(version(1))

    stored = await both.store.store(KEY, entry_of(ticket, version(1)), KEEP)

    assert stored.verdict is StoreVerdict.CHANGED


async def test_what_was_gone_is_back(both: Both) -> None:
    """A remembered 404 is outdated by the page that lists the training."""
    gone = await both.fetch(None)

    compared = await both.page()

    assert compared.verdict is NEWER
    assert compared.floor is not None
    assert gone.is_below(compared.floor)


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


@pytest.mark.parametrize("bound", [None, version(0), version(1)])
async def test_a_page_asked_for_before_an_order_renews_nothing(
    both: Both, bound: Instant | None
) -> None:
    """Nor does it raise anything: whoever gave the order may know more."""
    await both.fetch()
    before = await both.now()
    await both.store.invalidate("trn_1", bound)

    assert (await both.page(asked_at=before)).verdict is PASSED
    assert (await both.page(version(2), asked_at=before)).verdict is PASSED


async def test_what_an_order_struck_is_never_revived(both: Both) -> None:
    """A page asked for after it confirms the version, and no body of the old generation."""
    entry = await both.fetch()
    await both.store.invalidate("trn_1", None)

    await both.page()

    found = await both.store.lookup(KEY)
    assert found.entry is None
    standing = (await both.store.confirm([KEY]))[KEY]
    assert standing is not None
    assert entry.confirmed_by(standing.floor, standing.last()) is None


async def test_a_confirmed_version_ends_a_doubt(both: Both) -> None:
    """Else answers of an outage long ago would agree with one of today."""
    await both.fetch(version(5))
    for _ in range(2):
        old = entry_of(await both.store.begin(KEY), version(1))
        assert (await both.store.store(KEY, old, KEEP)).verdict is StoreVerdict.OLDER
    assert (await both.page(version(5))).verdict is CONFIRMED

    old = entry_of(await both.store.begin(KEY), version(1))

    assert (await both.store.store(KEY, old, KEEP)).verdict is StoreVerdict.OLDER


async def test_each_of_a_page_is_judged_by_itself(both: Both) -> None:
    """In the order of the page."""
    await both.fetch()
    at = await both.now()
    items = [Listed(f"trn_{n}", VERSION, "0" * 32, DATE, at, 0.0, 25.0) for n in (0, 1, 2)]

    compared = await both.lists.compare("p1", items, KEEP)

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
