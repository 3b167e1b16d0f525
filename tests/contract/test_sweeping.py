"""SweepLease: one sweep for all replicas; in memory for a process alone, and on Redis."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from gateway.adapters.ledger import LedgerSweepLease
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.sweep import RedisSweepLease, decode_progress, encode_progress
from gateway.core.sweep.list_item import Likeness
from gateway.core.sweep.progress import Progress
from gateway.core.upstream.list_page import Page
from gateway.core.upstream.training import Training
from gateway.ports import SweepLease
from tests.contract.conftest import URLS
from tests.doubles.clocks import RealClock, TickingClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.stored import VERSION
from tests.support.redis_cluster import client_of

P = "p1"
KEEP = 600.0
_numbers = itertools.count(0xABC0)


def entropy() -> str:
    """Another replica."""
    return f"{next(_numbers):016x}"


def page(*ids: str, total: int = 4, more: bool = True) -> Page:
    """A page with these trainings."""
    items = tuple(Training(each, VERSION, "", b"") for each in ids)
    return Page(items, (), len(ids), total, more)


def lease_on(
    connection: Connection, *, lifetime: float = 30.0, pause_after: float = 30.0
) -> RedisSweepLease:
    """Another replica on that connection."""
    return RedisSweepLease(
        connection,
        "gateway",
        entropy=entropy,
        pause_after=pause_after,
        longest_keep=KEEP,
        lifetime=lifetime,
    )


@pytest.fixture
async def replica(any_redis_url: str) -> AsyncIterator[Callable[..., RedisSweepLease]]:
    """Makes replicas on one Redis, of each kind."""
    connection = Connection(any_redis_url, RealClock(), RecordingObserver(), timeout=30.0)
    assert await connection.check()

    def make(lifetime: float = 30.0, pause_after: float = 30.0) -> RedisSweepLease:
        return lease_on(connection, pause_after=pause_after, lifetime=lifetime)

    yield make
    await connection.close()


@pytest.fixture(params=["ledger", *URLS])
async def lease(request: pytest.FixtureRequest) -> AsyncIterator[SweepLease]:
    """Each implementation, nothing swept yet."""
    if request.param == "ledger":
        yield LedgerSweepLease(TickingClock(), pause_after=30.0)
        return
    url = request.getfixturevalue(URLS[request.param])
    connection = Connection(url, RealClock(), RecordingObserver(), timeout=30.0)
    assert await connection.check()
    yield lease_on(connection)
    await connection.close()


async def sweep(lease: SweepLease, *pages: Page) -> tuple[Progress, list[tuple[str, ...]]]:
    """Go through these pages; the ids that were absent on each."""
    progress = (await lease.take(P, was_read=True)).progress
    absent = []
    for each in pages:
        after = progress.after(each, 100.0)
        advanced = await lease.advance(P, after, each, progress)
        assert advanced is not None
        absent.append(advanced.absent)
        progress, distinct = after, advanced.distinct
    ended = progress.ended(complete=progress.is_complete(distinct))
    assert await lease.finish(P, ended, complete=progress.is_complete(distinct))
    return ended, absent


async def test_who_takes_it_first_leads_from_the_beginning(lease: SweepLease) -> None:
    """Nobody reads yet, and nothing is known."""
    turn = await lease.take(P, was_read=False)

    assert (turn.leads, turn.progress, turn.is_read) == (True, Progress(), False)
    assert turn.now > 0


async def test_a_read_counts_for_a_while(lease: SweepLease) -> None:
    """Also when the next look has nothing new to tell."""
    await lease.take(P, was_read=True)

    assert (await lease.take(P, was_read=False)).is_read
    assert not (await lease.take("p2", was_read=False)).is_read


async def test_progress_is_kept(lease: SweepLease) -> None:
    """Every field of it."""
    progress = Progress(3, 200, 250, False, (1.5, 2.5), (0.5,), "t", 7.5, 9.5, "403", Likeness(4))

    await lease.take(P, was_read=False)

    assert await lease.note(P, progress)

    assert (await lease.take(P, was_read=False)).progress == progress


async def test_a_sweep_counts_each_training_once(lease: SweepLease) -> None:
    """A row that shifted comes on two pages."""
    before = Progress()
    first = before.after(page("a", "b"), 1.0)
    await lease.take(P, was_read=True)
    advanced = await lease.advance(P, first, page("a", "b"), before)
    assert advanced is not None
    assert advanced.distinct == 2
    again = await lease.advance(P, first.after(page("b", "c"), 2.0), page("b", "c"), first)

    assert again is not None
    assert (again.distinct, again.absent) == (3, ())


async def test_what_a_complete_sweep_met_is_missed_until_the_next_complete_one(
    lease: SweepLease,
) -> None:
    """A sweep that met fewer than there are says nothing of the others."""
    await sweep(lease, page("a", "b"), page("c", "d", more=False))
    for total, absent in ((5, ["c"]), (4, ["c"]), (4, [])):
        pages = page("a", "b"), page("e", "d", total=total, more=False)
        _, found = await sweep(lease, *pages)

        assert [each for ids in found for each in ids] == absent


@pytest.mark.parametrize(
    ("pages", "absent"),
    [
        ((page("a", "b"), page("c", "d", more=False)), [(), ()]),
        ((page("a"), page("c", "d", more=False)), [(), ("b",)]),
        ((page("b"), page("c", "d", more=False)), [("a",), ()]),
        ((page("a", "b"), page("c", more=False)), [(), ("d",)]),
        ((page("new", "a"), page("b", "c"), page("d", more=False)), [(), (), ()]),
        ((page("a", "b"), page("b", "d", more=False)), [(), ("c",)]),
        ((page("x"), page("y", more=False)), [(), ()]),
    ],
)
async def test_who_should_stand_on_a_page_and_does_not_is_named(
    lease: SweepLease, pages: tuple[Page, ...], absent: list[tuple[str, ...]]
) -> None:
    """At the page where its neighbours are, however rows have shifted; strangers have none."""
    await sweep(lease, page("a", "b"), page("c", "d", more=False))

    _, found = await sweep(lease, *pages)

    assert found == absent


async def test_a_page_looks_at_400_rows_of_the_last_sweep_at_most(lease: SweepLease) -> None:
    """The first of those between its trainings; here 50 are still there."""
    ids = [f"t{number:04d}" for number in range(1_100)]
    await sweep(lease, page(*ids, total=1_100, more=False))

    _, absent = await sweep(lease, page(*ids[:50], *ids[-50:], total=100, more=False))

    assert absent == [tuple(ids[50:400])]


async def test_what_was_stored_from_the_list_is_remembered(lease: SweepLease) -> None:
    """Until it is taken back."""
    assert await lease.filled(P, 8) == []
    await lease.note_filled(P, ["b", "a"])
    await lease.note_filled(P, ["a", "c"])

    assert set(await lease.filled(P, 8)) == {"a", "b", "c"}
    assert await lease.filled("p2", 8) == []
    await lease.forget_filled(P, ["a", "c", "x"])
    assert await lease.filled(P, 8) == ["b"]
    await lease.forget_filled(P, ["b"])
    assert await lease.filled(P, 8) == []


async def test_what_was_stored_from_the_list_is_read_in_parts(lease: SweepLease) -> None:
    """It may be hundreds of thousands, and nobody waits for one reply with all of them."""
    ids = {f"t{number:03d}" for number in range(20)}
    await lease.note_filled(P, sorted(ids))
    parts = []
    while part := await lease.filled(P, 8):
        parts.append(part)
        await lease.forget_filled(P, part)

    assert [len(part) for part in parts] == [8, 8, 4]
    assert {each for part in parts for each in part} == ids


async def test_what_was_stored_from_the_list_is_remembered_while_pages_come(redis_url: str) -> None:
    """They renew the stored responses, so that these may live for ever; the record of them has to
    live longer, by as much as a floor."""
    connection = Connection(redis_url, RealClock(), RecordingObserver(), timeout=30.0)
    assert await connection.check()
    lease, name = lease_on(connection), f"gateway:{{{P}}}:sz"
    await lease.note_filled(P, ["a"])
    with client_of(redis_url) as client:
        first = client.pttl(name)
        client.pexpire(name, 60_000)

        await sweep(lease, page("a", more=False))
        renewed = client.pttl(name)
    await connection.close()

    assert 1_900 * KEEP < first <= 2_000 * KEEP
    assert 1_900 * KEEP < renewed <= 2_000 * KEEP


async def test_one_leads_and_the_others_look_on(
    replica: Callable[..., RedisSweepLease],
) -> None:
    """They see how far it is; a replica that does not lead moves nothing."""
    leader, other = replica(), replica()
    progress = (await leader.take(P, was_read=True)).progress
    after = progress.after(page("a"), 5.0)
    await leader.advance(P, after, page("a"), progress)

    turn = await other.take(P, was_read=False)

    assert (turn.leads, turn.progress, turn.is_read) == (False, after, True)
    assert await other.advance(P, Progress(), page("z"), Progress()) is None
    assert not await other.note(P, Progress())
    assert not await other.finish(P, Progress(), complete=True)
    assert (await leader.take(P, was_read=False)).progress == after


async def test_another_goes_on_where_the_leader_died(
    replica: Callable[..., RedisSweepLease],
) -> None:
    """Once its lead has lapsed; those met so far count."""
    leader, other = replica(lifetime=0.05), replica()
    progress = (await leader.take(P, was_read=True)).progress
    first = page("a", "b")
    after = progress.after(first, 5.0)
    await leader.advance(P, after, first, progress)
    await asyncio.sleep(0.06)

    turn = await other.take(P, was_read=False)

    assert (turn.leads, turn.progress) == (True, after)
    second = page("c", "d", more=False)
    advanced = await other.advance(P, after.after(second, 6.0), second, after)
    assert advanced is not None
    assert advanced.distinct == 4
    assert not await leader.note(P, Progress())


async def test_who_leaves_lets_another_lead_at_once(
    replica: Callable[..., RedisSweepLease],
) -> None:
    """And takes nobody else's lead."""
    leader, other = replica(), replica()
    await leader.take(P, was_read=True)
    await other.release(P)
    assert not (await other.take(P, was_read=True)).leads

    await leader.release(P)

    assert (await other.take(P, was_read=True)).leads


async def test_nobody_comes_between_the_look_at_a_lead_and_its_end(redis_url: str) -> None:
    """A lead that lapses in between would be taken, and then lost by who took it."""
    connection = Connection(redis_url, RealClock(), RecordingObserver(), timeout=30.0)
    assert await connection.check()
    lease = lease_on(connection)
    await lease.take(P, was_read=True)

    with client_of(redis_url) as client, client.monitor() as monitor:
        await lease.release(P)
        client.exists("the end")
        seen = list(
            itertools.takewhile(lambda each: "the end" not in each["command"], monitor.listen())
        )

    steps = [each["command"].split()[0] for each in seen if "}:sl" in each["command"]]
    alone = [each for each in seen if "}:sl" in each["command"] and each["client_type"] != "lua"]
    assert steps[-2:] == ["GET", "DEL"]
    assert len({each["command"] for each in alone}) == len(alone) <= 2  # by digest, and as a whole
    assert all(each["command"].startswith("EVAL") for each in alone)
    await connection.close()


async def test_what_is_foreign_there_is_written_over(
    redis_url: str,
) -> None:
    """Another type, or words that are none: a sweep that begins."""
    with client_of(redis_url) as client:
        for tail in ("sl", "sp", "sm", "sk"):
            client.hset(f"gateway:{{{P}}}:{tail}", "a", "b")
    connection = Connection(redis_url, RealClock(), RecordingObserver(), timeout=30.0)
    assert await connection.check()
    lease = lease_on(connection)

    turn = await lease.take(P, was_read=True)
    assert (turn.leads, turn.progress) == (True, Progress())
    ended, _ = await sweep(lease, page("a", "b", "c", "d", more=False))

    assert (await lease.take(P, was_read=True)).progress == ended
    _, absent = await sweep(lease, page("a", "c", "d", more=False))
    assert absent == [("b",)]
    await connection.close()


@pytest.mark.parametrize(
    "data",
    [b"", b"1 ", b"1 []", b'1 {"offset": -1}', b'1 {"offset": "x"}', b"2 {}", b"\xff", b"1 {" * 9],
)
def test_a_progress_that_is_none_begins_anew(data: bytes) -> None:
    """Whoever wrote it."""
    assert decode_progress(data) == Progress()


def test_a_progress_of_a_later_release_is_read_as_far_as_it_is_known() -> None:
    """A field more does no harm."""
    progress = replace(Progress(), offset=100, total=250)
    written = encode_progress(progress)

    assert decode_progress(written[:-1] + b',"more":1}') == progress
