"""One sweep in simulated time: what it stores, confirms, asks and states."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.core.budget.window_log import Rate
from gateway.core.cache.entry import Entry, Key
from gateway.core.errors import CallWithheld, RedisUnavailable
from gateway.core.http.fields import Reply
from gateway.core.instant import from_seconds, parse_instant, to_http_date
from gateway.core.sweep.belief import LOOKS, ListState, SweepStore
from gateway.core.sweep.catalogue import News
from gateway.core.sweep.progress import Progress, SweepEnd
from gateway.core.sweep.staleness_bound import Pace
from gateway.core.vocabulary import Purpose
from gateway.ports import Call
from tests.doubles.clock import FakeClock
from tests.doubles.virtual_time import in_virtual_time
from tests.unit.flow.house import Redis, ok, says, settle, training
from tests.unit.flow.sweeping import Catalogue, Swept, fails, of_list

IDS = [f"t{number:03d}" for number in range(50)]
# A page each five seconds.
QUICK = Pace(Rate(60, 60.0), 1.0, 5.0, 30.0, 0.0)
FIRST, LATER = IDS[0], IDS[25]


@pytest.fixture(params=["alone", "redis"])
def swept(request: pytest.FixtureRequest, clock: FakeClock) -> Swept:
    """A sweep of three pages, with Redis and without."""
    redis = Redis(clock) if request.param == "redis" else None
    return Swept(clock, catalogue(), redis, pace=QUICK)


def catalogue() -> Catalogue:
    """Fifty trainings on three pages."""
    made = Catalogue(*IDS)
    made.page_size = 20
    return made


def singles(swept: Swept) -> list[str]:
    """The trainings that single calls asked for."""
    return [str(each) for each in swept.catalogue.asked if not isinstance(each, int)]


async def test_a_cold_start_stores_all_after_five_looks(swept: Swept) -> None:
    """Three pages and five single calls, and every training is a hit with the API's bytes and the
    page's header fields, but those about the page."""
    await swept.sweeps()
    asked = list(swept.catalogue.asked)

    answers = {each: await swept.read(each) for each in IDS}

    assert sorted(map(str, asked)) == sorted(["0", "20", "40", *IDS[:LOOKS]])
    pages = [call for call in swept.replica.upstream.calls if of_list(call)]
    assert {(call.token, call.purpose) for call in pages} == {("our-token", Purpose.WARM)}
    assert {answer.split()[0] for answer in answers.values()} == {"1"}
    assert {answer.split()[1] for answer in answers.values()} <= {"l1", "l2"}
    assert swept.catalogue.asked == asked
    assert held(swept, LATER).headers == ((b"content-type", b"application/json"),)
    assert swept.replica.observer.of("list_moved") == [("default", ListState.EQUAL, "")]


async def test_pages_confirm_and_bring_edits_from_then_on(swept: Swept) -> None:
    """Nothing becomes stale; an edit or a new training costs one look at most."""
    await swept.sweeps()
    swept.catalogue.asked.clear()
    for number in range(5):
        swept.catalogue.minutes[LATER] = number + 2
        swept.catalogue.minutes[f"new{number}"] = 1
        await swept.sweeps(2)

        assert await swept.read(LATER) == f"{number + 2} l1"
        assert (await swept.read(f"new{number}")).split()[1] in ("l1", "l2")
        assert (await swept.read(IDS[41])).split()[1] in ("l1", "l2")

    assert len(singles(swept)) == 10  # one look a sweep
    assert swept.replica.upstream.calls[-1].purpose in (Purpose.SWEEP, Purpose.VERIFY)
    assert swept.sweep.bound is not None


async def test_the_look_of_a_sweep_is_at_the_training_that_changed_last(swept: Swept) -> None:
    """Or at the one that was read most, if none changed."""
    await swept.sweeps(2)
    for _ in range(9):
        await swept.read(FIRST)
    swept.catalogue.asked.clear()
    await swept.sweeps(2)
    read_most = singles(swept)
    swept.catalogue.asked.clear()
    swept.catalogue.minutes[LATER] = 2
    await swept.sweeps(2)

    assert FIRST in read_most
    assert LATER in singles(swept)


@pytest.mark.parametrize("store", [SweepStore.AUTO, SweepStore.NEVER])
async def test_no_byte_of_another_form_is_stored(swept: Swept, store: SweepStore) -> None:
    """Pages only confirm; an edit costs a single call."""
    swept.sweep._store = store
    if store is SweepStore.AUTO:
        swept.catalogue.instead = other_bytes(swept)
    await swept.read(LATER)
    await swept.sweeps(2)
    assert not swept.belief.stored
    swept.catalogue.minutes[LATER] = 2
    swept.catalogue.asked.clear()

    await swept.sweeps(2)

    assert await swept.read(LATER) == "2 l1"
    assert LATER in singles(swept)
    assert not swept.belief.stored
    swept.catalogue.instead = refuse
    with pytest.raises(CallWithheld):  # nothing was stored, so a call is needed
        await swept.read(IDS[7])


def other_bytes(swept: Swept) -> Callable[[Call], Reply | None]:
    """Single answers have a member that the list has not."""

    def answer(call: Call) -> Reply | None:
        if of_list(call):
            return None
        reply = ok(swept.catalogue.minutes[call.training_id], training_id=call.training_id)
        return replace(reply, body=reply.body[:-1] + b', "metadata": {}}')

    return answer


def refuse(call: Call) -> Reply:
    """A call was made that should not have been made."""
    raise CallWithheld(f"no call for {call.training_id}", retry_after=1.0)


async def test_a_list_that_becomes_different_ends_what_it_brought(swept: Swept) -> None:
    """Two looks with other bytes drop all that is stored in the partition."""
    await swept.sweeps()
    assert swept.belief.stored
    swept.catalogue.instead = other_bytes(swept)

    await swept.sweeps(3)

    assert swept.belief.state(SweepStore.AUTO) is ListState.DIFFERENT
    assert swept.replica.local.peek(Key("p1", IDS[19])) is None
    assert ("default", ListState.DIFFERENT, "") in swept.replica.observer.of("list_moved")


@pytest.mark.parametrize("is_dated", [True, False])
async def test_a_list_that_stands_still_is_behind(swept: Swept, is_dated: bool) -> None:
    """The bound is withdrawn, nothing is confirmed, and it is believed after two looks. If its
    `Date` tells the API's time, one look is enough to see it."""
    await swept.sweeps(2)
    swept.catalogue.date = now_of(swept) if is_dated else None
    old = swept.catalogue.page
    frozen = {offset: old(offset) for offset in (0, 20, 40)}
    swept.catalogue.instead = lambda call: frozen[call.offset or 0] if of_list(call) else None
    for _ in range(9):
        await swept.read(LATER)
    swept.catalogue.minutes[LATER] = 2
    await swept.sweeps(2 if is_dated else 4)

    assert bounds_of(swept) == (True, False)
    assert swept.sweep.state == "behind"
    assert await swept.read(LATER) == "2 l1"
    assert ("default", ListState.BEHIND, LATER) in swept.replica.observer.of("list_moved")
    await swept.sweeps(4)
    assert bounds_of(swept) == (True, False)

    swept.catalogue.instead = lambda _: None
    await swept.sweeps(4)

    assert bounds_of(swept) == (False, True)


def bounds_of(swept: Swept) -> tuple[bool, bool]:
    """Whether the list is behind, and whether a bound is stated."""
    return swept.belief.is_behind, swept.sweep.bound is not None


async def test_a_list_that_lags_is_behind(swept: Swept) -> None:
    """A version that an earlier page should have had shows it, after a look at it."""
    await swept.sweeps(2)
    swept.catalogue.date = now_of(swept)
    swept.catalogue.minutes[LATER] = 12  # the clock is in the 13th: pages have had time to show it

    await swept.sweeps()

    assert ("default", ListState.BEHIND, LATER) in swept.replica.observer.of("list_moved")


def now_of(swept: Swept) -> bytes:
    """The time as a date."""
    return to_http_date(from_seconds(swept.clock.now())).encode()


@pytest.mark.parametrize("hard", [True, False])
async def test_an_order_is_not_undone_by_a_page(swept: Swept, hard: bool) -> None:
    """The list stands still; the training was edited, ordered, and read by nobody until later."""
    await swept.sweeps(2)
    old = swept.catalogue.page
    frozen = {offset: old(offset) for offset in (0, 20, 40)}
    swept.catalogue.minutes[LATER] = 2
    await swept.replica.invalidation.invalidate((LATER,), None, soft=not hard)
    swept.catalogue.instead = lambda call: frozen[call.offset or 0] if of_list(call) else None

    await swept.sweeps(2)

    await swept.read(LATER)  # a soft order lets the first reader have the stale response
    await settle()
    assert (await swept.read(LATER)).split()[0] == "2"


async def test_an_api_that_went_back_costs_one_call_a_page(swept: Swept) -> None:
    """All items have older versions, for example after a backup was restored."""
    await swept.sweeps(2)
    swept.catalogue.minutes = dict.fromkeys(IDS, 0)
    swept.catalogue.asked.clear()

    await swept.sweeps(2)

    assert 4 <= len(singles(swept)) <= 8


async def test_a_purge_needs_five_looks_anew(swept: Swept) -> None:
    """Then pages that were asked for later store again."""
    await swept.sweeps(2)
    await swept.replica.invalidation.purge(None, soft=False)
    swept.catalogue.asked.clear()

    await swept.sweeps(2)

    assert len(singles(swept)) >= LOOKS
    assert (await swept.read(LATER)).split()[1] in ("l1", "l2")


async def test_a_page_from_before_a_purge_is_not_applied(swept: Swept) -> None:
    """It is asked for again."""
    await swept.sweeps(2)
    purged: list[int] = []

    async def purge(call: Call) -> None:
        if call.offset is not None and not purged:
            purged.append(call.offset)
            await swept.replica.invalidation.purge(None, soft=False)

    swept.catalogue.during = purge
    swept.catalogue.asked.clear()
    await swept.sweeps(1)

    assert swept.catalogue.pages_asked.count(purged[0]) == 2


async def test_a_page_with_an_age_makes_nothing_older(swept: Swept) -> None:
    """It speaks for an earlier moment, and a later answer stays."""
    await swept.sweeps(2)
    await swept.read(LATER)
    before = held(swept, LATER).age(swept.clock.now())

    def aged(call: Call) -> Reply | None:
        if call.offset is None:
            return None
        page = swept.catalogue.page(call.offset)
        return replace(page, headers=(*page.headers, (b"age", b"60")))

    swept.catalogue.instead = aged
    began = swept.clock.now()
    await swept.sweeps(2)

    passed = swept.clock.now() - began
    assert held(swept, LATER).age(swept.clock.now()) <= before + passed


def held(swept: Swept, training_id: str) -> Entry:
    """The entry in L1."""
    found = swept.replica.local.peek(Key("p1", training_id))
    assert found is not None
    return found.entry


async def test_a_deleted_training_becomes_stale_and_its_reader_learns_the_404(
    swept: Swept,
) -> None:
    """Pages without it confirm it no more; the bound that is stated counts the lifetime in."""
    await swept.sweeps(2)
    await swept.read(LATER)
    bound = swept.sweep.bound
    assert bound is not None
    del swept.catalogue.minutes[LATER]

    await swept.run(bound.seconds)

    assert not held(swept, LATER).is_fresh(swept.clock.now())
    await swept.read(LATER)
    await settle()
    answer = await swept.replica.get(Key("p1", LATER))
    assert answer.handling.detail == "negative"
    swept.catalogue.minutes[LATER] = 1  # a list that shows it again does not bring it back alone
    swept.catalogue.instead = lambda call: says(404) if call.training_id == LATER else None
    await swept.sweeps(1)
    assert held(swept, LATER).is_negative


@pytest.mark.parametrize(
    ("spoil", "end"),
    [
        (lambda rows: {**rows, "total": 999}, SweepEnd.CHANGED),
        (lambda rows: {**rows, "items": [*rows["items"], rows["items"][0]]}, SweepEnd.REPEATED),
        (
            lambda rows: {**rows, "items": [*rows["items"][1:], on_first_page(rows)]},
            SweepEnd.REPEATED,
        ),
        (lambda rows: {**rows, "has_more": True}, SweepEnd.ENDLESS),
    ],
)
async def test_a_list_that_misbehaves_spoils_its_sweep_alone(
    swept: Swept, spoil: Callable[[dict[str, list[object]]], dict[str, object]], end: SweepEnd
) -> None:
    """The end is counted; what is stored goes on answering."""
    await swept.sweeps(2)
    swept.catalogue.page_size = 19

    def spoilt(call: Call) -> Reply | None:
        if not call.offset:
            return None
        last = swept.catalogue.page(min(call.offset, 38))
        rows = spoil(json.loads(last.body)) | {"offset": call.offset}
        return replace(last, body=json.dumps(rows).encode())

    swept.catalogue.instead = spoilt
    await swept.sweeps(2)

    ends = [each[1] for each in swept.replica.observer.of("sweep_ended")]
    assert ends[-1] is end
    assert swept.sweep.bound is None
    assert (await swept.read(LATER)).split()[1] in ("l1", "l2")


async def test_of_two_versions_on_one_page_none_counts(swept: Swept) -> None:
    """Neither is stored or confirmed; the others of the page are."""
    await swept.sweeps(2)
    other = json.loads(training(0, FIRST))

    def twice(call: Call) -> Reply | None:
        if call.offset != 0:
            return None
        page = swept.catalogue.page(0)
        rows = json.loads(page.body)
        body = json.dumps({**rows, "items": [*rows["items"], other]})
        return replace(page, body=body.encode())

    swept.catalogue.instead = twice
    before = held(swept, FIRST).confirmed_at
    await swept.sweeps(2)

    assert held(swept, FIRST).confirmed_at == before
    assert (await swept.read(IDS[1])).split()[1] in ("l1", "l2")


def on_first_page(rows: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    """A row that stands on the first page too."""
    return {**rows["items"][0], "id": FIRST}


async def test_a_refused_list_is_asked_for_again_after_a_minute(swept: Swept) -> None:
    """And after two; what is stored stays, and the state says so."""
    await swept.sweeps(2)
    swept.catalogue.instead = lambda call: says(403) if of_list(call) else None
    swept.catalogue.asked.clear()

    await swept.run(200.0)

    assert len(swept.catalogue.pages_asked) == 3
    assert swept.sweep.state == "off"
    assert [each[2] for each in swept.replica.observer.of("sweep_off")][:2] == [60.0, 120.0]
    swept.catalogue.instead = lambda _: None
    await swept.run(500.0)
    assert swept.sweep.state == "on"


async def test_a_refused_list_stays_off_while_it_fails(swept: Swept) -> None:
    """A failure counts like another refusal, also for a replica that was not refused itself."""
    await swept.sweeps(2)
    swept.catalogue.instead = lambda call: says(403) if of_list(call) else None
    while swept.sweep.state != "off":
        await swept.run(10.0)
    swept.catalogue.instead = lambda call: says(503) if of_list(call) else None
    swept.sweep._was_in_vain = False
    swept.catalogue.asked.clear()

    await swept.run(200.0)

    assert swept.sweep.state == "off"
    assert len(swept.catalogue.pages_asked) == 2


@pytest.mark.parametrize(("missed", "goes_on"), [(4, True), (5, False)])
async def test_a_short_absence_of_redis_ends_no_cold_start(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, missed: int, goes_on: bool
) -> None:
    """A page answers the misses later. Else they go on by themselves."""
    swept = Swept(clock, catalogue(), pace=QUICK)
    await swept.step()
    waiting = asyncio.create_task(swept.read(LATER))
    await settle()
    fails(monkeypatch, swept.shared, "take", missed)
    for _ in range(missed):
        await swept.step()
    assert (swept.sweep.state == "unknown") is not goes_on

    await swept.sweeps()

    assert await waiting == ("1 l1" if goes_on else "1 None")
    assert swept.catalogue.pages_asked == [0, 20, 40]
    assert len(singles(swept)) == LOOKS + (0 if goes_on else 1)


@pytest.mark.parametrize(("took", "heard"), [(1.0, "1 l1"), (60.0, "1 None")])
def test_a_page_that_is_stale_answers_no_miss(swept: Swept, took: float, heard: str) -> None:
    """It may have waited for looks for longer than the freshness lifetime."""

    async def travel(call: Call) -> None:
        if call.offset == 20:
            swept.clock.advance(took)

    async def reader() -> str:
        await swept.step()
        waiting = asyncio.create_task(swept.read(LATER))
        await swept.sweeps()
        return await waiting

    swept.catalogue.during = travel

    assert in_virtual_time(reader()) == heard


async def test_looks_whose_result_redis_did_not_note_are_not_made_again(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their page is read again."""
    swept = Swept(clock, catalogue(), pace=QUICK)
    fails(monkeypatch, swept.shared, "note", 1)

    await swept.sweeps()

    assert swept.catalogue.pages_asked == [0, 0, 20, 40]
    assert len(singles(swept)) == LOOKS


async def test_a_lost_reply_of_redis_leaves_no_page_out(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis has stored the progress, but its reply came too late."""
    swept = Swept(clock, catalogue(), pace=QUICK)
    note, lost = swept.shared.note, [40]

    async def late(partition: str, progress: Progress, news: News | None = None) -> bool:
        was_noted = await note(partition, progress, news)
        if progress.offset in lost:
            lost.remove(progress.offset)
            raise RedisUnavailable("note", "no answer in time")
        return was_noted

    monkeypatch.setattr(swept.shared, "note", late)

    await swept.sweeps()

    assert swept.catalogue.pages_asked == [0, 20, 40]
    assert swept.replica.observer.of("sweep_ended")[0][1] is SweepEnd.COMPLETE


async def test_a_list_that_fails_holds_nobody(clock: FakeClock) -> None:
    """After two failures, the misses go on by themselves."""
    swept = Swept(clock, catalogue(), pace=QUICK)
    swept.catalogue.instead = lambda call: says(503) if of_list(call) else None
    for is_filling in (True, True, False):
        assert swept.sweep.is_filling is is_filling
        await swept.step()
        clock.advance(2.0)

    assert not swept.sweep.is_filling
    assert await swept.read(LATER) == "1 None"


async def test_it_rests_while_nobody_reads(swept: Swept) -> None:
    """Five minutes after the last read; its bound is not stated then."""
    await swept.sweeps(2)
    asked = len(swept.catalogue.asked)
    swept.clock.advance(301.0)

    await swept.sweep._step()

    assert len(swept.catalogue.asked) == asked
    assert swept.sweep.state == "paused"
    assert swept.sweep.bound is None


async def test_a_known_version_ordered_by_name_is_confirmed_by_pages(swept: Swept) -> None:
    """An order with a version is about versions: the list has it or not."""
    await swept.sweeps(2)
    swept.catalogue.minutes[LATER] = 3
    await swept.replica.invalidation.invalidate((LATER,), parse_instant("2023-11-14T22:03:00Z"))

    await swept.sweeps(2)

    assert (await swept.read(LATER)).split()[0] == "3"
