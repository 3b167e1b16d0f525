"""sweep: who leads, when a page is due, and when there is none."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from gateway.adapters.ledger import LedgerSweepLease
from gateway.core.budget.window_log import Rate
from gateway.core.errors import RedisUnavailable
from gateway.core.http.fields import Reply
from gateway.core.sweep.staleness_bound import Pace
from gateway.core.vocabulary import FailureReason, Mode, Purpose
from gateway.flow.sweep.sweep import Listing, Parts, Sweep
from gateway.ports import Call, Turn
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import OURS, page, says
from tests.unit.flow.sweeping import PAUSE_AFTER, Catalogue, Swept, of_list

# A page each five seconds: a bound of eleven, where answers are fresh for thirty.
OFTEN = Pace(Rate(60, 60.0), 1.0, 5.0, 30.0, 0.0)
IDS = [f"t{number:03d}" for number in range(250)]


def catalogue(size: int = 250) -> Catalogue:
    """So many trainings."""
    return Catalogue(*IDS[:size])


def promised(swept: Swept) -> tuple[str, float | None]:
    """The state in a word, and the bound in seconds."""
    bound = swept.sweep.bound
    return swept.sweep.state, None if bound is None else round(bound.seconds, 3)


@pytest.fixture
def swept(clock: FakeClock) -> Swept:
    """A replica alone with 250 trainings: three pages."""
    return Swept(clock, catalogue())


async def test_pages_follow_each_other_and_begin_anew(swept: Swept) -> None:
    """By the rows that came."""
    await swept.pages(7)

    assert swept.catalogue.pages_asked == [0, 100, 200, 0, 100, 200, 0]
    assert swept.replica.observer.of("sweep_ended") == [("default", True, 250)] * 2


async def test_the_first_sweeps_warm_and_the_next_ones_confirm(clock: FakeClock) -> None:
    """As fast as the budget lets; metrics tell which calls keep the promise."""
    swept = Swept(clock, catalogue(), cold=True)
    began = clock.now()
    await swept.pages(3)
    await swept.errands()
    await swept.pages(3)
    assert clock.now() - began < 1.0
    await swept.pages(1)

    purposes = [call.purpose for call in swept.replica.upstream.calls if of_list(call)]
    assert purposes == [Purpose.WARM] * 6 + [Purpose.SWEEP]


async def test_pages_come_evenly(swept: Swept, clock: FakeClock) -> None:
    """Three in a sweep of 18.3 s: ten calls in 61 s."""
    await swept.pages(2)
    moments = []
    for _ in range(6):
        await swept.pages(1)
        moments.append(clock.now())

    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert gaps == [pytest.approx(6.1, abs=0.01)] * 5


async def test_a_late_page_is_not_made_up_for(swept: Swept, clock: FakeClock) -> None:
    """After a stall the next one goes at once, and only that one."""
    await swept.pages(3)
    clock.advance(60.0)
    before = len(swept.catalogue.asked)

    await swept.step()
    assert len(swept.catalogue.asked) == before + 1
    clock.advance(await swept.step())
    assert len(swept.catalogue.asked) <= before + 2
    await swept.pages(2)

    assert clock.now() > 0


async def test_nobody_reads_so_nothing_is_asked(swept: Swept, clock: FakeClock) -> None:
    """Five minutes after the last read; what was begun rests, and goes on with the next one."""
    await swept.pages(4)
    clock.advance(PAUSE_AFTER + 1.0)
    for _ in range(2_400):
        clock.advance(await swept.sweep._step())

    assert len(swept.catalogue.asked) == 4
    assert swept.sweep.state == "paused"
    assert swept.sweep.bound is None

    await swept.pages(1)
    assert swept.catalogue.pages_asked[-1] == 100


async def test_a_cold_start_is_swept_for_nobody(clock: FakeClock) -> None:
    """Once to learn whom there is, once to store them; unless warming is off: then the first
    read begins it."""
    cold, off = Swept(clock, catalogue()), Swept(clock, catalogue(), warms=False)

    for swept in (cold, off):
        for _ in range(40):
            clock.advance(await swept.sweep._step())
            await swept.errands()

    assert cold.catalogue.pages_asked == [0, 100, 200] * 2
    assert off.catalogue.asked == []
    await off.pages(1)


async def test_it_pauses_in_the_mode_frozen(swept: Swept, clock: FakeClock) -> None:
    """No page and no single call; afterwards both go on where they were."""
    await swept.read(IDS[0])
    await swept.pages(2)
    swept.catalogue.minutes[IDS[0]] = 2
    await swept.pages(2)  # the first page has the edit, and makes a single call necessary
    asked = list(swept.catalogue.asked)
    await swept.replica.modes.order(Mode.FROZEN)

    for _ in range(40):
        clock.advance(await swept.step())
    await swept.errand()
    assert swept.catalogue.asked == asked

    await swept.replica.modes.order(Mode.NORMAL)
    await swept.errands()
    await swept.pages(1)
    assert swept.catalogue.asked == [*asked, IDS[0], 100]


async def test_what_the_mode_forbade_is_no_failure_of_the_list(
    swept: Swept, clock: FakeClock
) -> None:
    """After a long time in the mode, the first page that fails is asked for again after a second,
    not after a minute."""
    await swept.pages(1)
    await swept.replica.modes.order(Mode.FROZEN)
    for _ in range(100):
        clock.advance(await swept.step())
    await swept.replica.modes.order(Mode.NORMAL)
    swept.catalogue.instead = lambda _: says(500)

    assert await swept.step() == 1.0


async def test_no_cold_start_is_waited_for_that_the_mode_forbids(clock: FakeClock) -> None:
    """It is waited for again once the mode allows it."""
    swept = Swept(clock, catalogue(), cold=True)
    await swept.replica.modes.order(Mode.FROZEN)
    warming = [swept.sweep.is_warming]
    clock.advance(await swept.step())
    warming.append(swept.sweep.is_warming)

    await swept.replica.modes.order(Mode.NORMAL)
    await swept.pages(1)
    assert [*warming, swept.sweep.is_warming] == [True, False, True]


@pytest.mark.parametrize(
    "refusal",
    [
        says(401),
        says(403),
        says(404),
        Reply(200, (), b'{"data": []}'),
        Reply(200, (), b"[]"),
    ],
)
async def test_a_list_that_is_not_for_us_is_left_alone(
    swept: Swept, clock: FakeClock, refusal: Reply
) -> None:
    """With one warning, however often it is found so, and for an hour each time."""
    swept.catalogue.instead = lambda call: refusal if of_list(call) else None

    began = clock.now()

    for _ in range(5_000):
        clock.advance(await swept.step())

    hours = (clock.now() - began) / 3600
    assert hours > 2
    assert len(swept.catalogue.asked) <= 3 + hours
    assert len(swept.replica.observer.of("sweep_off")) == 1
    assert swept.sweep.state == "off"
    assert swept.sweep.age is None

    swept.catalogue.instead = lambda _: None
    clock.advance(3_600.0)
    await swept.pages(5)
    assert promised(swept) == ("warming", None)
    await swept.pages(1)
    assert promised(swept) == ("on", 25.4)


async def test_a_follower_that_began_later_sees_that_the_list_is_refused(clock: FakeClock) -> None:
    """It does not find out whether the list is allowed to it, so readiness need not wait."""
    lease = Leading(clock, pause_after=PAUSE_AFTER)
    swept = Swept(clock, catalogue(), lease=lease, cold=True)
    swept.catalogue.instead = lambda call: says(401) if of_list(call) else None
    await swept.step()
    clock.advance(60.0)

    lease.leads = False
    later = beside(swept)
    await later._step()

    assert (later.state, later.is_warming) == ("off", False)
    assert swept.catalogue.pages_asked == [0]


async def test_a_list_is_asked_for_with_a_token_that_was_there_before_the_refusal(
    clock: FakeClock,
) -> None:
    """In a rolling update a replica with the new token waits for the lead, while the list is
    refused to one with the old token."""
    lease = Leading(clock, pause_after=PAUSE_AFTER)
    swept = Swept(clock, catalogue(), lease=lease)
    swept.catalogue.instead = lambda call: says(401) if _is_of(call, OURS.token) else None
    renewed = beside(swept, "renewed")
    lease.leads = False
    await renewed._step()
    clock.advance(60.0)
    lease.leads = True
    await swept.step()
    assert swept.sweep.state == "off"

    await renewed._step()

    assert renewed.state == "warming"
    assert swept.catalogue.pages_asked == [0, 0]


async def test_each_replica_asks_once_for_a_refused_list(clock: FakeClock) -> None:
    """It may have another token; it needs no second call to know that it has none."""
    swept = Swept(clock, catalogue())
    swept.catalogue.instead = lambda call: says(401) if of_list(call) else None
    await swept.step()
    other = beside(swept)
    for _ in range(40):
        clock.advance(await other._step())

    assert other.state == "off"
    assert swept.catalogue.pages_asked == [0, 0]


def _is_of(call: Call, token: str) -> bool:
    return of_list(call) and call.token == token


class Leading(LedgerSweepLease):
    """Tells whoever asks whether it leads."""

    leads = True

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        """As without other replicas, but for the lead."""
        return replace(await super().take(partition, was_read=was_read), leads=self.leads)


def beside(swept: Swept, token: str = OURS.token) -> Sweep:
    """The sweep of another replica, with that token."""
    outbound, observer = swept.replica.outbound, swept.replica.observer
    listing = Listing(outbound, swept.clock, observer, timeout=10.0)
    parts = Parts(swept.lease, listing, lambda _: swept.reconciliation, swept.clock, observer)
    return Sweep(parts, replace(OURS, token=token), lambda: OFTEN, lambda: 0, warms=True)


@pytest.mark.parametrize("failure", [says(500), page(403), says(429), Reply(200, (), b'{"items')])
async def test_a_list_that_fails_is_asked_again(
    swept: Swept, clock: FakeClock, failure: Reply
) -> None:
    """Less and less often; nothing is skipped."""
    await swept.pages(1)
    swept.catalogue.instead = lambda _: failure
    began = clock.now()
    for _ in range(60):
        clock.advance(await swept.step())
    failed = len(swept.catalogue.asked) - 1

    assert 1 <= failed <= 5 + (clock.now() - began) / 30
    assert swept.replica.observer.of("sweep_off") == []
    swept.catalogue.instead = lambda _: None
    clock.advance(400.0)
    await swept.pages(1)
    assert swept.catalogue.pages_asked[-1] == 100


async def test_without_budget_a_page_waits(clock: FakeClock) -> None:
    """The same page, as soon as there is one."""
    swept = Swept(clock, catalogue(), limit=1)
    await swept.pages(2)

    assert swept.catalogue.pages_asked == [0, 100]
    assert swept.replica.observer.of("budget_denied")


async def test_the_bound_holds_once_two_sweeps_in_a_row_saw_everybody(swept: Swept) -> None:
    """By the arithmetic of core/sweep/staleness_bound; until then nobody knows whether it is
    kept."""
    await swept.pages(5)
    swept.catalogue.minutes["late"] = 1  # so this sweep does not agree with itself
    await swept.pages(6)
    assert promised(swept) == ("warming", None)

    await swept.pages(1)

    assert promised(swept) == ("on", 25.4)


async def test_a_bound_that_is_not_kept_is_not_stated(swept: Swept, clock: FakeClock) -> None:
    """After a pause all has to be confirmed anew, and the windows hold until then."""
    await swept.pages(7)
    assert promised(swept) == ("on", 25.4)
    clock.advance(PAUSE_AFTER + 1.0)

    await swept.pages(2)
    assert promised(swept) == ("warming", None)
    await swept.pages(1)

    assert promised(swept) == ("on", 25.4)


async def test_the_age_of_a_page_counts(swept: Swept, clock: FakeClock) -> None:
    """A cache in front of the API had the page for ten seconds: so old is what it confirms."""
    await swept.pages(6)
    assert promised(swept) == ("on", 25.4)

    aged(swept, b"10")
    await swept.pages(3)

    oldest = 2 * 6.1 + 10.0  # the first of three pages, and its age
    assert swept.sweep.age == pytest.approx(oldest, abs=0.01)
    assert promised(swept) == ("on", 25.4)
    clock.advance(5.0)
    assert promised(swept) == ("warming", None)


@pytest.mark.parametrize("age", [b"0", b"10"])
async def test_what_a_page_with_an_age_confirms_is_met(clock: FakeClock, age: bytes) -> None:
    """The sweep does not pass by what it confirmed, however old its pages came."""
    swept = Swept(clock, catalogue(3), pace=OFTEN)
    for each in IDS[:3]:
        await swept.read(each)
    aged(swept, age)
    for _ in range(24):
        clock.advance(1.0)
        await swept.step()

    assert [await swept.read(each) for each in IDS[:3]] == ["1 l1"] * 3


def aged(swept: Swept, age: bytes) -> None:
    """Pages come from a cache that has had them for so many seconds."""

    def instead(call: Call) -> Reply | None:
        if call.offset is None:
            return None
        page = swept.catalogue.page(call.offset)
        return replace(page, headers=(*page.headers, (b"age", age)))

    swept.catalogue.instead = instead


async def test_a_progress_from_the_far_future_waits_for_nobody(
    swept: Swept, clock: FakeClock
) -> None:
    """A clock was set back, or somebody wrote nonsense into Redis."""
    await swept.pages(1)
    turn = await swept.lease.take("p1", was_read=True)
    odd = replace(turn.progress, next_at=clock.now() + 1e9, off_until=clock.now() + 1e9)
    await swept.lease.note("p1", odd)

    assert await swept.step() == 0.0
    assert swept.catalogue.pages_asked == [0, 100]


async def test_without_redis_nobody_sweeps(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is promised that nobody keeps."""
    await swept.pages(2)

    async def away(partition: str, *, was_read: bool) -> None:
        raise RedisUnavailable("sweep", "it is away")

    monkeypatch.setattr(swept.lease, "take", away)
    await swept.step()

    assert (swept.sweep.state, swept.sweep.age) == ("unknown", None)
    assert len(swept.catalogue.asked) == 2


async def test_who_lost_the_lead_writes_nothing(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page was in vain; the new leader asks for it again."""
    await swept.pages(1)

    async def lost(*_: object) -> None:
        return None

    monkeypatch.setattr(swept.lease, "advance", lost)
    await swept.pages(1)

    assert (await swept.lease.take("p1", was_read=True)).progress.offset == 100


async def test_a_failed_page_says_why(swept: Swept) -> None:
    """Like any other call that failed."""

    def fails(call: Call) -> Reply | None:
        return page(503) if of_list(call) else None

    swept.catalogue.instead = fails
    await swept.step()

    ((reason, name, _),) = swept.replica.observer.of("upstream_failed")
    assert (reason, name) == (FailureReason.CHALLENGE, "(the list)")
