"""filling: trainings stored from the list, and only where that is what a single call answers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from gateway.core.cache import policy
from gateway.core.cache.content_coding import NO_TRANSFORM
from gateway.core.cache.entry import Entry, Key, Ticket
from gateway.core.http.fields import Headers, Reply
from gateway.core.sweep.list_item import UNPROVEN, Listed
from gateway.core.upstream.training import names_digest
from gateway.core.vocabulary import Purpose, StoreVerdict
from gateway.flow.answer import Ask
from gateway.flow.sweep.store_from_list import Item
from gateway.ports import Call, Compared, Notice, Stored
from tests.doubles.clock import FakeClock
from tests.doubles.lease import BoardLease
from tests.unit.flow.house import KEY, OURS, Redis, ok, page, settle, training
from tests.unit.flow.leases import Town
from tests.unit.flow.sweeping import Catalogue, Swept, fails_once, of_list

IDS = [f"t{number:02d}" for number in range(60)]
MAX_AGE = (b"cache-control", b"max-age=60")


def swept_by(request: pytest.FixtureRequest, clock: FakeClock, *, cold: bool = False) -> Swept:
    """Sixty trainings, with Redis or without."""
    redis = Redis(clock) if request.param == "redis" else None
    return Swept(clock, Catalogue(*IDS), redis, cold=cold)


@pytest.fixture(params=["alone", "redis"])
def swept(request: pytest.FixtureRequest, clock: FakeClock) -> Swept:
    """A replica that was swept before."""
    return swept_by(request, clock)


@pytest.fixture(params=["alone", "redis"])
def cold(request: pytest.FixtureRequest, clock: FakeClock) -> Swept:
    """A replica that knows nothing yet."""
    return swept_by(request, clock, cold=True)


async def read_all(swept: Swept, count: int) -> None:
    """Callers ask for the first so many."""
    for each in IDS[:count]:
        await swept.read(each)


def singles(swept: Swept) -> list[str]:
    """What was asked for singly."""
    return [each for each in swept.catalogue.asked if isinstance(each, str)]


async def test_twenty_answers_of_callers_prove_the_list(swept: Swept) -> None:
    """From then on it stores what it lists; nobody else is asked for singly, but for checks."""
    await read_all(swept, 20)
    await swept.pages(3)
    await swept.errands()
    asked = singles(swept)

    for each in IDS:
        assert (await swept.read(each))[0] == "1"
    assert singles(swept) == asked
    assert len(asked) == 20


async def test_nineteen_do_not(swept: Swept) -> None:
    """Until then the list only confirms."""
    await read_all(swept, 19)
    await swept.pages(4)
    await swept.read(IDS[30])

    assert singles(swept)[-1] == IDS[30]


async def test_a_changed_training_is_stored_from_the_page(swept: Swept) -> None:
    """Without a call of its own, byte for byte what a single call would bring."""
    await read_all(swept, 20)
    await swept.pages(2)
    await swept.errands()
    swept.catalogue.minutes[IDS[3]] = 2
    asked = len(singles(swept))
    await swept.pages(1)
    await swept.errands()

    answer = await swept.replica.get(Key("p1", IDS[3]))
    assert len(singles(swept)) == asked
    assert (
        answer.content.body == ok(2, training_id=IDS[3]).body
        if isinstance(answer.content, Reply)
        else answer.content.entry.body == ok(2, training_id=IDS[3]).body
    )
    assert (await swept.read(IDS[3])).startswith("2 ")
    assert swept.replica.observer.of("lagged")


async def test_a_training_is_as_old_as_the_page_that_brought_it(swept: Swept) -> None:
    """A cache in front of the API says so of the page. The age counts for each item: for those
    that it confirms, and for those that are stored from it."""
    aged = ((b"age", b"25"), (b"date", b"Tue, 14 Nov 2023 22:12:55 GMT"))

    def instead(call: Call) -> Reply | None:
        page = swept.catalogue.page(call.offset) if call.offset is not None else None
        return page and replace(page, headers=(*page.headers, *aged))

    await read_all(swept, 20)
    await swept.pages(2)
    await swept.errands()
    swept.catalogue.instead = instead
    swept.catalogue.minutes[IDS[3]] = 2
    asked = singles(swept)
    await swept.pages(1)
    await swept.errands()

    confirmed, stored = [
        (await swept.replica.get(Key("p1", each))).content for each in (IDS[2], IDS[3])
    ]
    assert singles(swept) == asked
    assert not isinstance(confirmed, Reply)
    assert not isinstance(stored, Reply)
    assert [each.entry.initial_age for each in (confirmed, stored)] == [25.0, 25.0]
    assert confirmed.entry.date == stored.entry.date == "Tue, 14 Nov 2023 22:12:55 GMT"


async def test_items_are_chosen_in_pieces(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one turn of the loop at most eight items, so that no request waits for a page."""
    await read_all(swept, 20)
    await swept.pages(2)
    await swept.errands()
    chosen: list[bytes] = []
    pieces: list[int] = []

    def note(body: bytes) -> str:
        chosen.append(body)
        return names_digest(body)

    monkeypatch.setattr("gateway.flow.sweep.store_from_list.names_digest", note)

    async def count() -> None:
        while True:
            before = len(chosen)
            await asyncio.sleep(0)
            pieces.append(len(chosen) - before)

    swept.catalogue.minutes.update(dict.fromkeys(IDS, 2))
    counting = asyncio.create_task(count())
    await swept.pages(1)
    counting.cancel()

    assert sum(pieces) == len(IDS)
    assert max(pieces) <= 8


async def test_trainings_that_left_are_forgotten_in_pieces(swept: Swept) -> None:
    """In one turn of the loop at most 500 are looked up, however many the list had."""
    await swept.pages(2)
    known = swept.reconciliation._filling._tickets
    stays = dict(known)
    known.update((f"gone-{number}", Ticket("", 0, 0.0)) for number in range(2_000))
    pieces: list[int] = []

    async def count() -> None:
        while True:
            before = len(known)
            await asyncio.sleep(0)
            pieces.append(before - len(known))

    counting = asyncio.create_task(count())
    await swept.pages(1)
    counting.cancel()

    assert known == stays
    assert sum(pieces) == 2_000
    assert max(pieces) <= 500


async def test_other_replicas_hear_of_a_page_before_trainings_are_forgotten(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many trainings the forgetting takes long, and a promise counts on the notice."""
    await read_all(swept, 1)
    await swept.pages(2)
    known = swept.reconciliation._filling._tickets
    known["gone"] = Ticket("", 0, 0.0)
    told: list[bool] = []

    async def announce(_: Notice) -> None:
        told.append("gone" in known)

    monkeypatch.setattr(swept.reconciliation._bus, "announce", announce)
    swept.catalogue.minutes[IDS[0]] = 2
    await swept.pages(1)

    assert told == [True]
    assert "gone" not in known


async def test_a_page_that_is_applied_again_forgets_nothing(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis may fail after the first page was applied, and before that is noted."""
    await read_all(swept, 60)
    swept.catalogue.page_size = 20
    await swept.pages(6)
    known = swept.reconciliation._filling._tickets
    before = set(known)
    fails_once(monkeypatch, swept.lease, "advance")

    await swept.pages(2)

    assert swept.catalogue.pages_asked[-2:] == [0, 0]
    assert set(known) == before == set(IDS)


async def test_a_cold_start_proves_and_fills_by_itself(cold: Swept) -> None:
    """Twenty single calls, then the second sweep stores the rest; nobody read anything."""
    await cold.pages(1)
    for _ in range(5):
        assert 0.0 < await cold.step() < 1.0
    assert len(cold.catalogue.pages_asked) == 1
    await cold.errands()
    assert [call.purpose for call in cold.replica.upstream.calls[1:]] == [Purpose.WARM] * 20
    await cold.pages(1)
    await cold.errands()
    asked = singles(cold)

    for each in IDS:
        assert (await cold.read(each))[0] == "1"
    assert singles(cold) == asked
    assert len(asked) == 20


def reformatted(swept: Swept, *ids: str) -> None:
    """The list shows these in another form than single calls do."""

    def instead(call: Call) -> Reply | None:
        if not of_list(call):
            return None
        page = swept.catalogue.page(call.offset or 0)
        body = page.body
        for each in ids:
            body = body.replace(
                f'{{"id": "{each}", "title"'.encode(), f'{{"id": "{each}",  "title"'.encode()
            )
        return replace(page, body=body)

    swept.catalogue.instead = instead


async def test_a_list_in_another_form_is_never_served(swept: Swept) -> None:
    """However long it is swept: callers see the bytes of single calls alone."""
    reformatted(swept, *IDS)
    await read_all(swept, 40)
    for _ in range(4):
        swept.catalogue.minutes[IDS[5]] += 1
        await swept.pages(1)
        await swept.errands()
    for each in IDS:
        answer = await swept.replica.get(Key("p1", each))
        assert not isinstance(answer.content, Reply)
        minute = swept.catalogue.minutes[each]
        assert answer.content.entry.body == ok(minute, training_id=each).body


async def test_the_first_difference_takes_everything_back(swept: Swept) -> None:
    """What a check finds ends it for good: what was stored goes, and is fetched singly."""
    await read_all(swept, 20)
    await swept.pages(2)
    reformatted(swept, *IDS[:1])
    await swept.pages(1)
    await swept.errands()
    await swept.pages(1)
    await swept.errands()

    ((tenant, taken_back),) = swept.replica.observer.of("filling_stopped")
    assert (tenant, taken_back) == ("default", 40)
    before = singles(swept)
    assert set(IDS[20:]) <= set(before)
    swept.catalogue.minutes[IDS[30]] = 2
    await swept.pages(1)
    await swept.errands()
    assert singles(swept)[len(before) :] == [IDS[30]]


async def test_a_second_difference_is_counted_by_itself(swept: Swept) -> None:
    """Redis lost what was known of the list, so it was believed again."""
    await read_all(swept, 20)
    for number in (1, 2):
        swept.catalogue.instead = lambda _: None
        swept.reconciliation._filling._counted.clear()
        progress = (await swept.lease.take("p1", was_read=True)).progress
        await swept.lease.note("p1", replace(progress, likeness=UNPROVEN))
        await swept.pages(2)
        swept.catalogue.minutes[IDS[30]] = number
        await swept.pages(1)
        await swept.errands()
        reformatted(swept, *IDS[:1])
        for _ in range(3):
            await swept.pages(1)
            await swept.errands()

    assert swept.replica.observer.of("filling_stopped") == [("default", 40), ("default", 1)]


async def test_a_difference_counts_once_if_redis_loses_it_at_once(swept: Swept) -> None:
    """The list is believed again, and what is then stored from it stays."""
    await read_all(swept, 20)
    await swept.pages(2)
    reformatted(swept, *IDS[:1])
    await swept.pages(1)
    await swept.errands()
    await swept.pages(1)
    await swept.errands()
    swept.catalogue.instead = lambda _: None
    swept.reconciliation._filling._counted.clear()
    progress = (await swept.lease.take("p1", was_read=True)).progress
    assert progress.likeness.stopped
    await swept.lease.note("p1", replace(progress, likeness=UNPROVEN))
    await swept.pages(2)

    progress = (await swept.lease.take("p1", was_read=True)).progress
    assert progress.likeness.is_proven
    assert swept.replica.observer.of("filling_stopped") == [("default", 40)]


@pytest.mark.parametrize(
    ("of", "name", "after"),
    [
        ("lease", "filled", 0),
        ("lease", "forget_filled", 0),
        ("lease", "advance", 0),
        ("shared", "drop", 0),
        ("shared", "drop", 39),
    ],
)
async def test_a_difference_is_not_forgotten_if_redis_is_late(
    swept: Swept, monkeypatch: pytest.MonkeyPatch, of: str, name: str, after: int
) -> None:
    """What was stored from the list goes nevertheless, and nothing more is stored from it."""
    await read_all(swept, 20)
    await swept.pages(2)
    reformatted(swept, *IDS[:1])
    await swept.pages(1)
    await swept.errands()
    before = len(singles(swept))
    store: object = swept.lease if of == "lease" else swept.replica.shared
    fails_once(monkeypatch, store, name, after)
    await swept.pages(2)
    await swept.errands()

    assert set(IDS[20:]) <= set(singles(swept)[before:])
    before = len(singles(swept))
    swept.catalogue.minutes[IDS[30]] = 2
    await swept.pages(1)
    await swept.errands()
    assert singles(swept)[before:] == [IDS[30]]


async def test_nothing_is_fetched_twice_if_redis_is_late(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was dropped before that is fetched meanwhile, and is not dropped again."""
    await read_all(swept, 20)
    await swept.pages(2)
    reformatted(swept, *IDS[:1])
    await swept.pages(1)
    await swept.errands()
    before = len(singles(swept))
    fails_once(monkeypatch, swept.replica.shared, "drop", 39)
    await swept.pages(1)
    await swept.errands()
    assert 0 < len(singles(swept)) - before < 40
    await swept.pages(1)
    await swept.errands()

    asked = sorted(singles(swept)[before:])
    assert asked == [IDS[0], *IDS[20:]]  # the first one has other bytes than its item
    assert swept.replica.observer.of("filling_stopped") == [("default", 40)]


async def test_what_is_taken_back_is_read_in_few_parts(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty are one reply; then there are no more. They are forgotten as they are dropped."""
    filled, forget, parts = swept.lease.filled, swept.lease.forget_filled, list[int]()

    async def told(partition: str, most: int) -> list[str]:
        ids = await filled(partition, most)
        parts.append(len(ids))
        return ids

    async def forgotten(partition: str, training_ids: Sequence[str]) -> None:
        parts.append(-len(training_ids))
        await forget(partition, training_ids)

    await read_all(swept, 20)
    await swept.pages(2)
    reformatted(swept, *IDS[:1])
    await swept.pages(1)
    await swept.errands()
    monkeypatch.setattr(swept.lease, "filled", told)
    monkeypatch.setattr(swept.lease, "forget_filled", forgotten)
    await swept.pages(1)

    assert parts == [40, *[-8] * 5, 0]


async def test_a_difference_is_not_forgotten_while_the_sweep_is_off(swept: Swept) -> None:
    """The page that switches the sweep off may be the one before which it was found."""
    await read_all(swept, 20)
    await swept.pages(2)
    reformatted(swept, *IDS[:1])
    await swept.pages(1)
    await swept.errands()
    swept.reconciliation._in_a_row = 5
    await swept.pages(1)

    progress = swept.sweep.progress
    assert progress is not None
    assert progress.off_why
    assert progress.likeness.stopped


async def test_a_difference_found_during_a_page_stops_that_page(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The single call that finds it may end while a page is compared; nothing is stored from it."""
    await read_all(swept, 20)
    await swept.pages(2)
    reformatted(swept, *IDS[:1])
    await swept.pages(1)
    swept.catalogue.minutes[IDS[30]] = 2
    lists = swept.reconciliation._lists
    compare = lists.compare

    async def slowly(partition: str, items: Sequence[Listed], keep: float) -> list[Compared]:
        await swept.errands()
        return await compare(partition, items, keep)

    monkeypatch.setattr(lists, "compare", slowly)
    asked = len(singles(swept))
    await swept.pages(1)

    assert swept.replica.observer.of("lagged") == []
    await swept.errands()
    assert IDS[30] in singles(swept)[asked:]


def rewritten(swept: Swept, call: Call, ids: Iterable[str], old: bytes, new: bytes) -> Reply:
    """What is answered, with one place of those trainings in other bytes."""
    catalogue, offset = swept.catalogue, call.offset
    minute = catalogue.minutes[call.training_id] if offset is None else 0
    answer = ok(minute, training_id=call.training_id) if offset is None else catalogue.page(offset)
    body = answer.body
    for each in ids:
        item = training(catalogue.minutes[each], each)
        assert old in item
        body = body.replace(item, item.replace(old, new))
    return replace(answer, body=body)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b', "directory_id": null', b""),
        (b'"is_draft": false, "directory_id": null', b'"directory_id": null, "is_draft": false'),
    ],
    ids=["dropped", "in another order"],
)
async def test_an_item_with_other_members_is_asked_for_singly(
    swept: Swept, old: bytes, new: bytes
) -> None:
    """Be it the only one that changed: no check would tell of it in time."""
    await read_all(swept, 20)
    await swept.pages(2)
    await swept.errands()
    swept.catalogue.minutes[IDS[3]] = 2
    swept.catalogue.instead = lambda call: (
        rewritten(swept, call, IDS[3:4], old, new) if of_list(call) else None
    )
    asked = len(singles(swept))
    await swept.pages(1)
    await swept.errands()

    answer = await swept.replica.get(Key("p1", IDS[3]))
    assert singles(swept)[asked:] == [IDS[3]]
    assert not isinstance(answer.content, Reply)
    assert answer.content.entry.body == ok(2, training_id=IDS[3]).body


async def test_members_that_changed_for_both_stop_nothing(swept: Swept) -> None:
    """What is stored has the old ones. One new answer shows that the list is right."""
    await read_all(swept, 20)
    await swept.pages(2)
    wider = [IDS[0]]
    swept.catalogue.instead = lambda call: rewritten(
        swept, call, wider, b', "title"', b', "level": 1, "title"'
    )
    for _ in range(3):
        await swept.pages(1)
        await swept.errands()
    wider.append(IDS[30])
    swept.catalogue.minutes[IDS[30]] = 2
    asked = singles(swept)
    await swept.pages(1)
    await swept.errands()

    assert swept.replica.observer.of("filling_stopped") == []
    assert singles(swept) == asked
    assert (await swept.read(IDS[30])).startswith("2 ")


async def test_an_answer_from_before_the_page_stops_nothing(swept: Swept) -> None:
    """The check joins a fetch that began before both got a new member."""
    await read_all(swept, 20)
    await swept.pages(2)
    await swept.errands()
    swept.clock.advance(31.0)
    release = asyncio.Event()
    wider: list[str] = []
    swept.catalogue.instead = lambda call: rewritten(
        swept, call, wider, b', "title"', b', "level": 1, "title"'
    )

    async def late(call: Call) -> Reply:
        reply = await swept.catalogue.answer(call)
        if not of_list(call):
            await release.wait()
        return reply

    swept.replica.upstream.always = late
    assert await swept.read(IDS[0]) == "1 stale-refreshing"
    await settle()
    swept.clock.advance(0.1)
    wider.append(IDS[0])
    await swept.pages(1)
    checks = asyncio.create_task(swept.errands())
    await settle()
    release.set()
    await checks
    await swept.pages(2)

    assert swept.replica.observer.of("filling_stopped") == []


async def test_answers_with_validators_are_never_filled(swept: Swept) -> None:
    """A page has none for each of its items, and a 304 would be lost."""

    def tagged(call: Call) -> Reply | None:
        if of_list(call):
            return None
        return ok(1, (b"etag", b'"v"'), training_id=call.training_id)

    swept.catalogue.instead = tagged
    await read_all(swept, 30)
    await swept.pages(3)
    await swept.read(IDS[40])

    assert singles(swept)[-1] == IDS[40]


async def filled_beside(swept: Swept, control: tuple[bytes, bytes]) -> Headers:
    """The fields of a stored item, if single answers have this `Cache-Control` and the page has
    none."""
    swept.catalogue.instead = lambda call: (
        None if of_list(call) else ok(1, control, training_id=call.training_id)
    )
    await read_all(swept, 20)
    await swept.pages(3)
    asked = singles(swept)

    answer = await swept.replica.get(Key("p1", IDS[40]))

    assert singles(swept) == asked
    assert not isinstance(answer.content, Reply)
    return answer.content.entry.headers


async def test_a_stored_item_has_the_no_transform_of_single_answers(swept: Swept) -> None:
    """Though the page does not say it: a caller gets the item in place of a single answer."""
    assert NO_TRANSFORM in await filled_beside(swept, NO_TRANSFORM)


async def test_another_cache_control_of_single_answers_is_no_no_transform(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries that were stored under `freshness.source = "origin"` have the whole field."""
    kept = policy._kept
    monkeypatch.setattr(
        policy, "_kept", lambda headers: (*kept(headers), *[p for p in headers if p == MAX_AGE])
    )

    assert NO_TRANSFORM not in await filled_beside(swept, MAX_AGE)


async def test_what_was_ordered_meanwhile_is_not_brought_back(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A purge between the page's call and its answer: the ticket is from before."""
    await read_all(swept, 20)
    await swept.pages(2)
    await swept.errands()
    swept.catalogue.minutes[IDS[3]] = 2

    async def purge(call: Call) -> None:
        await swept.replica.invalidation.purge(None, soft=False)

    answer = swept.catalogue.answer

    async def late(call: Call) -> Reply:
        reply = await answer(call)
        if of_list(call):
            await purge(call)
        return reply

    swept.replica.upstream.always = late
    await swept.pages(1)
    swept.replica.upstream.always = answer
    asked = len(singles(swept))

    assert (await swept.read(IDS[3])).startswith("2 ")
    assert len(singles(swept)) == asked + 1


@pytest.mark.parametrize("orders_before", [0, 1])
async def test_a_soft_order_during_the_storing_is_not_undone(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, orders_before: int
) -> None:
    """Redis had accepted the item, and the order was carried out before its answer was read."""
    swept = Swept(clock, Catalogue(*IDS), Redis(clock))
    await read_all(swept, 20)
    await swept.pages(2)
    await swept.errands()
    for _ in range(orders_before):
        await swept.replica.invalidation.invalidate((IDS[3],), None, soft=True)
        await swept.pages(1)
    swept.catalogue.minutes[IDS[3]] = 2
    store = swept.replica.shared.store
    ordered: list[StoreVerdict] = []

    async def overtaken(key: Key, entry: Entry, keep: float) -> Stored:
        stored = await store(key, entry, keep)
        if key.training_id == IDS[3] and not ordered:
            ordered.append(stored.verdict)
            await swept.replica.invalidation.invalidate((IDS[3],), None, soft=True)
        return stored

    monkeypatch.setattr(swept.replica.shared, "store", overtaken)
    await swept.pages(1)
    asked = len(singles(swept))

    assert ordered == [StoreVerdict.CHANGED]
    assert (await swept.read(IDS[3])).startswith("2 ")
    assert len(singles(swept)) == asked + 1, "it was served without asking"


async def test_what_is_stored_is_noted_also_if_redis_was_late(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a difference that is found later would not drop it."""
    await read_all(swept, 20)
    fails_once(monkeypatch, swept.lease, "note_filled")
    await swept.pages(4)
    asked = singles(swept)

    assert (await swept.read(IDS[30])).startswith("1 ")
    assert singles(swept) == asked
    assert await swept.lease.filled("p1", 100) == IDS[20:]


async def test_checks_come_one_a_sweep(clock: FakeClock) -> None:
    """Else they would put off the pages, and with them what is promised of everybody."""
    ids = [f"t{number:03d}" for number in range(180)]
    swept = Swept(clock, Catalogue(*ids))
    for each in ids[:20]:
        await swept.read(each)
    await swept.pages(4)  # proven on the first, and all is stored by the fourth
    asked = len(singles(swept))
    counts = []
    for _ in range(5):
        await swept.pages(2)
        await swept.errands()
        counts.append(len(singles(swept)) - asked)

    assert counts[-1] == 3
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise([0, *counts]))


async def test_a_check_that_another_replica_answered_is_made_again() -> None:
    """What the other one stored does not tell when its call was made."""
    town = Town()
    others = [f"u{number}" for number in range(49)]
    swept = Swept(town.clock, Catalogue(*IDS[:20], KEY.training_id, *others), town.redis)
    swept.replica.collapsing._lease = BoardLease(town.board)
    await read_all(swept, 20)
    await swept.pages(2)  # the other fifty are stored, and the first of them is to be checked
    asked = len(singles(swept))
    await swept.pages(1)
    town.clock.advance(0.1)
    other = town.replica()
    other.upstream.then(ok(1))
    other.upstream.hold()
    ask = Ask(KEY, OURS)
    elsewhere = other.serving.start(ask, await other.serving.seen(ask), Purpose.REVALIDATION)
    await settle()
    checks = asyncio.create_task(swept.errands())
    await settle()
    other.upstream.release()
    await elsewhere.join()
    await checks
    assert singles(swept)[asked:] == []

    for _ in range(3):
        await swept.pages(1)
        await swept.errands()

    assert singles(swept)[asked:] == [KEY.training_id]


@pytest.mark.parametrize(("age", "checks"), [(0.0, ["u0", "u0"]), (700.0, ["u0"])])
async def test_a_check_that_failed_is_made_again(
    clock: FakeClock, age: float, checks: list[str]
) -> None:
    """Else fewer items would be checked than are due. But after an outage the body has perhaps
    changed since the page."""
    swept = Swept(clock, Catalogue(*IDS[:20], *(f"u{number}" for number in range(50))))
    await read_all(swept, 20)
    await swept.pages(2)  # the fifty are stored, and the first of them is to be checked
    asked = len(singles(swept))
    swept.catalogue.instead = lambda call: None if of_list(call) else page(503)
    swept.clock.advance(age)
    await swept.pages(1)
    await swept.errands()
    swept.catalogue.instead = lambda _: None
    swept.clock.advance(2.0)
    for _ in range(3):
        await swept.pages(1)
        await swept.errands()

    assert [each for each in singles(swept)[asked:] if each == "u0"] == checks


async def test_what_was_counted_is_not_compared_again(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an answer that has been counted no header fields are read by the sweeps that follow."""
    swept = Swept(clock, Catalogue(*IDS[:20]))
    await read_all(swept, 20)
    await swept.pages(1)
    read: list[str] = []
    fields_of = swept.reconciliation._filling._fields_of

    def noted(item: Item) -> Headers | None:
        read.append(item.listed.training_id)
        return fields_of(item)

    monkeypatch.setattr(swept.reconciliation._filling, "_fields_of", noted)
    await swept.pages(2)

    assert read == []


async def test_trainings_that_come_and_go_leave_nothing_behind(clock: FakeClock) -> None:
    """What is remembered of each goes with it, a sweep later."""
    swept = Swept(clock, Catalogue(*IDS))
    filling = swept.reconciliation._filling
    await read_all(swept, 20)
    for number in range(40):
        swept.catalogue.minutes[f"new{number}"] = 1
        await swept.read(f"new{number}")
        await swept.pages(1)
        del swept.catalogue.minutes[f"new{number}"]
    await swept.pages(2)

    assert set(filling._tickets) <= set(IDS)
    assert set(filling._counted) <= set(IDS)
