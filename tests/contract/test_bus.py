"""Bus: what each replica hears, and whose confirmation counts; alone and over Redis."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from gateway.adapters.redis.bus import RedisBus
from gateway.adapters.redis.connect.connection import Connection
from gateway.core.errors import RedisUnavailable
from gateway.core.instant import Instant
from gateway.core.vocabulary import NoticeKind
from gateway.ports import AloneBus, Bus, Confirmations, Notice
from tests.contract.conftest import URLS
from tests.doubles.clocks import RealClock
from tests.doubles.hearer import (
    HEARTBEAT,
    PARTITION,
    PERIOD,
    PURGE,
    RECORD,
    WORD,
    Hearer,
    beat,
    change,
    hearer,
    hearers,
    new_word,
    until,
)
from tests.doubles.loop_time import pass_time
from tests.doubles.observer import RecordingObserver
from tests.support.servers import RedisServer, free_port

NOTICES = [
    change(1),
    Notice(NoticeKind.CHANGED, ("trn_1",), PARTITION),
    Notice(NoticeKind.INVALIDATED, ("trn_1", "trn_2"), updated_at=Instant(-5)),
    Notice(NoticeKind.INVALIDATED, tuple(f"{number:0128d}" for number in range(1_000))),
    Notice(NoticeKind.PURGED, partition=PARTITION, soft=True),
    Notice(NoticeKind.GATE_CLOSED, scope="default", until=1_700_000_000.25),
    PURGE,
]

# Seconds in which whoever hears has answered, also on a busy machine.
PATIENCE = 30.0


@pytest.fixture(params=["alone", *URLS])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    """Each Bus of a replica without others."""
    if request.param == "alone":
        yield AloneBus()
        return
    async with hearer(request.getfixturevalue(URLS[request.param])) as one:
        yield one.bus


async def test_a_replica_without_others_confirms_for_itself(bus: Bus) -> None:
    """At once: there is nobody to wait for."""
    assert await bus.confirm(PURGE, 3600.0) == Confirmations(known=1, confirmed=1)


@pytest.mark.parametrize("notice", NOTICES, ids=lambda notice: str(notice.kind))
async def test_a_notice_reaches_the_others_as_it_was(any_redis_url: str, notice: Notice) -> None:
    """Each of them once, and not the one that told."""
    async with hearers(any_redis_url, "a", "b", "c") as (a, b, c):
        await a.bus.announce(notice)

        await until(lambda: bool(b.applied and c.applied))
        assert await a.bus.confirm(PURGE, PATIENCE) == Confirmations(3, 3)
        assert a.applied == []
        assert b.applied == c.applied == [notice, PURGE]


async def test_notices_told_at_once_arrive_without_a_hole(any_redis_url: str) -> None:
    """Though each goes over a connection of its own: nobody sees disorder."""
    async with hearers(any_redis_url, "a", "b", "c") as (a, b, c):
        told = [(each, change(number)) for number in range(100) for each in (a, b)]
        await asyncio.gather(*(each.bus.announce(notice) for each, notice in told))

        await until(lambda: len(c.applied) == 200)
        assert len(a.applied) == len(b.applied) == 100
        assert [each.gaps for each in (a, b, c)] == [1, 1, 1]


async def test_the_first_connect_is_a_gap(any_redis_url: str) -> None:
    """What was told before is unknown; what is told after it is no second one."""
    async with hearer(any_redis_url, "a") as a:
        await a.bus.announce(change(1))
        async with hearer(any_redis_url, "b") as b:
            assert (b.gaps, b.applied) == (1, [])

            await a.bus.confirm(change(2), PATIENCE)
            assert (b.gaps, b.applied) == (1, [change(2)])


async def test_a_confirmation_means_done(any_redis_url: str) -> None:
    """Whoever is counted has acted by then, 100 times in a row."""
    async with hearers(any_redis_url, "a", "b", "c") as (a, b, c):
        for number in range(100):
            notice = change(number)
            assert await a.bus.confirm(notice, PATIENCE) == Confirmations(3, 3)
            assert b.applied[-1] == c.applied[-1] == notice


async def test_confirmations_of_several_do_not_mix(any_redis_url: str) -> None:
    """All ask all at the same time."""
    async with hearers(any_redis_url, "a", "b", "c") as replicas:
        asked = [
            each.bus.confirm(change(number), PATIENCE) for number in range(20) for each in replicas
        ]

        assert await asyncio.gather(*asked) == [Confirmations(3, 3)] * 60


async def test_who_fails_does_not_confirm(any_redis_url: str) -> None:
    """It is told, counted as unconfirmed after the patience, made to suspect all it holds, and
    hears the next notice."""
    async with hearers(any_redis_url, "a", "b", "c") as (a, b, c):
        b.breaks = True
        asked = asyncio.create_task(a.bus.confirm(change(1), PATIENCE))
        await until(lambda: b.observer.of("bus_failed") == [("ZeroDivisionError",)])

        b.breaks = False
        # Each replica answers in order: by now the first is answered by all who will.
        assert await a.bus.confirm(change(2), PATIENCE) == Confirmations(3, 3)
        assert (b.gaps, c.gaps) == (2, 1)
        assert not asked.done()
        await pass_time(PATIENCE)
        assert _count(await asked) == (3, 2)


async def test_who_has_left_is_not_waited_for(any_redis_url: str) -> None:
    """A clean end takes the replica from the record at once."""
    async with hearer(any_redis_url, "a") as a:
        async with hearer(any_redis_url, "b"):
            assert (await a.bus.confirm(PURGE, PATIENCE)).known == 2

        assert await a.bus.confirm(PURGE, 3600.0) == Confirmations(1, 1)


async def test_who_is_silent_is_waited_for_and_then_only_told_of(redis_server: RedisServer) -> None:
    """Orders wait for it until it has missed five heartbeats. They are incomplete for as long as it
    may serve its entries, and say until when that is."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        with redis_server.client() as client:
            client.hset(RECORD, "m:gone", WORD)
        told = await a.bus.confirm(PURGE, 0.1)
        assert _count(told) == (2, 1)
        assert told.until == pytest.approx(a.clock.now() + PERIOD, abs=5.0)
        assert a.bus.replicas == 2

        a.clock.advance(5 * HEARTBEAT)
        told = await a.bus.confirm(PURGE, 3600.0)
        assert _count(told) == (2, 1)
        assert told.until == pytest.approx(a.clock.now() + PERIOD - 5 * HEARTBEAT, abs=5.0)
        assert a.bus.replicas == 1

        a.clock.advance(PERIOD - 5 * HEARTBEAT)
        assert await a.bus.confirm(PURGE, 3600.0) == Confirmations(1, 1)


async def test_the_last_of_those_that_are_silent_bounds_the_order(
    redis_server: RedisServer,
) -> None:
    """By when it was seen last; Redis' clock does not matter."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        with redis_server.client() as client:
            for name in ("b", "c"):
                client.hset(RECORD, f"m:{name}", WORD)
                await a.bus.confirm(PURGE, 0.0)
                a.clock.advance(100.0)

        told = await a.bus.confirm(PURGE, 0.0)

        assert _count(told) == (3, 1)
        assert told.until == pytest.approx(a.clock.now() + PERIOD - 100.0, abs=5.0)


@pytest.mark.parametrize("lost", [["life"], ["last"], None])
async def test_after_a_loss_of_the_record_orders_are_incomplete_for_a_period(
    redis_server: RedisServer, lost: list[str] | None
) -> None:
    """A replica that is cut off may have been in it. Then a replica says that the life is settled,
    and one that has just started believes it."""
    redis_server.flush()
    async with hearers(redis_server.url, "a", "b") as (a, b):
        with redis_server.client() as client:
            client.hdel(RECORD, *lost) if lost else client.delete(RECORD)
            await beat()
            await until(lambda: min(client.hlen(RECORD) for _ in "a") >= 4)

        told = await a.bus.confirm(PURGE, PATIENCE)
        assert _count(told) == (2, 2)
        assert told.until == pytest.approx(a.clock.now() + PERIOD, abs=5.0)
        assert not told.is_complete

        for each in (a, b):
            each.clock.advance(PERIOD + 1.0)
        assert await a.bus.confirm(PURGE, PATIENCE) == Confirmations(1, 1)
        await _beat(a, b)
        assert await a.bus.confirm(PURGE, PATIENCE) == Confirmations(2, 2)
        async with hearer(redis_server.url, "c") as c:
            assert await c.bus.confirm(PURGE, PATIENCE) == Confirmations(3, 3)


async def _beat(*replicas: Hearer) -> None:
    """Let the next heartbeats come, and wait until these replicas have read the answers."""
    before = {each: each.bus.listed_until for each in replicas}
    for each in replicas:
        each.clock.advance(0.001)
    await beat()
    await until(lambda: all(each.bus.listed_until > before[each] for each in replicas))


def _count(told: Confirmations) -> tuple[int, int]:
    return told.known, told.confirmed


async def test_a_replica_is_listed_from_the_sending_of_its_heartbeat(
    redis_server: RedisServer,
) -> None:
    """Before it, no order counts with it."""
    async with hearer(redis_server.url, "a") as a:
        assert a.clock.monotonic() < a.bus.listed_until <= a.clock.monotonic() + PERIOD
        a.clock.advance(100.0)
        before = a.clock.monotonic()

        await _beat(a)

        assert before + PERIOD <= a.bus.listed_until <= a.clock.monotonic() + PERIOD


async def test_no_heartbeat_lists_a_replica_that_hears_nothing(redis_server: RedisServer) -> None:
    """Orders were complete without it, and its subscription has not reported the gap yet."""
    one = Hearer(redis_server.url, "a", heartbeat=HEARTBEAT, timeout=60.0)
    await one.connection.check()
    heartbeats = asyncio.create_task(one.bus._send_heartbeats(one.gap))
    await pass_time(HEARTBEAT)
    await asyncio.sleep(0.1)

    assert one.bus.listed_until == -math.inf

    heartbeats.cancel()
    await one.connection.close()


async def test_whoever_is_alive_again_has_missed_something(redis_server: RedisServer) -> None:
    """Though its subscription was never cut: no order waited for it."""
    async with hearer(redis_server.url, "a") as a:
        assert a.gaps == 1
        a.clock.advance(5 * HEARTBEAT)

        await _beat(a)

        await until(lambda: a.gaps == 2)


async def test_whoever_is_silent_for_a_period_is_forgotten(redis_server: RedisServer) -> None:
    """By a replica that has seen it for so long; Redis' clock does not matter."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        with redis_server.client() as client:
            for field, word in (("m:gone", WORD), ("m:odd", "x"), (b"m:\xff no name", WORD)):
                client.hset(RECORD, field, word)
            await _beat(a)
            assert a.bus.replicas == 3
            client.hset(RECORD, "m:odd", "y")  # another heartbeat, not seen yet
            a.clock.advance(PERIOD + 1.0)

            await _beat(a)

            assert set(client.hkeys(RECORD)) >= {b"m:a", b"m:odd"}
            assert not client.hexists(RECORD, "m:gone")
            assert a.bus.replicas == 2


async def test_who_hears_nothing_is_known_and_unconfirmed(redis_server: RedisServer) -> None:
    """Its heartbeats do not need its subscription: a deaf replica must not pass for none."""
    redis_server.flush()
    async with hearers(redis_server.url, "a", "b") as (a, b):

        async def deafened() -> None:
            await asyncio.Event().wait()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(b.bus, "_receive", lambda *_: deafened())
            assert _count(await a.bus.confirm(PURGE, 0.1)) == (2, 1)
            await _beat(b)
            assert _count(await a.bus.confirm(PURGE, 0.1)) == (2, 1)


async def test_after_its_end_nothing_is_heard(any_redis_url: str) -> None:
    """And the bus says so."""
    async with hearer(any_redis_url, "a") as a:
        async with hearer(any_redis_url, "b") as b:
            pass
        await a.bus.announce(change(1))

    assert not b.bus.is_connected
    assert b.applied == []


async def test_without_redis_nothing_can_be_told() -> None:
    """Both ways of telling raise, and listening waits until it is cancelled."""
    url = f"redis://127.0.0.1:{free_port()}"
    connection = Connection(url, RealClock(), RecordingObserver(), timeout=0.5)
    bus = RedisBus(
        *(connection, "gateway", RealClock(), RecordingObserver()), replica="a", new_word=new_word
    )
    listening = asyncio.create_task(bus.listen(lambda _: None, lambda: None))
    await asyncio.sleep(0.3)

    assert bus.listed_until == -math.inf  # no order knows of this replica
    with pytest.raises(RedisUnavailable):
        await bus.announce(PURGE)
    with pytest.raises(RedisUnavailable):
        await bus.confirm(PURGE, 1.0)
    assert not bus.is_connected
    assert not listening.done()

    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening
    await connection.close()


async def test_who_enters_is_waited_for_before_it_hears(redis_server: RedisServer) -> None:
    """It may hold something by the time of an order, and would be told of nothing."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        late = Hearer(redis_server.url, "b", heartbeat=HEARTBEAT, timeout=60.0)
        await late.connection.check()
        await late.bus.enter()

        assert _count(await a.bus.confirm(PURGE, 0.1)) == (2, 1)
        await late.connection.close()


async def test_entering_without_redis_is_nothing(redis_server: RedisServer) -> None:
    """A replica starts all the same."""
    alone = Hearer(redis_server.url, "a", heartbeat=HEARTBEAT, timeout=60.0)

    await alone.bus.enter()  # nobody has reached Redis yet

    with redis_server.client() as client:
        assert not client.hexists(RECORD, "m:a")
    await alone.connection.close()


async def test_what_stands_in_redis_goes_by_itself(redis_server: RedisServer) -> None:
    """The record has an expiry, and there is nothing else."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        await a.bus.announce(PURGE)
        with redis_server.client() as client:
            keys = client.keys()
            assert keys == [RECORD.encode()]
            assert client.ttl(RECORD) > 3600


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "a\n"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    """It would make a channel that is none."""
    url = "redis://127.0.0.1"
    connection = Connection(url, RealClock(), RecordingObserver())

    with pytest.raises(ValueError, match="cannot have the name"):
        RedisBus(
            *(connection, "gateway", RealClock(), RecordingObserver()),
            replica=name,
            new_word=new_word,
        )
