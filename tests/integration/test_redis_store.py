"""RedisStore: what is its own beside the contract: keys, expiries, round trips, foreign bytes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.store import RedisStore
from gateway.core.cache.entry import Key
from gateway.core.errors import RedisUnavailable
from gateway.core.instant import Instant
from gateway.core.vocabulary import RedisOperation, StoreVerdict
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.stored import entry_of, version
from tests.support.servers import RedisServer

KEY = Key("p1", "trn_1")
BODY, FLOOR, EVENT = "gateway:{trn_1}:b3:p1", "gateway:{trn_1}:f:p1", "gateway:{trn_1}:i"
DOUBT, SHARE = "gateway:{trn_1}:d:p1", "gateway:{p1}:x"

# An event of the year 2255.
AHEAD = f"{8 * 10**15:016d} {8 * 10**15:016d} {0:021d} {0:016d}".encode()


@pytest.fixture
def observer() -> RecordingObserver:
    """Who is told."""
    return RecordingObserver()


@pytest.fixture
async def store(redis_url: str, observer: RecordingObserver) -> AsyncIterator[RedisStore]:
    """One on the shared, empty Redis."""
    connection = Connection(redis_url, RealClock(), observer, timeout=30.0)
    await connection.check()
    epochs = (f"{number:016x}" for number in itertools.count())
    entropy = partial(next, epochs)
    store = RedisStore(
        connection, "gateway", observer, longest_keep=600.0, longest_fetch=20.0, entropy=entropy
    )
    yield store
    await connection.close()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    """Somebody else who looks into Redis and writes there."""
    with redis_server.client() as client:
        yield client


async def fill(store: RedisStore, key: Key = KEY, keep: float = 60.0) -> None:
    """Store a training."""
    await store.store(key, entry_of(await store.begin(key)), keep)


async def regress(store: RedisStore) -> StoreVerdict:
    """Offer an older version than any other."""
    entry = entry_of(await store.begin(KEY), version(-1))
    return (await store.store(KEY, entry, 60.0)).verdict


async def test_every_key_has_an_expiry(store: RedisStore, client: Any) -> None:
    """The body's is what was asked for; what rules bodies out lives twice as long as any."""
    await fill(store, keep=60.0)
    await store.invalidate("trn_1", None)

    left = {key.decode(): client.pttl(key) for key in client.scan_iter()}

    assert 50_000 < left.pop(BODY) <= 60_000
    assert left.keys() == {FLOOR, EVENT, SHARE}
    assert all(1_190_000 < each <= 1_200_000 for each in left.values())


async def test_what_nothing_is_stored_under_goes_soon(store: RedisStore, client: Any) -> None:
    """Whoever asks for ever new ids, or guesses tokens, fills nothing."""
    await store.begin(KEY)

    left = [client.pttl(key) for key in client.scan_iter()]
    assert len(left) == 3
    assert all(0 < each <= 40_000 for each in left)


@pytest.mark.parametrize(("keep", "most"), [(1e9, 600_000), (0.0001, 1)])
async def test_a_body_is_kept_within_bounds(
    store: RedisStore, client: Any, keep: float, most: int
) -> None:
    """Never longer than its floor, never with an expiry that Redis refuses."""
    await fill(store, keep=keep)

    assert client.pttl(BODY) <= most


async def test_renewing_moves_all_expiries(store: RedisStore, client: Any) -> None:
    """What is confirmed stays, and all that it is known by."""
    await fill(store)
    for name in (BODY, FLOOR, EVENT, SHARE):
        client.pexpire(name, 5_000)

    await fill(store)

    assert client.pttl(BODY) > 50_000
    assert all(client.pttl(name) > 1_000_000 for name in (FLOOR, EVENT))
    assert client.pttl(SHARE) > 5_000  # as a fetch needs; as bodies do each ten seconds


async def test_lookups_of_one_turn_are_one_round_trip(store: RedisStore, client: Any) -> None:
    """Each caller gets its own entry."""
    keys = [Key("p1", f"trn_{number}") for number in range(50)]
    for key in keys:
        await fill(store, key)
    client.config_resetstat()

    founds = await asyncio.gather(*map(store.lookup, keys))

    assert all(found.entry is not None for found in founds)
    assert client.info("commandstats")["cmdstat_mget"]["calls"] == 1
    assert "cmdstat_get" not in client.info("commandstats")


@pytest.mark.parametrize("garbage", [b"", b"\x01", b"\x03whatever", b"{}" * 100])
async def test_foreign_bytes_are_a_miss_and_counted(
    store: RedisStore, client: Any, observer: RecordingObserver, garbage: bytes
) -> None:
    """They are left alone by who reads, and replaced by the next store."""
    await fill(store)
    client.set(BODY, garbage)

    assert (await store.lookup(KEY)).entry is None
    assert len(observer.of("envelope_refused")) == 1
    assert client.get(BODY) == garbage

    await fill(store)
    assert (await store.lookup(KEY)).entry is not None


@pytest.mark.parametrize("garbage", [b"", b"x" * 90, b"trusted"])
async def test_a_foreign_doubt_is_none(store: RedisStore, client: Any, garbage: bytes) -> None:
    """It is written over by the next one, and nothing is believed for it."""
    await fill(store)
    client.set(DOUBT, garbage)

    said = [await regress(store) for _ in range(2)]

    assert said == [StoreVerdict.OLDER] * 2
    assert client.get(DOUBT).split(b" ")[2] == b"2"


async def test_a_doubt_goes_with_its_floor(store: RedisStore, client: Any) -> None:
    """Answers that agree a day apart agree; and what a drop leaves goes as well."""
    await fill(store)
    await regress(store)
    assert 1_190_000 < client.pttl(DOUBT) <= 1_200_000

    await fill(store)
    assert not client.exists(DOUBT)

    await store.drop(KEY)
    assert 1_190_000 < client.pttl(DOUBT) <= 1_200_000


async def test_a_belief_cut_short_leaves_nothing_disbelieved(
    store: RedisStore, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis goes away before the body is written: the old one may not even rescue."""
    await fill(store)
    ticket = await store.begin(KEY)
    entries = [
        entry_of(replace(ticket, started=ticket.started + at), version(-1)) for at in (0, 30, 60)
    ]
    for entry in entries[:2]:
        await store.store(KEY, entry, 60.0)
    run_script, steps = Connection.run_script, iter((True, False))

    async def once(*args: Any) -> Any:
        if not next(steps):
            raise RedisUnavailable(RedisOperation.STORE, "it went away")
        return await run_script(*args)

    monkeypatch.setattr(Connection, "run_script", once)
    with pytest.raises(RedisUnavailable):
        await store.store(KEY, entries[2], 60.0)

    assert client.exists(BODY, DOUBT) == 0
    found = await store.lookup(KEY)
    assert found.floor is not None
    assert found.floor.updated_at == version(-1)


async def test_a_drop_of_nothing_leaves_nothing(store: RedisStore, client: Any) -> None:
    """Not even that the next answer is to be trusted."""
    await store.drop(KEY)

    assert client.keys() == []


async def test_two_events_within_a_microsecond_differ(store: RedisStore, client: Any) -> None:
    """Also where the clock was set back between them."""
    client.set(EVENT, AHEAD)
    ticket = await store.begin(KEY)

    await store.invalidate("trn_1", None)

    assert client.get(EVENT) > AHEAD
    assert (await store.store(KEY, entry_of(ticket), 60.0)).verdict is StoreVerdict.INVALIDATED


async def test_an_event_that_was_lost_and_comes_again_earlier_counts(
    store: RedisStore, client: Any
) -> None:
    """A failover to a Redis whose clock is behind must not hide it."""
    client.set(EVENT, AHEAD)
    ticket = await store.begin(KEY)
    client.delete(EVENT)

    await store.invalidate("trn_1", None)

    assert (await store.store(KEY, entry_of(ticket), 60.0)).verdict is StoreVerdict.INVALIDATED


async def test_a_purge_covers_thousands(store: RedisStore, client: Any) -> None:
    """In batches, each key once, foreign keys untouched."""
    keys = [Key(f"p{number % 3}", f"trn_{number}") for number in range(1_500)]
    await asyncio.gather(*map(store.begin, keys))
    client.set("other:{trn_1}:f:p1", b"x")

    assert await store.purge("p1", soft=False) == 500
    assert await store.purge(None, soft=False) == 1_500
    assert client.get("other:{trn_1}:f:p1") == b"x"


async def test_a_strike_looks_for_nothing(store: RedisStore, client: Any) -> None:
    """However much there is: one key, which outlives every body that it rules out."""
    keys = [Key("p1", f"trn_{number}") for number in range(300)]
    for key in keys:
        await store.store(key, entry_of(await store.begin(key)), 600.0)
    client.config_resetstat()

    await store.invalidate_partition("p1")

    commands = {name for name in client.info("commandstats") if "config" not in name}
    assert not commands & {"cmdstat_scan", "cmdstat_keys", "cmdstat_del", "cmdstat_unlink"}
    assert client.pttl("gateway:{p1}:x") > 600_000
    found = await asyncio.gather(*map(store.lookup, keys))
    assert [each.entry for each in found] == [None] * 300


async def test_a_strike_is_not_taken_back_by_the_clock(store: RedisStore, client: Any) -> None:
    """A failover to a Redis whose clock is behind must not let in what was ruled out."""
    ahead = b"8" * 15 + b"0"
    client.set(SHARE, ahead)

    await store.invalidate_partition("p1")

    assert client.get(SHARE) == b"8" * 15 + b"1"


@pytest.mark.parametrize("updated_at", [version(), None])
async def test_an_answer_replaces_one_from_before_the_clock_of_redis_was_set_back(
    store: RedisStore, updated_at: Instant | None
) -> None:
    """An unchanged training has the new time, and a 404 is accepted."""
    ticket = await store.begin(KEY)
    ahead = replace(ticket, started=ticket.started + 3_600.0)
    await store.store(KEY, entry_of(ahead), 60.0)

    entry = entry_of(await store.begin(KEY), updated_at)
    stored = await store.store(KEY, entry, 60.0)

    found = await store.lookup(KEY)
    assert not stored.verdict.is_refusal
    assert found.entry == entry
    assert found.floor is not None
    assert found.floor.started == entry.confirmed_at


async def test_an_order_after_the_clock_of_redis_was_set_back_rules_out_an_earlier_404(
    store: RedisStore, client: Any
) -> None:
    """The times of orders go on ascending, so they are in the future then."""
    await fill(store)
    client.set(EVENT, f"{8 * 10**15:016d} {0:016d} {0:021d} {0:016d}")
    ticket = await store.begin(KEY)
    await store.invalidate(KEY.training_id, version(3))

    stored = await store.store(KEY, entry_of(ticket, None), 60.0)

    assert stored.verdict is StoreVerdict.OLDER
