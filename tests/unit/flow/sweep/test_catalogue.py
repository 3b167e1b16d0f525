"""Lists that are answered from the catalogue while a sweep goes on, in simulated time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.core.cache.entry import Key
from gateway.core.sweep.belief import SweepStore
from gateway.core.sweep.catalogue import Catalogue
from gateway.core.sweep.staleness_bound import Pace
from gateway.core.upstream.list_query import read_query
from gateway.flow.answer import Ask
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.fill.credentials import REFUSED_FOR
from gateway.flow.request.lists import Lists
from gateway.ports import Held
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import OURS, Redis, ok, says, training
from tests.unit.flow.sweep.test_sweep import IDS, QUICK, catalogue
from tests.unit.flow.sweeping import Swept, of_list

PAGE = "limit=20&offset=20"
OTHER, FIRST, ON_IT = IDS[45], IDS[0], IDS[25]


class Listing:
    """A sweep of three pages, and requests for the second of them."""

    def __init__(
        self,
        clock: FakeClock,
        redis: Redis | None = None,
        store: SweepStore = SweepStore.AUTO,
        pace: Pace = QUICK,
    ) -> None:
        self.swept = Swept(clock, catalogue(), redis, pace=pace, store=store)
        self.api = self.swept.catalogue
        self.replica = self.swept.replica
        kept = LocalStore(1_000_000, lambda: None)
        parts = self.replica.serving, self.replica.tiers, self.replica.fetcher
        self.lists = Lists(*parts, self._catalogue, kept=kept, timeout=10.0)

    def _catalogue(self, partition: str) -> Catalogue | None:
        assert partition == "p1"
        return self.swept.sweep.catalogue

    async def ask(self, query: str = PAGE) -> Held:
        """The list that a caller gets, and `self.told`: how."""
        wanted = read_query(query.encode())
        answer = await self.lists.get(Ask(Key("p1", wanted.name), OURS), wanted)
        assert isinstance(answer.content, Held)
        self.told = answer.handling.detail
        return answer.content

    async def detail(self) -> str:
        """How it was answered; it was true, and in the API's bytes."""
        held = await self.ask()
        assert held.body == self.api.page(20, 20).body
        return str(self.told)


@pytest.fixture(params=["alone", "redis"])
async def listing(request: pytest.FixtureRequest, clock: FakeClock) -> Listing:
    """Two sweeps have ended, so the catalogue answers."""
    made = Listing(clock, Redis(clock) if request.param == "redis" else None)
    assert await made.detail() == "list"
    await made.swept.sweeps(1)
    clock.advance(31.0)  # what was kept is stale
    assert made.swept.sweep.catalogue is None or await made.detail() == "list"
    await made.swept.sweeps(2)
    assert await made.detail() == "catalogue"
    return made


async def test_lists_cost_no_calls(listing: Listing) -> None:
    """For as long as the sweep goes on; the age is that of the oldest item."""
    clock, api = listing.swept.clock, listing.api
    api.asked.clear()
    ages = []
    for _ in range(60):
        clock.advance(await listing.swept.step())
        for query in (PAGE, "limit=3", "limit=20&is_draft=false", "limit=9&type=SCENARIO_SPECIFIC"):
            held = await listing.ask(query)
            assert listing.told == "catalogue"
        ages.append((await listing.ask()).entry.age(clock.now()))

    assert [each for each in api.asked if isinstance(each, str) and each[0] == "?"] == []
    assert json.loads(held.body) == {
        "items": [], "total": 0, "limit": 9, "offset": 0, "has_more": False
    }  # fmt: skip
    assert 0.0 < max(ages) <= 15.0  # a sweep takes fifteen seconds


@pytest.mark.parametrize("order", ["invalidate", "purge", "refused", "gap"])
async def test_an_order_ends_the_answers(listing: Listing, order: str) -> None:
    """Until each page was read once more after it."""
    replica = listing.replica
    listing.swept.clock.advance(0.1)
    match order:
        case "invalidate":
            await replica.invalidation.invalidate((OTHER,), None)
        case "purge":
            await replica.invalidation.purge(None, soft=False)
        case "refused":
            await replica.invalidation.refused("p1")
        case "gap":
            replica.invalidation.gap()
    listing.swept.clock.advance(REFUSED_FOR)

    assert await listing.detail() == "list"
    await listing.swept.sweeps(3)
    if order == "invalidate":
        await replica.get(Key("p1", OTHER))
    assert await listing.detail() == "catalogue"


@pytest.mark.parametrize("what", ["404", "evicted"])
async def test_a_body_that_is_missing(listing: Listing, what: str) -> None:
    """The page is forwarded, and others are not. Redis has what L1 has evicted."""
    replica, key = listing.replica, Key("p1", ON_IT)
    if what == "evicted":
        replica.local.drop(key)
    else:
        replica.upstream.then(says(404))
        await replica.serving.own_flight(Ask(key, OURS)).join()
    listing.swept.clock.advance(1.0)  # what was made before stands no more

    await listing.ask()

    has_redis = replica.shared.holds_bodies
    assert listing.told == ("catalogue" if what == "evicted" and has_redis else "list")
    await listing.ask("limit=20&offset=0")
    assert listing.told == "catalogue"


@pytest.mark.parametrize("end", ["pause", "failing", "behind", "different", "late", "cut"])
async def test_when_the_sweep_cannot_vouch_for_the_list(listing: Listing, end: str) -> None:
    """Nobody reads, the API fails, the list is not believed, or orders do not reach this
    replica."""
    swept, sweep = listing.swept, listing.swept.sweep
    turn, progress = sweep.turn, sweep.progress
    assert turn is not None
    assert progress is not None
    match end:
        case "pause":
            sweep.turn = replace(turn, is_read=False)
        case "failing":
            listing.api.instead = lambda call: says(500) if of_list(call) else None
            await swept.run(40.0)
            listing.api.instead = lambda call: None
        case "behind":
            belief = replace(progress.belief, behind=2)
            sweep.turn = replace(turn, progress=replace(progress, belief=belief))
        case "different":
            await swept.pages.drop_stored("p1")
        case "late":
            swept.clock.advance(31.0)
        case "cut":
            bus = listing.replica.bus
            vars(bus).update(listed_until=0.0)

    assert await listing.detail() == "list"


async def test_a_replica_that_does_not_lead_copies_the_catalogue(listing: Listing) -> None:
    """And goes on with it when it leads again."""
    sweep, turn = listing.swept.sweep, listing.swept.sweep.turn
    assert turn is not None
    expected = "catalogue" if listing.replica.shared.holds_bodies else "list"
    sweep._copies_until = 0.0
    await sweep._copy(begins=False)
    assert await listing.detail() == "list"
    for leads in (False, True):
        await sweep._copy(begins=leads)
        assert await listing.detail() == expected
    # Another replica, of a release that notes no catalogue, goes on.
    listing.swept.clock.advance(31.0)
    later = tuple(each + 31.0 for each in (*turn.progress.pages, *turn.progress.before))
    sweep.turn = replace(turn, progress=replace(turn.progress, pages=(), before=later))

    assert sweep.bound is not None
    assert sweep.listed is None
    assert await listing.detail() == "list"


@pytest.mark.parametrize(
    ("query", "detail"), [("limit=9", "catalogue"), ("limit=9&type=BEHAVIORAL", "list")]
)
async def test_an_edit_that_the_catalogue_does_not_know(
    listing: Listing, query: str, detail: str
) -> None:
    """The training is on the same lists, unless these depend on what was edited."""
    key = Key("p1", IDS[3])
    listing.replica.upstream.then(ok(9, training_id=key.training_id))
    await listing.replica.serving.own_flight(Ask(key, OURS)).join()
    listing.swept.clock.advance(1.0)

    held = await listing.ask(query)

    assert listing.told == detail
    assert detail == "list" or training(9, key.training_id) in held.body


async def test_items_that_are_not_stored_make_no_lists(clock: FakeClock) -> None:
    """Nobody knows whether the list has their bytes."""
    listing = Listing(clock, store=SweepStore.NEVER)
    for each in IDS:
        await listing.replica.get(Key("p1", each))
    await listing.swept.sweeps(4)

    assert await listing.detail() == "list"


async def test_an_empty_list_is_as_old_as_the_catalogue(clock: FakeClock) -> None:
    """If a sweep takes longer than the lifetime, so it can be stale."""
    listing = Listing(clock, pace=replace(QUICK, interval=60.0))
    listing.api.page_size = 100
    await listing.swept.sweeps(3)
    await listing.ask()
    vars(listing.replica.serving).update(look_up=None)  # nothing is looked up in vain
    told = []
    for seconds in (1.0, 29.5):
        clock.advance(seconds)
        await listing.ask()
        await listing.ask("limit=9&type=SCENARIO_SPECIFIC")
        told.append(listing.told)

    assert told == ["catalogue", "list"]


async def test_pages_of_one_edition_have_one_tag(listing: Listing) -> None:
    """The part before the hyphen, until a training comes or goes."""

    async def edition(query: str) -> str:
        return (await listing.ask(query)).entry.digest.partition("-")[0]

    before = [await edition(query) for query in (PAGE, "limit=20&offset=0")]
    listing.api.minutes[ON_IT] = 2
    await listing.swept.sweeps(2)
    edited = await edition(PAGE)
    listing.api.minutes = {"new": 1} | listing.api.minutes
    await listing.swept.sweeps(3)

    assert {*before, edited} == {before[0]}
    assert await edition(PAGE) != before[0]


async def test_a_made_list_stands_in_if_the_api_fails(listing: Listing) -> None:
    """And not for longer than a call takes to fail."""
    listing.swept.sweep.turn = None
    listing.replica.upstream.always = says(500)

    held = await listing.ask()

    assert (listing.told, held.body) == ("stale-error", listing.api.page(20, 20).body)
