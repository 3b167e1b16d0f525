"""Bus: what each replica hears, and whose confirmation counts; alone and over Redis."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Self

import pytest

from gateway.adapters.redis.bus import RedisBus
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.subscription import Subscription, SubscriptionLost
from gateway.adapters.redis.keys import ear
from gateway.core.errors import RedisUnavailable
from gateway.core.instant import Instant
from gateway.core.vocabulary import NoticeKind
from gateway.ports import AloneBus, Bus, Confirmations, Notice
from tests.contract.conftest import URLS
from tests.doubles.clocks import RealClock
from tests.doubles.hearer import (
    ALONE,
    HEARTBEAT,
    MEMBERS,
    NUMBER,
    PARTITION,
    PREFIX,
    PURGE,
    ROLL,
    Hearer,
    beat,
    change,
    hearer,
    hearers,
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

# The longest time for which an order says that a replica may serve its entries.
LONGEST = ALONE + 7 * HEARTBEAT

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
    """A clean end takes the replica off the roll at once."""
    async with hearer(any_redis_url, "a") as a:
        async with hearer(any_redis_url, "b"):
            assert (await a.bus.confirm(PURGE, PATIENCE)).known == 2

        assert await a.bus.confirm(PURGE, 3600.0) == Confirmations(1, 1)


async def test_who_was_silent_for_long_is_not_waited_for(redis_server: RedisServer) -> None:
    """Five heartbeats after it was seen last; it counts as unconfirmed until it cannot answer with
    anything older, and the order says when that is."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        with redis_server.client() as client:
            seconds, _ = client.time()
            client.zadd(ROLL, {"gone": (seconds - 4 * HEARTBEAT) * 1e6})
            assert _count(await a.bus.confirm(PURGE, 0.1)) == (2, 1)

            client.zadd(ROLL, {"gone": (seconds - 5 * HEARTBEAT) * 1e6})
            client.zadd(MEMBERS, {"gone": (seconds + 50) * 1e6})
            silent = await a.bus.confirm(PURGE, 3600.0)
            assert _count(silent) == (2, 1)
            assert silent.until == pytest.approx(seconds + 50, abs=2.0)

            client.zadd(MEMBERS, {"gone": (seconds - 1) * 1e6})
            assert await a.bus.confirm(PURGE, 3600.0) == Confirmations(1, 1)


async def test_all_that_are_silent_bound_the_order(redis_server: RedisServer) -> None:
    """By the last of them; one that was never heard of as a member by the longest that there is."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        with redis_server.client() as client:
            seconds, _ = client.time()
            times = {"b": (seconds + 10) * 1e6, "c": (seconds + 70) * 1e6}
            client.zadd(MEMBERS, times)
            told = await a.bus.confirm(PURGE, 0.1)
            assert told.until == pytest.approx(seconds + 70, abs=2.0)

            client.zadd(ROLL, {"d": seconds * 1e6})
            told = await a.bus.confirm(PURGE, 0.1)
            assert told.until == pytest.approx(seconds + LONGEST, abs=5.0)


@pytest.mark.parametrize("lost", [[ROLL], [MEMBERS], [ROLL, MEMBERS, NUMBER]])
async def test_a_loss_makes_nobody_forgotten(redis_server: RedisServer, lost: list[str]) -> None:
    """Neither a replica that is there nor a silent one, whichever gives the order; one that leaves
    is."""
    redis_server.flush()
    async with hearers(redis_server.url, "a", "b") as (a, b):
        with redis_server.client() as client:
            seconds, _ = client.time()
            client.zadd(MEMBERS, {"silent": (seconds + 50) * 1e6})
            assert _count(await a.bus.confirm(PURGE, PATIENCE)) == (3, 2)

            client.delete(*lost)

            assert _count(await a.bus.confirm(PURGE, PATIENCE)) == (3, 2)
            await beat()
            await until(lambda: client.zscore(MEMBERS, "silent") is not None)
            assert _count(await b.bus.confirm(PURGE, PATIENCE)) == (3, 2)


async def test_an_order_waits_until_it_is_known_who_there_is(redis_server: RedisServer) -> None:
    """A replica that started after Redis lost the members gives an order before another one has
    put back the silent one that it remembers."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        with redis_server.client() as client:
            seconds, _ = client.time()
            client.zadd(MEMBERS, {"silent": (seconds + 50) * 1e6})
            await beat()
            await until(lambda: "silent" in a.bus._membership._remembered.members)
            client.delete(MEMBERS)

            async with hearer(redis_server.url, "b", settle=3.0) as b:
                order = asyncio.create_task(b.bus.confirm(PURGE, PATIENCE))
                await until(lambda: a.applied == [PURGE])
                assert client.zscore(MEMBERS, "silent") is None
                await a.bus._membership.beat()

                assert client.zscore(MEMBERS, "silent") is not None
                assert _count(await order) == (3, 2)


async def test_an_order_that_cannot_know_who_there_is_is_unconfirmed(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis loses the members again and again: somebody may be among them for as long as any."""
    redis_server.flush()
    async with hearer(redis_server.url, "a", settle=3600.0) as a:
        monkeypatch.setattr(a.bus._clock, "sleep", pass_on)

        told = await a.bus.confirm(PURGE, PATIENCE)

        assert _count(told) == (2, 1)
        assert told.until == pytest.approx(time.time() + LONGEST, abs=5.0)


async def pass_on(_seconds: float) -> None:
    """Wait for nothing."""


async def _beat(one: Hearer) -> None:
    """Let the next heartbeats come, and wait until this replica has read the answer to one that it
    sent from now on. An earlier one may still be under way, and other commands too."""
    beats, begun = one.bus._membership._beats, one.clock.monotonic()
    await beat()
    await until(lambda: bool(beats) and beats[-1] >= begun)


def _count(told: Confirmations) -> tuple[int, int]:
    return told.known, told.confirmed


async def test_what_others_count_with_is_known(redis_server: RedisServer) -> None:
    """From each heartbeat on, as of when it was sent. As a member only after the others have read
    the list, for which they have two heartbeats: Redis may lose it before."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        now = time.monotonic()
        assert now < a.bus.counted_until <= now + 5 * HEARTBEAT
        assert a.bus.vouched_until == -math.inf

        known_until = await _is_known_for_two_heartbeats(a)

        redis_server.flush()
        a.clock.advance(2 * HEARTBEAT)
        await _beat(a)
        assert a.bus.vouched_until == known_until < a.bus.counted_until + ALONE

        assert await _is_known_for_two_heartbeats(a) > known_until


async def test_a_late_heartbeat_counts_after_the_others_have_read_it(
    redis_server: RedisServer,
) -> None:
    """The one before it was read, and names an earlier time."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        known_until = await _is_known_for_two_heartbeats(a)

        a.clock.advance(4 * HEARTBEAT)
        await _beat(a)

        assert a.bus.vouched_until == pytest.approx(known_until + 2 * HEARTBEAT, abs=5.0)


async def _is_known_for_two_heartbeats(one: Hearer) -> float:
    """Returns the time until which it may serve its entries then."""
    one.clock.advance(2 * HEARTBEAT)
    await _beat(one)
    assert one.bus.vouched_until == pytest.approx(one.bus.counted_until + ALONE, abs=5.0)
    assert one.bus.vouched_until <= one.bus.counted_until + ALONE
    return one.bus.vouched_until


async def test_a_replica_that_no_other_read_in_the_list_serves_nothing_alone(
    redis_server: RedisServer,
) -> None:
    """Its entry was lost with the list, so an order counts as confirmed without it."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        late = Hearer(redis_server.url, "b", heartbeat=HEARTBEAT, timeout=60.0)
        await late.connection.check()
        await late.bus.enter()
        with redis_server.client() as client:
            client.delete(MEMBERS, ROLL)

        assert _count(await a.bus.confirm(PURGE, 0.1)) == (1, 1)
        assert late.bus.vouched_until < time.monotonic()
        await late.connection.close()


async def test_what_a_replica_that_no_other_knew_held_is_not_used_after_its_return(
    redis_server: RedisServer,
) -> None:
    """An order was confirmed without it, so no time is left for what is older."""
    redis_server.flush()
    async with hearers(redis_server.url, "a", "b") as (a, b):
        with redis_server.client() as client:
            client.client_kill_filter(_type="pubsub")
            await b.connected(False)
            client.delete(MEMBERS, ROLL)
        await a.bus.announce(PURGE)
        await pass_time(1.0)
        await b.connected()

        assert b.gap_until == -math.inf


async def test_a_lost_member_counts_for_as_long_as_it_may_serve(redis_server: RedisServer) -> None:
    """Also if the others read one of its heartbeats, and not the last one."""
    redis_server.flush()
    async with hearers(redis_server.url, "a", "b") as (a, b):
        await _beat(a)  # reads that b is a member
        b.clock.advance(2 * HEARTBEAT)
        await asyncio.sleep(0.1)
        await b.bus._membership.beat()
        with redis_server.client() as client:
            client.delete(MEMBERS, ROLL)
        b.breaks = True

        told = await a.bus.confirm(PURGE, 0.1)

        assert _count(told) == (2, 1)
        assert told.until is not None
        assert told.until - a.clock.now() >= b.bus.vouched_until - b.clock.monotonic()


async def test_a_replica_that_comes_back_to_the_roll_has_missed_something(
    redis_server: RedisServer,
) -> None:
    """Though its ear was never cut: nobody waited for it."""
    async with hearer(redis_server.url, "a") as a:
        assert a.gaps == 1
        a.bus._membership.counted_until = time.monotonic()

        await beat()
        await until(lambda: a.gaps == 2)
        assert a.gap_until == math.inf  # nothing was told meanwhile


async def test_what_was_told_while_nothing_was_heard_was_missed(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if heartbeats came before notices did: they must not count it as heard."""
    redis_server.flush()
    is_deaf = asyncio.Event()

    class Deaf(Subscription):
        async def __aenter__(self) -> Self:
            if is_deaf.is_set() and ear(PREFIX, "b") in self._channels:
                raise SubscriptionLost("deaf")
            return await super().__aenter__()

    monkeypatch.setattr("gateway.adapters.redis.bus.Subscription", Deaf)
    async with hearers(redis_server.url, "a", "b") as (a, b):
        is_deaf.set()
        with redis_server.client() as client:
            client.client_kill_filter(_type="pubsub")
        await a.connected(False)
        await b.connected(False)
        await pass_time(1.0)
        await a.connected()
        assert _count(await a.bus.confirm(PURGE, 0.1)) == (2, 1)
        await _beat(b)
        await _beat(b)

        is_deaf.clear()
        await pass_time(1.0)
        await b.connected()

        assert b.gap_until < math.inf


@pytest.mark.parametrize("is_flushed", [False, True])
async def test_what_was_told_meanwhile_counts_with_older_answers_until_then(
    redis_server: RedisServer, is_flushed: bool
) -> None:
    """As long as the replica is a member, from the last heartbeat with which all was heard."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        await _is_known_for_two_heartbeats(a)
        heard_all = a.clock.monotonic()
        await asyncio.sleep(0.1)
        told_at = a.clock.monotonic()
        with redis_server.client() as client:
            if is_flushed:
                client.delete(MEMBERS, NUMBER)
            client.incr(NUMBER)

        await beat()  # it may be on its way
        await asyncio.sleep(0.1)
        await beat()
        await until(lambda: a.gaps == 2)

        span = 5 * HEARTBEAT + ALONE
        assert heard_all + ALONE <= a.gap_until <= told_at + span


@pytest.mark.parametrize("is_long", [False, True])
async def test_a_redis_that_lost_all_made_only_those_miss_something_that_were_away_for_long(
    redis_server: RedisServer, *, is_long: bool
) -> None:
    """Whoever heard all until then has heard all. To a replica that was away for long, an order may
    have been told, and have named a time that has passed, before it was lost."""
    redis_server.flush()
    async with hearers(redis_server.url, "a", "b") as (a, b):
        await b.bus.announce(PURGE)
        await until(lambda: len(a.applied) == 1)
        await _is_known_for_two_heartbeats(a)
        if is_long:
            a.bus._limit = time.monotonic() - 1.0
        redis_server.flush()

        await beat()
        await until(lambda: a.gaps == 2)

        assert a.gap_until < time.monotonic() if is_long else a.gap_until == math.inf


async def test_a_mark_from_the_future_does_not_stay(redis_server: RedisServer) -> None:
    """As one is left behind when Redis' clock goes back; nor does a name that is none count."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        with redis_server.client() as client:
            seconds, _ = client.time()
            client.zadd(ROLL, {"late": (seconds + 3600) * 1e6, b"\xff no name": seconds * 1e6})
            client.zadd(MEMBERS, {b"\xff no name": (seconds + 9) * 1e6})

        assert await a.bus.confirm(PURGE, 0.1) == Confirmations(1, 1)
        assert a.connection.is_up


async def test_who_hears_nothing_is_known_and_unconfirmed(redis_server: RedisServer) -> None:
    """The roll is kept beside the ear: a deaf replica must not pass for none."""
    redis_server.flush()
    async with hearers(redis_server.url, "a", "b") as (a, b):

        async def deafened() -> None:
            await asyncio.Event().wait()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(b.bus, "_receive", lambda *_: deafened())
            assert _count(await a.bus.confirm(PURGE, 0.1)) == (2, 1)
            with redis_server.client() as client:
                client.zadd(ROLL, {"b": 1})
                await beat()
                await until(lambda: client.zscore(ROLL, "b") > 1)
            assert _count(await a.bus.confirm(PURGE, 0.1)) == (2, 1)


@pytest.mark.parametrize("lost", [[NUMBER], [MEMBERS, NUMBER]])
async def test_an_unconfirmed_order_that_redis_lost_is_sent_again(
    redis_server: RedisServer, lost: list[str]
) -> None:
    """Once, at the sender's next heartbeat, for the members that did not confirm it. The count is
    not 0 then, so a replica that was cut off finds that it missed an order."""
    redis_server.flush()
    async with hearers(redis_server.url, "a", "b", "c") as (a, b, c):
        b.breaks = True
        asked = asyncio.create_task(a.bus.confirm(PURGE, PATIENCE))
        await until(lambda: bool(b.observer.of("bus_failed") and c.applied))
        b.breaks = False
        assert await a.bus.confirm(change(1), PATIENCE) == Confirmations(3, 3)
        await pass_time(PATIENCE)
        assert _count(await asked) == (3, 2)
        assert b.applied == [change(1)]

        with redis_server.client() as client:
            client.delete(*lost)
            await beat()
            await until(lambda: b.applied == [change(1), PURGE])
            assert c.applied == [PURGE, change(1)]
            assert client.get(NUMBER) == b"1"

            await _beat(a)
            assert client.get(NUMBER) == b"1"


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
    bus = RedisBus(connection, "gateway", RealClock(), RecordingObserver(), replica="a")
    listening = asyncio.create_task(bus.listen(lambda _: None, lambda _: None))
    await asyncio.sleep(0.3)

    assert bus.vouched_until == -math.inf  # no order knows of this replica
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


async def test_a_replica_that_no_order_knew_of_has_missed_all_orders(
    redis_server: RedisServer,
) -> None:
    """Before it is on the roll for the first time: none of them counts with what it holds."""
    late = Hearer(redis_server.url, "b", heartbeat=HEARTBEAT, timeout=60.0)
    await late.connection.check()
    heartbeats = asyncio.create_task(late.bus._send_heartbeats(late.gap))
    try:
        await until(lambda: late.gaps == 1)

        assert late.bus.counted_until > time.monotonic()
        assert late.gap_until == -math.inf
    finally:
        heartbeats.cancel()
        await late.connection.close()


async def test_entering_without_redis_is_nothing(redis_server: RedisServer) -> None:
    """A replica starts all the same."""
    alone = Hearer(redis_server.url, "a", heartbeat=HEARTBEAT, timeout=60.0)

    await alone.bus.enter()  # nobody has reached Redis yet

    with redis_server.client() as client:
        assert client.zscore(ROLL, "a") is None
    await alone.connection.close()


async def test_what_stands_in_redis_goes_by_itself(redis_server: RedisServer) -> None:
    """Membership, its life and the number have an expiry, and there is nothing else."""
    redis_server.flush()
    async with hearer(redis_server.url, "a") as a:
        await a.bus.announce(PURGE)
        with redis_server.client() as client:
            keys = client.keys()
            assert len(keys) == 3
            assert all(client.ttl(key) > 3600 for key in keys)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "a\n"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    """It would make a channel that is none."""
    url = "redis://127.0.0.1"
    connection = Connection(url, RealClock(), RecordingObserver())

    with pytest.raises(ValueError, match="cannot have the name"):
        RedisBus(connection, "gateway", RealClock(), RecordingObserver(), replica=name)
