"""following: single calls that nobody waits for, the most wanted first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.core.cache.entry import Key
from gateway.core.cache.policy import Windows
from gateway.core.cache.rfc9111 import ByOrigin
from gateway.core.vocabulary import Purpose
from gateway.flow.answer import Ask
from gateway.flow.fill.collapse import Landed
from gateway.flow.request.response_selection import chosen
from gateway.flow.sweep.refresh_queue import Errand, Following
from gateway.ports import Call
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import CALLER, KEY, OURS, SOFT, STALE, Replica, ok, page, says, settle
from tests.unit.flow.sweeping import Catalogue, Swept, following_of

IDS = ["t1", "t2", "t3"]


@pytest.fixture
def swept(clock: FakeClock) -> Swept:
    """A replica alone."""
    return Swept(clock, Catalogue(*IDS))


def errand(training_id: str, landed: list[Landed | None] | None = None) -> Errand:
    """One fetch, whatever is stored."""
    told: list[Landed | None] = [] if landed is None else landed
    return Errand(Ask(Key("p1", training_id), OURS), Purpose.VERIFY, told.append)


async def test_what_is_read_most_goes_first(swept: Swept) -> None:
    """As far as this replica knows."""
    for each, times in (("t1", 2), ("t2", 9), ("t3", 5)):
        for _ in range(times):
            await swept.read(each)
    swept.catalogue.asked.clear()
    for each in IDS:
        swept.following.send(errand(each))
    await swept.errands()

    assert swept.catalogue.asked == ["t2", "t3", "t1"]


async def test_the_same_errand_is_run_once(swept: Swept) -> None:
    """However often it is sent before its turn, and whoever sent it is told."""
    landed: list[Landed | None] = []
    for _ in range(3):
        swept.following.send(errand("t1", landed))

    assert len(swept.following._errands) == 1
    await swept.errands()
    assert (len(landed), swept.catalogue.asked) == (3, ["t1"])


async def test_what_waited_goes_with_the_token_that_the_tenant_has_then(swept: Swept) -> None:
    """The one that it had when the fetch was sent may be revoked meanwhile."""
    swept.following.send(errand("t1"))
    swept.replica.tokens[OURS.tenant] = "T-NEW"
    await swept.errands()

    call = swept.replica.upstream.calls[-1]
    assert isinstance(call, Call)
    assert call.token == "T-NEW"


async def test_without_budget_it_waits(clock: FakeClock) -> None:
    """And is not forgotten."""
    swept = Swept(clock, Catalogue(*IDS), limit=1)
    await swept.read("t3")
    swept.following.send(errand("t1"))
    first = swept.following._next()
    assert first is not None

    assert 0.0 < await swept.following._run(first) <= 5.0
    assert len(swept.following._errands) == 1


async def test_what_nobody_reads_waits_no_longer_than_for_one_call(clock: FakeClock) -> None:
    """The sweep waits for it, and finds it again. Its end holds nothing else up."""
    swept = Swept(clock, Catalogue(*IDS), limit=1)
    await swept.read("t3")
    landed: list[Landed | None] = []
    swept.following.send(errand("t1", landed))

    await swept.errand()
    second = swept.following._next()
    assert second is not None

    assert await swept.following._run(second) == 0.0
    assert (landed, len(swept.following._errands)) == ([None], 0)


async def test_a_failure_is_not_tried_again_at_once(swept: Swept) -> None:
    """The next sweep sends it anew, and not before the failure is over."""
    swept.catalogue.instead = lambda _: page(503)
    for _ in range(3):
        swept.following.send(errand("t1"))
        await swept.errands()

    assert swept.catalogue.asked == ["t1"]


async def test_a_callers_fetch_is_joined(swept: Swept) -> None:
    """Two calls for one answer would be one too many."""
    swept.replica.upstream.hold()
    caller = asyncio.create_task(swept.read("t1"))
    await settle()
    landed: list[Landed | None] = []
    swept.following.send(errand("t1", landed))
    errands = asyncio.create_task(swept.errands())
    await settle()
    swept.replica.upstream.release()
    await asyncio.gather(caller, errands)

    assert swept.catalogue.asked == ["t1"]
    assert len(landed) == 1


async def test_errands_run_by_themselves(swept: Swept) -> None:
    """Until the owner cancels."""
    task = asyncio.create_task(swept.following.run())
    swept.following.send(errand("t1"))
    swept.following.send(errand("t2"))
    await settle()
    await settle()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert sorted(map(str, swept.catalogue.asked)) == ["t1", "t2"]


FIVE = ["t1", "t2", "t3", "t4", "t5"]


@contextlib.asynccontextmanager
async def running(following: Following) -> AsyncIterator[None]:
    """Its workers, ended at the end."""
    task = asyncio.create_task(following.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def advance(swept: Swept, seconds: int) -> None:
    """Let the time go on, and everybody do what they can meanwhile."""
    for _ in range(seconds):
        swept.clock.advance(1.0)
        await settle()


async def short(*ids: str, minutes: dict[str, int] | None = None) -> Swept:
    """A replica that holds these, stale; ten seconds later there are two calls, and half a minute
    later as many as there are ids."""
    clock = FakeClock(waiting=True)
    swept = Swept(clock, Catalogue(*ids, "other-1", "other-2"), limit=len(ids) + 2)
    swept.catalogue.minutes |= minutes or {}
    for each in ("other-1", "other-2"):
        await swept.read(each)
    clock.advance(20.0)
    for each in ids:
        await swept.read(each)
    clock.advance(STALE)
    swept.catalogue.asked.clear()
    return swept


def places(swept: Swept, *ids: str) -> list[tuple[int, int] | None]:
    """Where each of them waits."""
    return [swept.following.place(Key("p1", each)) for each in ids]


async def test_when_calls_are_short_what_is_read_most_is_refreshed_first() -> None:
    """Two calls for five that were read once to five times: the two that were read most have
    them, whoever asked first; the others come when there are more."""
    swept = await short(*FIVE)
    async with running(swept.following):
        for times, each in enumerate(FIVE, start=1):
            for _ in range(times):
                await swept.read(each)
            await settle()
        assert swept.catalogue.asked == []
        assert places(swept, *FIVE) == [(5, 5), (4, 5), (3, 5), (2, 5), (1, 5)]

        await advance(swept, 12)
        assert swept.catalogue.asked == ["t5", "t4"]
        assert places(swept, *FIVE) == [(3, 3), (2, 3), (1, 3), None, None]

        await advance(swept, 20)
        assert swept.catalogue.asked == ["t5", "t4", "t3", "t2", "t1"]
        assert len(swept.following._errands) == 0


async def test_of_what_is_read_alike_what_changed_last_goes_first() -> None:
    """It is found changed more often."""
    swept = await short("t1", "t2", "t3", minutes={"t2": 11, "t3": 12})
    async with running(swept.following):
        for each in ("t1", "t2", "t3"):
            await swept.read(each)
        await settle()

        await advance(swept, 12)

        assert swept.catalogue.asked == ["t3", "t2"]


async def test_who_is_read_less_leaves_the_call_to_who_waits() -> None:
    """Also at the moment when there is one, and its reader is the first to come."""
    swept = await short(*FIVE)
    async with running(swept.following):
        for each in ("t2", "t3", "t3"):
            await swept.read(each)
        await advance(swept, 8)
        swept.clock.advance(2.0)

        assert await swept.read("t1") == "1 stale-shielded"
        await advance(swept, 3)

        assert swept.catalogue.asked == ["t3", "t2"]
        assert places(swept, "t1") == [(1, 1)]


async def test_only_the_most_wanted_asks_while_there_is_no_call() -> None:
    """Of several who ask one after the other any may be the one that comes when there is."""
    swept = await short(*FIVE)
    denied = swept.replica.observer.of
    async with running(swept.following):
        for each in ("t1", "t2", "t3", "t4", "t5", "t5"):
            await swept.read(each)
        await settle()
        before = len(denied("budget_denied"))

        await advance(swept, 9)

        assert len(denied("budget_denied")) == before + 1
        assert denied("fetch_failed")[-1][0] == Key("p1", "t5")


async def test_with_calls_enough_nobody_waits(swept: Swept) -> None:
    """The reader starts the refresh, as ever."""
    await swept.read("t1")
    swept.clock.advance(STALE)

    assert await swept.read("t1") == "1 stale-refreshing"
    await settle()
    assert swept.catalogue.asked == ["t1", "t1"]
    assert not swept.following.waits(Ask(Key("p1", "t2"), OURS))


async def test_what_the_list_found_has_changed_for_sure() -> None:
    """So it is wanted more than what is read alike and may have changed."""
    swept = await short("t1", "t2", "t3")
    for each in ("t1", "t2", "t3"):
        await swept.read(each)
    await settle()
    found = Errand(Ask(Key("p1", "t2"), OURS), Purpose.REFRESH, lambda _: None)

    swept.following.send(found)

    assert places(swept, "t1", "t2", "t3") == [(2, 3), (1, 3), (2, 3)]


async def test_who_sent_it_is_told_once_however_often_there_was_no_call() -> None:
    """A reader's refresh of the same training is no other fetch."""
    swept = await short("t1")
    landed: list[Landed | None] = []
    ask = Ask(Key("p1", "t1"), OURS)
    await swept.read("t1")
    await settle()
    swept.following.send(Errand(ask, Purpose.REFRESH, landed.append))
    swept.following.put_off(ask)
    assert len(swept.following._errands) == 1
    for _ in range(1_200):
        await swept.errand()

    swept.clock.advance(12.0)
    await swept.errand()

    assert swept.catalogue.asked == ["t1"]
    assert len(landed) == 1


async def test_a_tenant_without_calls_holds_nobody_else_up() -> None:
    """Nor do sweeps that may not go any more hold up what readers want."""
    swept = await short("t1")
    theirs = replace(OURS, scope="theirs", partition="p2")
    async with running(swept.following):
        await swept.read("t1")
        await settle()
        swept.following.send(
            Errand(Ask(Key("p2", "other-1"), theirs), Purpose.REFRESH, lambda _: None)
        )
        await settle()

        assert swept.catalogue.asked == ["other-1"]
        assert places(swept, "t1") == [(1, 1)]


async def test_a_reader_is_forgotten_when_the_answer_is_too_old() -> None:
    """And with it the credential: nobody can have it unasked any more."""
    swept = await short("t1", "t2")
    await swept.replica.outbound._close_gate("default", 600.0)
    async with running(swept.following):
        await swept.read("t1")
        await settle()
        found = Errand(Ask(Key("p1", "t2"), OURS), Purpose.REFRESH, lambda _: None)
        swept.following.send(found)

        await advance(swept, 310)

        assert places(swept, "t1", "t2") == [None, (1, 1)]
        assert swept.catalogue.asked == []


async def test_so_many_readers_wait_and_no_more(swept: Swept) -> None:
    """Who is left out starts nothing either, and comes with its next reader."""
    kept = [swept.following.put_off(Ask(Key("p1", f"t{number}"), OURS)) for number in range(600)]

    assert kept == [True] * 500 + [False] * 100
    assert len(swept.following._errands) == 500
    assert swept.following.waits(Ask(Key("p1", "t600"), OURS))
    assert len(swept.following._errands) == 500


async def test_what_the_upstream_failed_for_waits_no_more() -> None:
    """Its next reader asks, when the failure is over."""
    swept = await short("t1", "t2")
    async with running(swept.following):
        for each in ("t1", "t2"):
            await swept.read(each)
        await settle()
        swept.catalogue.instead = lambda _: page(503)

        await advance(swept, 12)

        assert sorted(map(str, swept.catalogue.asked)) == ["t1", "t2"]
        assert len(swept.following._errands) == 0
        assert not swept.following.waits(Ask(Key("p1", "t2"), OURS))


async def crowded(clock: FakeClock, *ids: str) -> Swept:
    """A replica that holds these, stale, with an upstream that answers nothing for now and room
    for two fetches that nobody waits for."""
    swept = Swept(clock, Catalogue(*ids), room=2)
    for each in ids:
        await swept.read(each)
    clock.advance(STALE)
    swept.replica.upstream.hold()
    swept.catalogue.asked.clear()
    return swept


async def test_so_many_are_under_way_and_the_most_wanted_is_next(clock: FakeClock) -> None:
    """The others wait for nothing else, and what is stored is answered at once."""
    swept = await crowded(clock, *FIVE)
    upstream = swept.replica.upstream
    async with running(swept.following):
        for times, each in enumerate(FIVE, start=1):
            for _ in range(times):
                assert await swept.read(each) == "1 stale-refreshing"
        await settle()
        assert upstream.inflight == 2
        assert places(swept, *FIVE) == [None, None, (3, 3), (2, 3), (1, 3)]

        upstream.release()
        await settle()
        await settle()

        assert swept.catalogue.asked == ["t1", "t2", "t5", "t4", "t3"]
        assert swept.replica.background.under_way == len(swept.following._errands) == 0


async def test_what_the_list_found_takes_the_same_room(clock: FakeClock) -> None:
    """Its calls and the refreshes of readers, together."""
    swept = await crowded(clock, *FIVE)
    async with running(swept.following):
        for each in FIVE[:3]:
            swept.following.send(errand(each))
        await settle()

        assert swept.replica.upstream.inflight == 2
        assert await swept.read("t4") == "1 stale-refreshing"
        await settle()
        assert swept.replica.upstream.inflight == 2


async def test_a_partition_whose_calls_hang_leaves_places_to_others(clock: FakeClock) -> None:
    """Its third call waits, the first one of another partition does not."""
    swept = await crowded(clock, *FIVE)
    other = replace(errand("t5"), ask=Ask(Key("p2", "t5"), OURS))
    async with running(swept.following):
        for each in FIVE[:3]:
            swept.following.send(errand(each))
        await settle()
        assert swept.replica.upstream.inflight == 2

        swept.following.send(other)
        await settle()

        assert swept.replica.upstream.inflight == 3


async def test_who_waits_for_an_answer_is_not_held_back(clock: FakeClock) -> None:
    """A caller with nothing stored, one that is past the windows, one that wants a version."""
    swept = await crowded(clock, *FIVE)
    async with running(swept.following):
        for each in FIVE[:3]:
            await swept.read(each)
        callers = [asyncio.create_task(swept.read("unknown"))]
        swept.clock.advance(SOFT)
        callers += [asyncio.create_task(swept.read(each)) for each in ("t3", "t5")]
        await settle()

        assert swept.replica.upstream.inflight == 5
        assert swept.replica.background.under_way == 2
        swept.replica.upstream.release()
        await asyncio.gather(*callers, return_exceptions=True)


async def test_whatever_becomes_of_a_fetch_there_is_room_again(clock: FakeClock) -> None:
    """It fails, or there is no call for it."""
    swept = await crowded(clock, *FIVE)
    swept.catalogue.instead = lambda _: page(503)
    async with running(swept.following):
        for each in FIVE:
            await swept.read(each)
        swept.replica.upstream.release()
        await settle()
        await settle()

    assert sorted(map(str, swept.catalogue.asked)) == FIVE
    assert swept.replica.background.under_way == 0


async def test_who_waits_for_a_call_takes_no_room() -> None:
    """The only room is for whoever has one."""
    swept = await short("t1")
    background = swept.replica.background
    theirs = replace(OURS, scope="theirs", partition="p2")
    async with running(swept.following):
        await swept.read("t1")
        await settle()

        assert (places(swept, "t1"), background.under_way) == ([(1, 1)], 0)
        swept.following.send(
            Errand(Ask(Key("p2", "other-1"), theirs), Purpose.REFRESH, lambda _: None)
        )
        await settle()
        assert swept.catalogue.asked == ["other-1"]


async def test_a_waiting_refresh_confirms_nothing_that_others_chose(
    clock: FakeClock,
) -> None:
    """A 304 about one variant would make another variant pass as it (`Vary`)."""
    rules = ByOrigin(Windows(), vary=True, is_shared=False)
    replica = Replica(clock, rules=rules)
    following = following_of(replica)
    fields = ((b"vary", b"Foo"), (b"last-modified", b"Mon, 13 Nov 2023 00:00:00 GMT"))
    one, other = (Ask(KEY, CALLER, extra=((b"foo", value),)) for value in (b"1", b"2"))
    replica.upstream.then(ok(1, *fields, (b"cache-control", b"max-age=30")), says(304))
    await replica.serving.get(other)
    clock.advance(STALE)

    following.send(Errand(one, Purpose.REFRESH, lambda _: None, for_readers=True))
    waiting = following._next()
    assert waiting is not None
    await following._run(waiting)

    assert replica.upstream.calls[-1].last_modified is None
    assert chosen(rules, one, await replica.serving.look_up(KEY)) is None


async def test_a_refresh_replaces_no_other_variant_that_is_fresh(clock: FakeClock) -> None:
    """It waited meanwhile. Readers of the other variant keep it."""
    replica = Replica(clock, rules=ByOrigin(Windows(), vary=True, is_shared=False))
    following = following_of(replica)
    fields = ((b"vary", b"Foo"), (b"cache-control", b"max-age=30"))
    one, other = (Ask(KEY, CALLER, extra=((b"foo", value),)) for value in (b"1", b"2"))
    replica.upstream.then(ok(1, *fields), ok(1, *fields))
    await replica.serving.get(one)
    clock.advance(31.0)
    following.send(Errand(one, Purpose.REFRESH, lambda _: None, for_readers=True))
    await replica.serving.get(other)
    waiting = following._next()
    assert waiting is not None
    await following._run(waiting)

    assert replica.upstream.count == 2
    assert replica.serving.peek(other) is not None
