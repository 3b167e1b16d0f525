"""SharedSweep: one sweep for all replicas; in memory for a process alone, and on Redis."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial

import pytest

from gateway.adapters.ledger import Ledger, LedgerSweep
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.store import RedisStore
from gateway.adapters.redis.sweep import RedisSweep, decode_progress, encode_progress
from gateway.core.sweep.belief import Belief
from gateway.core.sweep.catalogue import Head, Leaf, News, Row
from gateway.core.sweep.progress import Progress, SweepEnd
from gateway.ports import SharedSweep
from tests.contract.conftest import URLS, epochs
from tests.doubles.clocks import RealClock, TickingClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.stored import version
from tests.support.redis_cluster import client_of

P = "p1"
_numbers = itertools.count(0xABC0)


def entropy() -> str:
    """Another replica."""
    return f"{next(_numbers):016x}"


def lease_on(connection: Connection, lifetime: float = 30.0) -> RedisSweep:
    """Another replica on that connection."""
    store = RedisStore(
        connection,
        "gateway",
        RecordingObserver(),
        longest_keep=60.0,
        longest_fetch=20.0,
        new_word=entropy,
    )
    return RedisSweep(store, pause_after=30.0, keep=60.0, lifetime=lifetime)


@pytest.fixture
async def replica(any_redis_url: str) -> AsyncIterator[Callable[..., RedisSweep]]:
    """Makes replicas on one Redis, of each kind."""
    connection = Connection(any_redis_url, RealClock(), RecordingObserver(), timeout=30.0)
    assert await connection.check()
    yield partial(lease_on, connection)
    await connection.close()


@pytest.fixture(params=["ledger", *URLS])
async def lease(request: pytest.FixtureRequest) -> AsyncIterator[SharedSweep]:
    """Each implementation, nothing swept yet."""
    if request.param == "ledger":
        ledger = Ledger(clock := TickingClock(), epochs())
        yield LedgerSweep(ledger, clock, pause_after=30.0)
        return
    url = request.getfixturevalue(URLS[request.param])
    connection = Connection(url, RealClock(), RecordingObserver(), timeout=30.0)
    assert await connection.check()
    yield lease_on(connection)
    await connection.close()


async def test_the_first_one_leads_from_the_beginning(lease: SharedSweep) -> None:
    """Nothing is known. A read of its partition counts for a while."""
    turn = await lease.take(P, was_read=False)
    assert (turn.leads, turn.progress, turn.is_read) == (True, Progress(), False)
    assert turn.now > 0

    await lease.take(P, was_read=True)

    assert (await lease.take(P, was_read=False)).is_read
    assert not (await lease.take("p2", was_read=False)).is_read


async def test_progress_is_kept(lease: SharedSweep) -> None:
    """Every field of it."""
    belief = Belief(4, 1, 2, "t", stored=True)
    times = (1.5, 2.5), (0.5,), 7.5
    progress = Progress(3, 200, 250, SweepEnd.CHANGED, *times, 1, "403", True, belief)
    await lease.take(P, was_read=False)

    assert await lease.note(P, progress)

    assert (await lease.take(P, was_read=False)).progress == progress


async def test_one_leads_and_the_others_look_on(
    replica: Callable[..., RedisSweep],
) -> None:
    """They see how far it is; a replica that does not lead moves nothing."""
    leader, other = replica(), replica()
    after = Progress(offset=100)
    await leader.take(P, was_read=True)
    await leader.note(P, after)

    turn = await other.take(P, was_read=False)

    assert (turn.leads, turn.progress, turn.is_read) == (False, after, True)
    assert not await other.note(P, Progress())
    assert (await leader.take(P, was_read=False)).progress == after


async def test_another_goes_on_where_the_leader_died(
    replica: Callable[..., RedisSweep],
) -> None:
    """Once its lead has lapsed."""
    leader, other = replica(lifetime=0.05), replica()
    after = Progress(offset=100)
    await leader.take(P, was_read=True)
    await leader.note(P, after)
    await asyncio.sleep(0.06)

    turn = await other.take(P, was_read=False)

    assert (turn.leads, turn.progress) == (True, after)
    assert not await leader.note(P, Progress())


async def test_the_catalogue_of_the_leader_is_copied(
    replica: Callable[..., RedisSweep], any_redis_url: str
) -> None:
    """As soon as it answers, and no longer. What somebody else wrote there is none."""
    leader, other = replica(), replica()
    pages = {at: Leaf(at + 1.5, [Row(f"t{at}", "BEHAVIORAL", None, version(at))]) for at in (0, 1)}
    head = Head(((b"content-type", b"application/json"),), {0: 1.5, 1: 2.5})
    await leader.take(P, was_read=True)
    copies = []
    for first, known in ((0, None), (1, head), (0, None), (0, head)):
        await leader.note(P, Progress(), News(first, pages[first], known))
        await leader.note(P, Progress())
        copies.append(await other.catalogue(P, pages if first else {}))
    with client_of(any_redis_url) as client:
        for tail, value in (("sc:0", b"\x93"), ("sc", b"none"), ("sc", b"")):
            client.set(f"gateway:{{{P}}}:{tail}", value)
            copies.append(await other.catalogue(P, {}))

    assert copies == [None, (head, pages), None, (head, pages), None, None, None]
    assert not await other.note(P, Progress(), News(0, pages[0], None))


async def test_what_is_foreign_there_is_written_over(
    redis_url: str,
) -> None:
    """Another type, or words that are none: a sweep that begins."""
    with client_of(redis_url) as client:
        for tail in ("sl", "sp"):
            client.hset(f"gateway:{{{P}}}:{tail}", "a", "b")
    connection = Connection(redis_url, RealClock(), RecordingObserver(), timeout=30.0)
    assert await connection.check()
    lease = lease_on(connection)

    turn = await lease.take(P, was_read=True)
    assert (turn.leads, turn.progress) == (True, Progress())
    assert await lease.note(P, turn.progress)
    await connection.close()


@pytest.mark.parametrize(
    "data",
    [b"", b"2 ", b"2 []", b'2 {"offset": -1}', b'2 {"offset": "x"}', b"1 {}", b"\xff", b"2 {" * 9],
)
def test_a_progress_that_is_none_begins_anew(data: bytes) -> None:
    """Whoever wrote it."""
    assert decode_progress(data) == Progress()


def test_a_progress_of_a_later_release_is_read_as_far_as_it_is_known() -> None:
    """A field more does no harm."""
    progress = replace(Progress(), offset=100, total=250)
    written = encode_progress(progress)

    assert decode_progress(written[:-1] + b',"more":1}') == progress
