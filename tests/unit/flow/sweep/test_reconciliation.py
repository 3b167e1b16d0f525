"""reconciliation: what is stored after a page of the list, and which single calls follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from gateway.adapters.ledger import LedgerSweepLease
from gateway.core.budget.window_log import Rate
from gateway.core.cache.entry import Key
from gateway.core.errors import RedisUnavailable
from gateway.core.http.fields import Reply
from gateway.core.instant import Instant
from gateway.core.sweep.list_item import Listed, ListVerdict, listed
from gateway.core.sweep.staleness_bound import Pace
from gateway.core.upstream.training import digest
from gateway.core.vocabulary import NoticeKind, Purpose
from gateway.ports import Call, Held, Notice
from tests.doubles.bus import Hub, HubBus
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import Redis, ok, says, settle, training
from tests.unit.flow.sweeping import PAUSE_AFTER, Catalogue, Swept, fails_once, of_list

IDS = ["t1", "t2", "t3"]
# A page each five seconds: a bound of eleven, where answers are fresh for thirty.
OFTEN = Pace(Rate(60, 60.0), 1.0, 5.0, 30.0, 0.0)


@pytest.fixture(params=["alone", "redis"])
def swept(request: pytest.FixtureRequest, clock: FakeClock) -> Swept:
    """Three trainings, all read once; with Redis and without."""
    return Swept(clock, Catalogue(*IDS), Redis(clock) if request.param == "redis" else None)


async def whole(swept: Swept) -> None:
    """One sweep: a page, when it is due."""
    await swept.pages(1)


async def test_what_is_confirmed_stays_fresh_unread(swept: Swept, clock: FakeClock) -> None:
    """For as long as pages come; nobody asks for it singly, and no body is read again."""
    await swept.read("t1")
    for _ in range(20):
        await whole(swept)

    assert await swept.read("t1") == "1 l1"
    assert swept.catalogue.asked.count("t1") == 1
    held = swept.replica.local.peek(Key("p1", "t1"))
    assert held is not None
    assert held.entry.age(clock.now()) < 20.0


async def test_a_page_is_applied_in_pieces(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one turn of the loop at most ten items are prepared or applied, so that no request waits
    for a hundred. Between two pieces there are turns without one, for requests that came during the
    piece."""
    ids = [f"t{n}" for n in range(100)]
    swept = Swept(clock, Catalogue(*ids))
    for each in ids:
        await swept.read(each)
    found = swept.replica.observer.calls
    pieces: list[int] = []
    prepared: list[Listed] = []
    preparations: list[int] = []

    def note(*args: Any) -> Listed:
        prepared.append(listed(*args))
        return prepared[-1]

    monkeypatch.setattr("gateway.flow.sweep.reconciliation.listed", note)

    async def count() -> None:
        while True:
            seen, before = len(found), len(prepared)
            await asyncio.sleep(0)
            pieces.append(sum(name == "swept" for name, _ in found[seen:]))
            preparations.append(len(prepared) - before)

    counting = asyncio.create_task(count())
    await whole(swept)
    await asyncio.sleep(0)  # the last piece is counted as well
    counting.cancel()

    assert sum(pieces) == sum(preparations) == 100
    assert max(*pieces, *preparations) <= 10
    worked = [bool(one or other) for one, other in zip(pieces, preparations, strict=True)]
    assert not any(map(all, pairwise(worked)))


async def test_another_replica_has_it_renewed_too(clock: FakeClock) -> None:
    """From the floor's record, its own body untouched."""
    redis = Redis(clock)
    swept, other = (Swept(clock, Catalogue(*IDS), redis) for _ in "ab")
    await swept.read("t1")
    await other.read("t1")
    for _ in range(5):
        await whole(swept)
    lookups = redis.store.lookups

    assert await other.read("t1") == "1 l1"
    assert redis.store.lookups == lookups
    assert other.catalogue.asked == []


async def test_a_later_version_is_never_served_unasked_again(swept: Swept) -> None:
    """The old one is outdated by the page, and the first read brings the new one."""
    await swept.read("t2")
    swept.catalogue.minutes["t2"] = 2
    await whole(swept)

    assert await swept.read("t2") == "2 changed"


async def test_a_single_call_follows(swept: Swept) -> None:
    """So that also what nobody reads is there."""
    await swept.read("t2")
    swept.catalogue.minutes["t2"] = 2
    await whole(swept)
    await swept.errands()

    assert swept.catalogue.asked[-1] == "t2"
    assert swept.replica.upstream.calls[-1].purpose is Purpose.REFRESH
    assert await swept.read("t2") == "2 l1"
    assert ("swept", (Key("p1", "t2"), ListVerdict.NEWER)) in swept.replica.observer.calls


async def test_a_caller_who_was_first_makes_that_call_needless(swept: Swept) -> None:
    """What is fresh by then is not fetched again."""
    await swept.read("t2")
    swept.catalogue.minutes["t2"] = 2
    await whole(swept)
    await swept.read("t2")
    asked = len(swept.catalogue.asked)
    await swept.errands()

    assert len(swept.catalogue.asked) == asked


async def test_the_old_version_rescues_while_the_new_one_cannot_be_had(swept: Swept) -> None:
    """Marked as stale: better than nothing."""
    await swept.read("t2")
    swept.catalogue.minutes["t2"] = 2
    await whole(swept)
    swept.catalogue.instead = lambda call: None if of_list(call) else fails()

    assert await swept.read("t2") == "1 stale-error"


async def test_a_304_to_a_date_does_not_lower_the_floor(swept: Swept) -> None:
    """Two edits in one second have the same `Last-Modified`."""
    dated = (b"last-modified", b"Tue, 14 Nov 2023 22:02:00 GMT")

    def answer(call: Call) -> Reply | None:
        if of_list(call):
            return None
        if call.last_modified is not None:
            return Reply(304, (dated,), b"")
        return ok(swept.catalogue.minutes["t2"], dated, training_id="t2")

    swept.catalogue.instead = answer
    await swept.read("t2")
    swept.catalogue.minutes["t2"] = 2
    await whole(swept)
    await swept.errands()
    await whole(swept)

    assert await swept.read("t2") == "2 l1"
    assert len(swept.sweep.contradictions) == 0


def fails() -> None:
    """No answer at all."""
    from gateway.core.errors import UpstreamUnreachable
    from gateway.core.vocabulary import FailureReason

    raise UpstreamUnreachable("no connection", FailureReason.CONNECT, sent=True)


async def test_other_replicas_are_told_once_a_page(clock: FakeClock) -> None:
    """Ids alone, however many changed."""
    hub, redis = Hub(), Redis(clock)
    told: list[Notice] = []
    HubBus(hub, told.append)
    swept = Swept(clock, Catalogue(*IDS), redis, bus=HubBus(hub, lambda _: None))
    for each in IDS:
        await swept.read(each)
    swept.catalogue.minutes |= {"t1": 2, "t3": 2}
    await whole(swept)

    (notice,) = told
    assert (notice.kind, notice.training_ids) == (NoticeKind.CHANGED, ("t1", "t3"))


async def test_what_was_gone_is_asked_for_when_it_is_listed_again(swept: Swept) -> None:
    """A remembered 404 does not outlive the page."""
    del swept.catalogue.minutes["t2"]
    assert (await swept.replica.get(Key("p1", "t2"))).handling.forward_status == 404
    swept.catalogue.minutes["t2"] = 1
    swept.clock.advance(1.0)
    await whole(swept)

    assert (await swept.read("t2")).startswith("1 ")


async def test_an_older_version_than_known_is_asked_about(swept: Swept) -> None:
    """The page decides nothing: what is stored stays, and a single call tells."""
    swept.catalogue.minutes["t2"] = 5
    await swept.read("t2")
    page = swept.catalogue.page(0)
    swept.catalogue.instead = lambda call: (
        replace(page, body=page.body.replace(b"22:05:00", b"22:03:00")) if of_list(call) else None
    )
    await whole(swept)

    assert await swept.read("t2") == "5 l1"
    await swept.errands()
    assert swept.catalogue.asked[-1] == "t2"
    assert swept.replica.upstream.calls[-1].purpose is Purpose.VERIFY


async def test_a_list_that_single_calls_contradict_is_left_alone(clock: FakeClock) -> None:
    """It shows other versions than they bring, again and again: it must not rule them out."""
    ids = [f"t{number}" for number in range(8)]
    swept = Swept(clock, Catalogue(*ids))
    for each in ids:
        await swept.read(each)
    page = swept.catalogue.page(0)
    swept.catalogue.instead = lambda call: (
        replace(
            page,
            body=page.body.replace(
                b'updated_at": "2023-11-14T22:01:00Z', b'updated_at": "2023-11-14T22:01:00.5Z'
            ),
        )
        if of_list(call)
        else None
    )
    for _ in range(4):
        await whole(swept)
        await swept.errands()
        if swept.sweep.state == "off":
            break

    assert swept.sweep.state == "off"
    ((_, why, _),) = swept.replica.observer.of("sweep_off")
    assert "other versions" in str(why)


async def test_who_is_missing_is_asked_for(swept: Swept, clock: FakeClock) -> None:
    """Absence is no deletion: a single call is, and then it is a 404 for everybody."""
    for each in IDS:
        await swept.read(each)
    await whole(swept)
    del swept.catalogue.minutes["t2"]
    await whole(swept)

    assert await swept.read("t2") == "1 l1"
    await swept.errands()
    assert swept.catalogue.asked[-1] == "t2"
    gone = await swept.replica.get(Key("p1", "t2"))
    assert gone.handling.detail == "negative"


async def test_who_is_missing_and_there_stays(swept: Swept) -> None:
    """A list that hides it loses nobody."""
    for each in IDS:
        await swept.read(each)
    await whole(swept)
    hidden = Catalogue("t1", "t3").page(0)
    swept.catalogue.instead = lambda call: hidden if of_list(call) else None
    await whole(swept)
    await swept.errands()

    assert await swept.read("t2") == "1 l1"


@pytest.mark.parametrize("with_redis", [False, True])
async def test_what_a_sweep_did_not_meet_is_not_fresh_beyond_the_bound(
    clock: FakeClock, with_redis: bool
) -> None:
    """Also where no single call was to be had for it; what was met is not asked for again."""
    redis = Redis(clock) if with_redis else None
    swept = Swept(clock, Catalogue(*IDS), redis, pace=OFTEN)
    for each in IDS:
        await swept.read(each)
    await swept.pages(2)
    del swept.catalogue.minutes["t2"]
    for _ in range(12):
        clock.advance(1.0)
        await swept.step()

    assert [await swept.read(each) for each in IDS] == ["1 l1", "1 stale-refreshing", "1 l1"]
    answer = await swept.replica.get(Key("p1", "t2"))
    assert isinstance(answer.content, Held)
    assert answer.content.entry.freshness_lifetime == 11.0


async def test_another_replica_does_not_take_it_for_fresh_either(clock: FakeClock) -> None:
    """It looks on: what it answers from is Redis' or its own."""
    redis, lease = Redis(clock), LedgerSweepLease(clock, pause_after=PAUSE_AFTER)
    swept = Swept(clock, Catalogue(*IDS), redis, pace=OFTEN, lease=lease)
    other = Swept(clock, Catalogue(*IDS), redis, pace=OFTEN, lease=lease, cold=True)
    for each in IDS:
        await swept.read(each)
    await other.read("t2")
    await swept.pages(2)
    del swept.catalogue.minutes["t2"]
    for _ in range(12):
        clock.advance(1.0)
        await swept.step()
    other.sweep._set_turn(await lease.take("p1", was_read=False))

    assert [await other.read(each) for each in ("t1", "t2")] == ["1 l2", "1 stale-refreshing"]


async def test_a_late_sweep_makes_nothing_stale(clock: FakeClock) -> None:
    """The bound is withdrawn, and answers are fresh for as long as the settings say."""
    swept = Swept(clock, Catalogue(*IDS), pace=OFTEN)
    for each in IDS:
        await swept.read(each)
    await swept.pages(6)
    states = [swept.sweep.state]
    clock.advance(20.0)
    states.append(swept.sweep.state)

    assert states == ["on", "warming"]
    assert await swept.read("t1") == "1 l1"


async def test_many_deletions_take_few_calls(clock: FakeClock) -> None:
    """Those that the sweep's pages leave, and the most read first."""
    ids = [f"t{number:03d}" for number in range(250)]
    swept = Swept(clock, Catalogue(*ids), pace=OFTEN)
    for each in (*ids, ids[240]):
        await swept.read(each)
    await swept.pages(3)
    for each in ids[100:]:
        del swept.catalogue.minutes[each]
    await swept.pages(1)

    assert len(swept.following._errands) == OFTEN.spare(100) == 3
    await swept.errand()
    assert swept.catalogue.asked[-1] == ids[240]
    for _ in range(2):
        await swept.errand()
    await swept.pages(2)
    assert len(swept.following._errands) <= 3


async def test_a_thousand_that_are_deleted_at_once_are_not_fresh_beyond_the_bound(
    clock: FakeClock,
) -> None:
    """A page names at most 400 of them, and no single call is made. Every fourth is stored."""
    ids = [f"t{number:04d}" for number in range(1_200)]
    swept = Swept(clock, Catalogue(*ids), pace=Pace(None, 1.0, 5.0, 30.0, 0.0))
    for each in ids[::4]:
        await swept.read(each)
    await swept.pages(12)
    for each in ids[50:1_050]:
        del swept.catalogue.minutes[each]
    deleted_at = clock.now()
    while swept.sweep.allowed is None or clock.now() - deleted_at < swept.sweep.allowed.seconds:
        clock.advance(await swept.step() or 0.1)

    said = {each: await swept.read(each) for each in ids[::4]}
    fresh = {each for each, what in said.items() if what == "1 l1"}
    assert fresh == swept.catalogue.minutes.keys() & said.keys()
    assert set(said.values()) == {"1 l1", "1 stale-refreshing"}


async def test_nobody_asks_for_what_is_not_stored(swept: Swept) -> None:
    """That there is nothing anybody could be answered with is known without a call."""
    await whole(swept)
    del swept.catalogue.minutes["t2"]
    await whole(swept)
    await swept.errands()

    assert "t2" not in swept.catalogue.asked


async def test_an_insert_on_the_first_page_loses_nobody(clock: FakeClock) -> None:
    """Rows shift, and the last of a page comes once more on the next."""
    ids = [f"t{number:03d}" for number in range(250)]
    swept = Swept(clock, Catalogue(*ids))
    for each in (ids[99], ids[100], ids[249]):
        await swept.read(each)
    await swept.pages(1)
    swept.catalogue.minutes = {"new": 1} | swept.catalogue.minutes
    await swept.pages(2)
    for each in (ids[99], ids[100], ids[249]):
        assert (await swept.read(each)).endswith("l1")
    await swept.errands()

    assert swept.replica.observer.of("sweep_ended") == [("default", False, 250)]
    assert [each for each in swept.catalogue.asked if isinstance(each, str)] == [
        ids[99],
        ids[100],
        ids[249],
    ]


async def test_a_row_that_slipped_through_is_asked_for_singly(clock: FakeClock) -> None:
    """A deletion in mid-sweep pulls a row over the edge of a page that was read already."""
    ids = [f"t{number:03d}" for number in range(250)]
    swept = Swept(clock, Catalogue(*ids))
    await swept.read(ids[100])
    await swept.pages(3)
    await swept.pages(1)
    del swept.catalogue.minutes[ids[5]]
    await swept.pages(1)
    await swept.errands()

    assert swept.catalogue.asked[-1] == ids[100]
    assert await swept.read(ids[100]) == "1 l1"


async def test_items_that_are_no_trainings_are_counted_and_set_aside(swept: Swept) -> None:
    """The rest of the page counts."""
    await swept.read("t1")
    page = swept.catalogue.page(0)
    bad = replace(page, body=page.body.replace(b'"id": "t2"', b'"id": 7'))
    swept.catalogue.instead = lambda call: bad if of_list(call) else None
    for _ in range(5):
        await whole(swept)

    assert await swept.read("t1") == "1 l1"
    assert {name for _, name, _ in swept.replica.observer.of("payload_rejected")} == {"(the list)"}
    assert swept.replica.observer.of("sweep_ended")[0][1] is False


def test_a_call_for_a_page_is_told_from_others() -> None:
    """The double tells them apart by what the port says."""
    assert of_list(Call("", "t", Purpose.SWEEP, 0.0, offset=0))
    assert not of_list(Call("t1", "t", Purpose.MISS, 0.0))


# ---- a list that contradicts single answers


def listing(swept: Swept, change: Callable[[list[dict[str, object]]], None]) -> None:
    """The list shows its rows as changed; single answers stay as they are."""

    def instead(call: Call) -> Reply | None:
        if call.offset is None:
            return None
        page = swept.catalogue.page(call.offset)
        words = json.loads(page.body)
        change(words["items"])
        return replace(page, body=json.dumps(words).encode())

    swept.catalogue.instead = instead


def rounded(*ids: str) -> Callable[[list[dict[str, object]]], None]:
    """Half a second later than single answers have it."""

    def change(rows: list[dict[str, object]]) -> None:
        for row in rows:
            if row["id"] in ids:
                row["updated_at"] = str(row["updated_at"]).replace("Z", ".5Z")

    return change


async def sweeps(swept: Swept, count: int) -> None:
    """So many pages, the single calls that follow, and the next look of the sweep."""
    for _ in range(count):
        await whole(swept)
        await swept.errands()
        await swept.step()


async def ways_of(swept: Swept, training_id: str) -> set[str]:
    """How fifty requests in ten sweeps are answered, refreshes behind them done."""
    ways = set()
    for _ in range(10):
        for _ in range(5):
            ways.add(await swept.read(training_id))
            await swept.replica.land()
        await sweeps(swept, 1)
    return ways


async def test_a_list_that_rounds_costs_one_single_call(swept: Swept) -> None:
    """Requests for that training are answered from what is stored, and no others either."""
    for each in IDS:
        await swept.read(each)
    listing(swept, rounded("t2"))
    await sweeps(swept, 1)
    assert [await swept.read(each) for each in IDS] == ["1 l1"] * 3
    assert swept.catalogue.asked.count("t2") == 2

    assert await ways_of(swept, "t2") <= {"1 l1", "1 stale-refreshing"}
    assert swept.catalogue.asked.count("t2") <= 2 + 150 / 27
    assert swept.sweep.state != "off"
    assert "t2" in swept.sweep.contradictions
    assert ("swept", (Key("p1", "t2"), ListVerdict.CONTRADICTED)) in swept.replica.observer.calls


async def test_an_edit_shows_also_where_the_list_is_not_believed(swept: Swept) -> None:
    """Its claim is another one, and a single call follows: one for each edit."""
    await swept.read("t2")
    listing(swept, rounded("t2"))
    await sweeps(swept, 1)
    for minute in (2, 3):
        swept.catalogue.minutes["t2"] = minute
        await sweeps(swept, 2)
        assert await swept.read("t2") == f"{minute} l1"

    assert swept.catalogue.asked.count("t2") == 4


async def test_a_list_that_agrees_again_is_believed_again(swept: Swept) -> None:
    """After a whole sweep, without a call."""
    await swept.read("t2")
    listing(swept, rounded("t2"))
    await sweeps(swept, 2)
    swept.catalogue.instead = lambda _: None
    await sweeps(swept, 3)

    assert len(swept.sweep.contradictions) == 0
    assert swept.catalogue.asked.count("t2") == 2
    held = swept.replica.local.peek(Key("p1", "t2"))
    assert held is not None
    assert held.entry.age(swept.clock.now()) < 20.0


async def test_what_the_list_is_not_believed_about_is_not_fresh_beyond_the_bound(
    clock: FakeClock,
) -> None:
    """Pages do not renew it, so it is as old as its single answer."""
    swept = Swept(clock, Catalogue(*IDS), pace=OFTEN)
    for each in IDS:
        await swept.read(each)
    listing(swept, rounded("t2"))
    await sweeps(swept, 1)
    for _ in range(12):
        clock.advance(1.0)
        await swept.step()

    assert [await swept.read(each) for each in IDS] == ["1 l1", "1 stale-refreshing", "1 l1"]


async def test_a_row_that_stands_twice_is_asked_about_once(swept: Swept) -> None:
    """With two versions, of which one is wrong: neither counts."""

    def change(rows: list[dict[str, object]]) -> None:
        rows.append(rows[1] | {"updated_at": "2023-11-14T22:09:00Z"})

    for each in IDS:
        await swept.read(each)
    listing(swept, change)
    await sweeps(swept, 1)
    assert [await swept.read(each) for each in IDS] == ["1 l1"] * 3
    assert swept.catalogue.asked.count("t2") == 2

    assert await ways_of(swept, "t2") <= {"1 l1", "1 stale-refreshing"}
    assert swept.catalogue.asked.count("t2") <= 2 + 150 / 27


async def test_a_row_that_stands_twice_alike_counts_once(swept: Swept) -> None:
    """Rows that shift come twice."""
    await swept.read("t2")
    listing(swept, lambda rows: rows.append(rows[1]))
    await sweeps(swept, 3)

    assert swept.catalogue.asked.count("t2") == 1
    assert len(swept.sweep.contradictions) == 0


@pytest.mark.parametrize("late", [None, "take_back", "note"])
async def test_a_list_that_is_left_alone_has_no_claims_left(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, late: str | None
) -> None:
    """Five single answers contradict the list. Its claims about other trainings are taken back
    without calls. One late answer of Redis does not prevent that."""
    ids = [f"t{number}" for number in range(20)]
    swept = Swept(clock, Catalogue(*ids))
    for each in ids:
        await swept.read(each)
    listing(swept, rounded(*ids))
    await swept.pages(1)
    for _ in range(5):
        await swept.errand()
    if late == "take_back":
        fails_once(monkeypatch, swept.reconciliation._lists, "take_back", after=8)
    elif late == "note":
        fails_once(monkeypatch, swept.lease, "note")
    await swept.pages(1 if late != "note" else 2)
    while swept.following._next() is not None:
        pass  # they never come to be asked
    await swept.step()

    assert swept.sweep.state == "off"
    assert len(swept.replica.observer.of("sweep_off")) == 1
    asked = len(swept.catalogue.asked)
    assert {await swept.read(each) for each in ids} == {"1 l1"}
    assert len(swept.catalogue.asked) == asked


async def test_a_refuted_claim_is_taken_back_although_redis_was_late(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next look of the sweep. Otherwise each request for the training would cost a call."""
    for each in IDS:
        await swept.read(each)
    listing(swept, rounded(*IDS))
    fails_once(monkeypatch, swept.reconciliation._lists, "take_back")
    await sweeps(swept, 2)
    asked = len(swept.catalogue.asked)

    assert [await swept.read(each) for each in IDS] == ["1 l1"] * 3
    assert len(swept.catalogue.asked) == asked


async def test_the_answer_that_refuted_a_claim_is_stored_although_a_reply_was_lost(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis had lowered the floor. Otherwise the version before the answer would be served."""
    await swept.read("t1")
    swept.catalogue.minutes["t1"] = 2
    listing(swept, lambda rows: rows[0].update(updated_at="2023-11-14T22:09:00Z"))
    lists = swept.reconciliation._lists
    take_back, asked_back = lists.take_back, []

    async def loses_a_reply(key: Key, updated_at: Instant) -> bool:
        lowered = await take_back(key, updated_at)
        asked_back.append(key)
        if len(asked_back) == 1:
            raise RedisUnavailable("sweep", "no answer in time")
        return lowered

    monkeypatch.setattr(lists, "take_back", loses_a_reply)
    await sweeps(swept, 2)

    assert len(asked_back) == 2
    asked = len(swept.catalogue.asked)
    assert (await swept.read("t1"))[0] == "2"
    assert len(swept.catalogue.asked) == asked


async def test_deletions_are_no_contradictions_of_the_list(clock: FakeClock) -> None:
    """They came between a page and single calls: the list goes on."""
    ids = [f"t{number}" for number in range(8)]
    swept = Swept(clock, Catalogue(*ids))
    for each in ids:
        await swept.read(each)
        swept.catalogue.minutes[each] = 2
    await whole(swept)
    swept.catalogue.minutes.clear()
    await swept.errands()
    await whole(swept)

    assert swept.sweep.state != "off"


@pytest.mark.parametrize("is_twice", [False, True])
async def test_an_answer_from_before_the_page_contradicts_nothing(
    swept: Swept, clock: FakeClock, is_twice: bool
) -> None:
    """The single call joins a fetch that began before the edit. What the list says of the edit
    holds."""
    for each in IDS:
        await swept.read(each)
    clock.advance(31.0)
    release = asyncio.Event()

    async def late(call: Call) -> Reply:
        reply = await swept.catalogue.answer(call)
        if not of_list(call):
            await release.wait()
        return reply

    swept.replica.upstream.always = late
    assert await swept.read("t2") == "1 stale-refreshing"
    await settle()
    clock.advance(0.1)
    swept.catalogue.minutes["t2"] = 2
    if is_twice:
        before = {"updated_at": "2023-11-14T22:01:00Z"}
        listing(swept, lambda rows: rows.append(rows[1] | before))
    await whole(swept)
    errands = asyncio.create_task(swept.errands())
    await settle()
    release.set()
    await errands
    await swept.step()
    clock.advance(2.0)  # the answer was refused, so the training is left alone for a moment

    assert len(swept.sweep.contradictions) == 0
    assert await swept.read("t2") == ("1 l1" if is_twice else "2 changed")


# ---- edits that leave `updated_at` as it was


@dataclass
class Titles:
    """What the API says of trainings with other titles than `training` gives them. Their versions
    do not tell. `listed`: the titles on the list, if they are others than those of single answers.
    `has_tags`: single answers have an `ETag`, so the list never counts as proven."""

    swept: Swept
    single: dict[str, str] = field(default_factory=dict)
    listed: dict[str, str] | None = None
    has_tags: bool = True
    is_failing: bool = False

    def answer(self, call: Call) -> Reply | None:
        """What the API says instead."""
        if call.offset is None:
            if call.training_id not in self.swept.catalogue.minutes:
                return None
            body = training(1, call.training_id, self.single.get(call.training_id, "Refunds"))
            tags = ((b"etag", b'"%s"' % digest(body).encode()),) if self.has_tags else ()
            return says(503) if self.is_failing else replace(ok(1, *tags), body=body)
        page = self.swept.catalogue.page(call.offset)
        body = page.body
        for each, title in (self.single if self.listed is None else self.listed).items():
            body = body.replace(training(1, each), training(1, each, title))
        return replace(page, body=body)


async def titled(swept: Swept, *, has_tags: bool = True) -> Titles:
    """All trainings are read once, and swept once."""
    titles = Titles(swept, has_tags=has_tags)
    swept.catalogue.instead = titles.answer
    for each in swept.catalogue.minutes:
        await swept.read(each)
    await sweeps(swept, 1)
    return titles


async def title_of(swept: Swept, training_id: str) -> str:
    """What a caller gets."""
    content = (await swept.replica.get(Key("p1", training_id))).content
    assert isinstance(content, Held)
    title: str = json.loads(content.entry.body)["title"]
    return title


def singles(swept: Swept) -> list[str]:
    """What was asked for singly."""
    return [each for each in swept.catalogue.asked if isinstance(each, str)]


@pytest.mark.parametrize("has_tags", [True, False])
async def test_an_edit_without_a_version_costs_one_single_call(
    swept: Swept, has_tags: bool
) -> None:
    """Pages renew the stored response, so nothing else would ever bring the edit. Without tags,
    three trainings are too few to prove the list."""
    titles = await titled(swept, has_tags=has_tags)
    for title in ("Returns", "Refunds again"):
        titles.single["t2"] = title
        await sweeps(swept, 2)
        assert await title_of(swept, "t2") == title
    await sweeps(swept, 20)

    assert singles(swept) == [*IDS, "t2", "t2"]
    assert {call.purpose for call in swept.replica.upstream.calls[4:]} == {
        Purpose.SWEEP,
        Purpose.VERIFY,
    }


async def test_an_edit_without_a_version_is_asked_about_until_it_is_answered(
    swept: Swept, clock: FakeClock
) -> None:
    """An answer may be late, or never come. The next page asks again."""
    titles = await titled(swept)
    titles.single["t2"] = "Returns"
    titles.is_failing = True
    await sweeps(swept, 1)
    assert await title_of(swept, "t2") == "Refunds"
    titles.is_failing = False
    clock.advance(60.0)
    await sweeps(swept, 1)

    assert await title_of(swept, "t2") == "Returns"


async def test_edits_without_a_version_take_few_calls(clock: FakeClock) -> None:
    """Half of those that the sweep's pages leave: the others are for trainings that are missing on
    the list, or whose version is in doubt."""
    ids = [f"t{number:02d}" for number in range(20)]
    swept = Swept(clock, Catalogue(*ids), Redis(clock), pace=OFTEN)
    titles = await titled(swept)
    titles.single.update(dict.fromkeys(ids, "Returns"))
    before = len(singles(swept))
    await sweeps(swept, 2)

    assert len(singles(swept)) - before == OFTEN.spare(20) == 3
    await sweeps(swept, 12)
    assert {await title_of(swept, each) for each in ids} == {"Returns"}
    assert len(singles(swept)) - before == 20


async def test_a_list_with_other_bytes_costs_few_single_calls(swept: Swept) -> None:
    """It has another title for each, whatever single answers say. Ten calls show that."""
    ids = [f"t{number:02d}" for number in range(30)]
    swept.catalogue.minutes = dict.fromkeys(ids, 1)
    titles = Titles(swept, listed=dict.fromkeys(ids, "Short"))
    swept.catalogue.instead = titles.answer
    for each in ids:
        await swept.read(each)
    await sweeps(swept, 30)

    assert len(singles(swept)) == 30 + 10
    assert {await title_of(swept, each) for each in ids} == {"Refunds"}


async def test_a_list_that_lagged_is_compared_again(clock: FakeClock) -> None:
    """A cache in front of the API has old pages, and readers have brought edits before. Once the
    list has them, the next edits show, however many there were."""
    ids = [f"t{number:02d}" for number in range(12)]
    swept = Swept(clock, Catalogue(*ids))
    titles = await titled(swept)
    titles.listed = {}
    for each in ids:
        titles.single[each] = "Returns"
        await swept.replica.invalidation.invalidate((each,), None, soft=True)
        assert await title_of(swept, each) == "Returns"
    await sweeps(swept, 24)
    assert len(singles(swept)) == 12 + 12 + 10
    titles.listed = None
    await sweeps(swept, 1)
    titles.single["t11"] = titles.single["t00"] = "Returns again"
    await sweeps(swept, 4)

    assert [await title_of(swept, each) for each in ("t00", "t05", "t11")] == [
        "Returns again",
        "Returns",
        "Returns again",
    ]
    assert len(singles(swept)) == 12 + 12 + 10 + 2


async def test_trainings_with_other_bytes_that_leave_the_list_do_not_count(
    clock: FakeClock,
) -> None:
    """The list lagged about ten, and they were deleted then. The next edit shows all the same."""
    ids = [f"t{number:02d}" for number in range(11)]
    swept = Swept(clock, Catalogue(*ids))
    titles = await titled(swept)
    titles.listed = dict.fromkeys(ids[:10], "Short")
    await sweeps(swept, 24)
    for each in ids[:10]:
        del swept.catalogue.minutes[each]
    await sweeps(swept, 2)
    titles.single["t10"] = titles.listed["t10"] = "Returns"
    await sweeps(swept, 2)

    assert await title_of(swept, "t10") == "Returns"


async def test_a_call_that_compares_bytes_is_not_answered_with_a_304(swept: Swept) -> None:
    """The API makes its tag from `updated_at`, so it is the same after the edit."""
    titles = await titled(swept, has_tags=False)

    def answer(call: Call) -> Reply | None:
        if call.offset is None and call.etag is not None:
            return Reply(304, ((b"etag", b'"1"'),), b"")
        reply = titles.answer(call)
        if call.offset is not None or reply is None:
            return reply
        return replace(reply, headers=(*reply.headers, (b"etag", b'"1"')))

    swept.catalogue.instead = answer
    await swept.replica.invalidation.invalidate(("t2",), None, soft=True)
    assert await title_of(swept, "t2") == "Refunds"
    titles.single["t2"] = "Returns"
    await sweeps(swept, 2)

    assert await title_of(swept, "t2") == "Returns"


async def test_trainings_that_were_deleted_meanwhile_do_not_count(clock: FakeClock) -> None:
    """Ten of them are no list with other bytes. No page will ever agree about them."""
    ids = [f"t{number:02d}" for number in range(11)]
    swept = Swept(clock, Catalogue(*ids), pace=Pace(None, 1.0, 5.0, 30.0, 0.0))
    titles = await titled(swept)
    titles.single.update(dict.fromkeys(ids[:10], "Returns"))
    await whole(swept)
    for each in ids[:10]:
        del swept.catalogue.minutes[each]
    await swept.errands()
    assert singles(swept)[11:] == ids[:10]
    titles.single["t10"] = "Returns"
    await sweeps(swept, 1)

    assert await title_of(swept, "t10") == "Returns"
