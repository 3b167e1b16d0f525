"""refresher: fetches that no caller waits for, those that are read most first."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.core.cache.entry import Key
from gateway.core.cache.policy import Windows
from gateway.core.cache.rfc9111 import ByOrigin
from gateway.core.vocabulary import Purpose
from gateway.flow.answer import Ask
from gateway.flow.fill.collapse import Landed
from gateway.flow.fill.refresher import Errand, Refresher
from gateway.flow.request.response_selection import chosen
from gateway.ports import Call
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import CALLER, KEY, OURS, SOFT, STALE, Replica, ok, page, says, settle
from tests.unit.flow.sweeping import Catalogue, Swept

FIVE = ["t1", "t2", "t3", "t4", "t5"]
THEIRS = replace(OURS, scope="theirs", partition="p2")


def key(training_id: str) -> Key:
    """The key of one of our trainings."""
    return Key(OURS.partition, training_id)


def send(swept: Swept, *ids: str, purpose: Purpose = Purpose.VERIFY) -> list[Landed | None]:
    """Let the sweep want these. Returns where their results come."""
    landed: list[Landed | None] = []
    for each in ids:
        swept.replica.serving.send(Ask(key(each), OURS), purpose, landed.append)
    return landed


@contextlib.asynccontextmanager
async def running(swept: Swept) -> AsyncIterator[None]:
    """The refresher runs inside."""
    task = asyncio.create_task(swept.replica.refresher.run())
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


async def short(*ids: str) -> Swept:
    """A replica that holds these, stale; ten seconds later there are two calls, and half a minute
    later as many as there are ids."""
    clock = FakeClock(waiting=True)
    swept = Swept(clock, Catalogue(*ids, "other-1", "other-2"), limit=len(ids) + 2)
    for each in ("other-1", "other-2"):
        await swept.read(each)
    clock.advance(20.0)
    for each in ids:
        await swept.read(each)
    clock.advance(STALE)
    swept.catalogue.asked.clear()
    return swept


async def crowded(*ids: str) -> Swept:
    """A replica that holds these, stale, with an upstream that answers nothing for now, and room
    for four fetches, two for each partition."""
    clock = FakeClock(waiting=True)
    swept = Swept(clock, Catalogue(*ids), room=2)
    for each in ids:
        await swept.read(each)
    clock.advance(STALE)
    swept.replica.upstream.hold()
    swept.catalogue.asked.clear()
    return swept


def places(swept: Swept, *ids: str) -> list[tuple[int, int] | None]:
    """Where each of them waits."""
    return [swept.replica.refresher.place(key(each)) for each in ids]


async def test_when_calls_are_short_what_is_read_most_is_refreshed_first() -> None:
    """Two calls for five that were read once to five times: the two that were read most have
    them, whoever asked first; the others come when there are more."""
    swept = await short(*FIVE)
    async with running(swept):
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
        assert places(swept, *FIVE) == [None] * 5


async def test_a_training_that_is_read_less_leaves_the_call_to_those_that_wait() -> None:
    """Also at the moment when there is one, and its reader is the first to come."""
    swept = await short(*FIVE)
    async with running(swept):
        for each in ("t2", "t3", "t3"):
            await swept.read(each)
        await advance(swept, 8)
        swept.clock.advance(2.0)

        assert await swept.read("t1") == "1 stale-shielded"
        await advance(swept, 3)

        assert swept.catalogue.asked == ["t3", "t2"]
        assert places(swept, "t1") == [(1, 1)]


async def test_a_single_call_of_the_sweep_goes_before_refreshes() -> None:
    """Otherwise trainings that are read more could keep the sweep from looking at its list."""
    swept = await short(*FIVE)
    async with running(swept):
        for each in ("t2", "t3", "t3"):
            await swept.read(each)
        send(swept, "t1")

        await advance(swept, 12)

        assert swept.catalogue.asked == ["t1", "t3"]


async def test_only_the_most_wanted_asks_while_there_is_no_call() -> None:
    """Of several who ask one after the other any may be the one that comes when there is."""
    swept = await short(*FIVE)
    denied = swept.replica.observer.of
    async with running(swept):
        for each in ("t1", "t2", "t3", "t4", "t5", "t5"):
            await swept.read(each)
        await settle()
        before = len(denied("budget_denied"))

        await advance(swept, 9)

        assert len(denied("budget_denied")) == before + 1
        assert denied("noted")[-1][:2] == (key("t5"), "fetch.failed")


async def test_errands_for_one_training_are_one_call() -> None:
    """All are told once, however often no call was free. A refresh adds nothing."""
    swept = await short("t1")
    async with running(swept):
        landed = send(swept, "t1", "t1", purpose=Purpose.REFRESH)
        await settle()
        assert await swept.read("t1") == "1 stale-shielded"
        verified = send(swept, "t1")
        await advance(swept, 9)
        assert (places(swept, "t1"), landed, verified) == ([(1, 1)], [], [])

        await advance(swept, 3)

    assert swept.catalogue.asked == ["t1"]
    assert (len(landed), len(verified)) == (2, 1)


async def test_a_call_is_made_with_the_token_that_the_tenant_has_then() -> None:
    """The one that it had when the errand came may be revoked meanwhile."""
    swept = await short("t1")
    async with running(swept):
        landed = send(swept, "t1")
        await settle()
        swept.replica.tokens[OURS.tenant] = "T-NEW"
        await advance(swept, 12)

    call = swept.replica.upstream.calls[-1]
    assert isinstance(call, Call)
    assert (call.token, len(landed)) == ("T-NEW", 1)


async def test_a_tenant_without_calls_holds_nobody_else_up() -> None:
    """Nor do calls of the sweep hold up refreshes."""
    swept = await short("t1")
    async with running(swept):
        await swept.read("t1")
        await settle()
        swept.replica.serving.send(
            Ask(Key("p2", "other-1"), THEIRS), Purpose.REFRESH, lambda _: None
        )
        await settle()

        assert swept.catalogue.asked == ["other-1"]
        assert places(swept, "t1") == [(1, 1)]


async def test_an_errand_is_forgotten_after_five_minutes() -> None:
    """And with it the credential."""
    swept = await short("t1", "t2")
    await swept.replica.outbound._close_gate("default", 600.0)
    async with running(swept):
        await swept.read("t1")
        landed = send(swept, "t2")
        await advance(swept, 299)
        assert None not in places(swept, "t1", "t2")

        await advance(swept, 11)

        assert places(swept, "t1", "t2") == [None, None]
        assert (swept.catalogue.asked, landed) == ([], [None])
        assert not swept.replica.refresher.is_short(Ask(key("t1"), OURS))


async def test_so_many_wait_and_no_more() -> None:
    """Half of them for one partition. One that is left out is told so, and the next may wait."""
    swept = await crowded("t1")
    landed = send(swept, *(f"x{number}" for number in range(503)))
    assert landed == [None]

    theirs: list[Landed | None] = []
    for number in range(503):
        ask = Ask(Key("p2", f"x{number}"), THEIRS)
        swept.replica.serving.send(ask, Purpose.VERIFY, theirs.append)

    assert places(swept, "x2", "x501", "x502") == [(1, 500), (1, 500), None]
    assert theirs == [None] * 3


@pytest.mark.parametrize("purpose", [Purpose.REFRESH, Purpose.VERIFY])
async def test_a_failure_is_not_tried_again_at_once(clock: FakeClock, purpose: Purpose) -> None:
    """The next sweep or the next reader asks, when the failure is over."""
    swept = Swept(clock, Catalogue("t1"))
    swept.catalogue.instead = lambda _: page(503)
    for _ in range(3):
        send(swept, "t1", purpose=purpose)
        await settle()

    assert swept.catalogue.asked == ["t1"]
    assert swept.replica.serving.has_failed(key("t1"))


async def test_a_callers_fetch_is_joined(clock: FakeClock) -> None:
    """Two calls for one answer would be one too many."""
    swept = Swept(clock, Catalogue("t1"))
    swept.replica.upstream.hold()
    caller = asyncio.create_task(swept.read("t1"))
    await settle()
    landed = send(swept, "t1")
    await settle()
    swept.replica.upstream.release()
    await caller
    await settle()

    assert swept.catalogue.asked == ["t1"]
    assert len(landed) == 1


async def test_one_that_is_cancelled_before_it_begins_leaves_nothing(clock: FakeClock) -> None:
    """Neither a fetch under way nor a coroutine that nobody awaits, of which Python warns."""
    swept = Swept(clock, Catalogue("t1"))
    async with running(swept):
        await settle()
        send(swept, "t1")
    await settle()
    gc.collect()
    assert swept.catalogue.asked == []


async def test_so_many_are_under_way_and_the_most_wanted_is_next() -> None:
    """A partition has half of the places. What is stored is answered at once."""
    swept = await crowded(*FIVE)
    upstream = swept.replica.upstream
    async with running(swept):
        for times, each in enumerate(FIVE, start=1):
            for _ in range(times):
                assert await swept.read(each) == "1 stale-refreshing"
        await settle()
        assert upstream.inflight == 2
        assert places(swept, *FIVE) == [None, None, (3, 3), (2, 3), (1, 3)]
        for number in range(3):
            ask = Ask(Key("p2", f"x{number}"), THEIRS)
            swept.replica.serving.send(ask, Purpose.VERIFY, lambda _: None)
        await settle()
        assert upstream.inflight == 4

        upstream.release()
        await settle()
        await settle()

        assert [each for each in swept.catalogue.asked if each in FIVE] == [
            *("t1", "t2", "t5", "t4", "t3")
        ]


async def test_callers_that_wait_for_an_answer_are_not_held_back() -> None:
    """A caller with nothing stored, and those whose stored response is past the windows."""
    swept = await crowded(*FIVE)
    async with running(swept):
        for each in FIVE[:3]:
            await swept.read(each)
        callers = [asyncio.create_task(swept.read("unknown"))]
        swept.clock.advance(SOFT)
        callers += [asyncio.create_task(swept.read(each)) for each in ("t3", "t5")]
        await settle()

        assert swept.replica.upstream.inflight == 5
        swept.replica.upstream.release()
        await asyncio.gather(*callers, return_exceptions=True)


async def test_whatever_becomes_of_a_fetch_its_place_is_free_again() -> None:
    """It fails; others follow."""
    swept = await crowded(*FIVE)
    swept.catalogue.instead = lambda _: page(503)
    async with running(swept):
        for each in FIVE:
            await swept.read(each)
        swept.replica.upstream.release()
        await settle()
        await settle()

    assert sorted(map(str, swept.catalogue.asked)) == FIVE


async def test_the_place_of_a_fetch_that_has_ended_rests() -> None:
    """It is free so many seconds later, for every partition."""
    clock = FakeClock(waiting=True)
    refresher = Refresher(1, Replica(clock).local, clock, rest=0.1)
    began: list[float] = []

    async def fetch() -> None:
        began.append(asyncio.get_running_loop().time())

    for partition in ("a", "b"):
        ask = Ask(Key(partition, "t1"), CALLER)
        refresher.want(Errand(ask, Purpose.REFRESH, fetch))
    task = asyncio.create_task(refresher.run())
    await asyncio.sleep(0.5)
    task.cancel()

    assert began[1] - began[0] >= 0.1


async def test_a_waiting_refresh_confirms_nothing_that_others_chose(clock: FakeClock) -> None:
    """A 304 about one variant would make another variant pass as it (`Vary`). A variant that is
    fresh is not replaced."""
    rules = ByOrigin(Windows(), vary=True, is_shared=False)
    replica = Replica(clock, rules=rules)
    fields = ((b"vary", b"Foo"), (b"last-modified", b"Mon, 13 Nov 2023 00:00:00 GMT"))
    one, other = (Ask(KEY, CALLER, extra=((b"foo", value),)) for value in (b"1", b"2"))
    replica.upstream.then(ok(1, *fields, (b"cache-control", b"max-age=30")), says(304))
    await replica.gateway.get(other)
    replica.serving.send(one, Purpose.REFRESH, lambda _: None)
    await settle()
    assert replica.upstream.count == 1
    clock.advance(STALE)

    replica.serving.send(one, Purpose.REFRESH, lambda _: None)
    await settle()

    assert replica.upstream.calls[-1].last_modified is None
    assert chosen(rules, one, await replica.serving.under_way.look_up(KEY)) is None
