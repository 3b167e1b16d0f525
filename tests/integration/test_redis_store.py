"""RedisStore: what is its own beside the contract: keys, expiries, round trips, foreign bytes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.store import RedisStore
from gateway.core.cache.entry import Key
from gateway.core.vocabulary import StoreVerdict
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.stored import entry_of, version
from tests.support.redis_writes import Written, written
from tests.support.servers import RedisServer

__all__ = ["written"]

KEY = Key("p1", "trn_1")
MARK, ENTRY, REFUSAL = (f"gateway:g2:{{trn_1}}:{each}" for each in ("m", "e:p1", "r:p1"))
SHARED = ("gateway:g2:all", "gateway:g2:p:p1")


@pytest.fixture
def observer() -> RecordingObserver:
    """Who is told."""
    return RecordingObserver()


@pytest.fixture
async def store(redis_url: str, observer: RecordingObserver) -> AsyncIterator[RedisStore]:
    """One on the shared, empty Redis."""
    connection = Connection(redis_url, RealClock(), observer, timeout=30.0)
    await connection.check()
    words = (f"{number:016x}" for number in itertools.count())
    store = RedisStore(
        connection,
        "gateway",
        observer,
        longest_keep=600.0,
        longest_fetch=20.0,
        new_word=partial(next, words),
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
    entry = entry_of(await store.begin(key))
    await store.store(key, entry.facts, entry, keep)


async def regress(store: RedisStore) -> StoreVerdict:
    """Offer an older version than any other."""
    entry = entry_of(await store.begin(KEY), version(-1))
    return (await store.store(KEY, entry.facts, entry, 60.0)).verdict


async def test_every_key_has_an_expiry(store: RedisStore, client: Any) -> None:
    """The entry's is what was asked for; what rules entries out lives twice as long as any."""
    await fill(store, keep=60.0)
    await regress(store)

    left = {key.decode(): client.pttl(key) for key in client.scan_iter("gateway:g2:*")}

    assert 50_000 < left.pop(ENTRY) <= 60_000
    assert left.keys() == {MARK, REFUSAL, *SHARED}
    assert all(1_190_000 < each <= 1_200_000 for each in left.values())


async def test_what_nothing_is_stored_under_goes_soon(store: RedisStore, client: Any) -> None:
    """Fetches of new ids with new tokens do not fill Redis."""
    await store.begin(KEY)

    assert {key.decode() for key in client.scan_iter("gateway:g2:*")} == {MARK, *SHARED}
    assert all(0 < client.pttl(each) <= 40_000 for each in (MARK, *SHARED))


async def test_marks_that_redis_lost_are_kept_as_long_again(store: RedisStore, client: Any) -> None:
    """Though their expiry was renewed just before."""
    await fill(store)
    client.flushall()
    await store.lookup(KEY)

    await fill(store)

    assert all(client.pttl(each) > 1_000_000 for each in (MARK, *SHARED))


async def test_a_miss_is_stored_in_one_round_trip(
    store: RedisStore, client: Any, written: Written
) -> None:
    """Though the look-up before it found no mark."""
    await fill(store, Key("p1", "trn_2"))
    await store.lookup(KEY)
    entry = entry_of(await store.begin(KEY))
    written.clear()

    assert (await store.store(KEY, entry.facts, entry, 60.0)).verdict is StoreVerdict.FIRST

    assert written.total() == 1


@pytest.mark.parametrize(("keep", "most"), [(1e9, 600_000), (0.0001, 1)])
async def test_a_body_is_kept_within_bounds(
    store: RedisStore, client: Any, keep: float, most: int
) -> None:
    """Never longer than its mark, never with an expiry that Redis refuses."""
    await fill(store, keep=keep)

    assert client.pttl(ENTRY) <= most


async def test_renewing_moves_all_expiries(store: RedisStore, client: Any) -> None:
    """What is confirmed stays, and all that it is known by."""
    await fill(store)
    for name in (ENTRY, MARK):
        client.pexpire(name, 5_000)

    await fill(store)

    assert client.pttl(ENTRY) > 50_000
    assert client.pttl(MARK) > 1_000_000


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


@pytest.mark.parametrize("garbage", [b"", b"\x01", b"\x04whatever", b"{}" * 100])
async def test_foreign_bytes_are_a_miss_and_counted(
    store: RedisStore, client: Any, observer: RecordingObserver, garbage: bytes
) -> None:
    """They are left alone by who reads, and replaced by the next store."""
    await fill(store)
    facts = client.getrange(ENTRY, 0, 207)
    client.set(ENTRY, facts + garbage)

    assert (await store.lookup(KEY)).entry is None
    assert len(observer.of("envelope_refused")) == bool(garbage)
    assert client.get(ENTRY) == facts + garbage

    await fill(store)
    assert (await store.lookup(KEY)).entry is not None


async def test_an_order_looks_for_nothing(store: RedisStore, client: Any) -> None:
    """However much there is: one key, which outlives every entry that it rules out."""
    keys = [Key("p1", f"trn_{number}") for number in range(300)]
    for key in keys:
        await fill(store, key, 600.0)
    client.config_resetstat()

    await store.order(None, "p1", None, is_hard=True)

    commands = {name for name in client.info("commandstats") if "config" not in name}
    assert not commands & {"cmdstat_scan", "cmdstat_keys", "cmdstat_del", "cmdstat_unlink"}
    assert client.pttl(SHARED[1]) > 600_000


async def test_confirmations_of_one_turn_read_no_body(store: RedisStore, client: Any) -> None:
    """Whoever asks, they are one question."""
    keys = [Key("p1", f"trn_{number}") for number in range(50)]
    for key in keys:
        await fill(store, key)
    client.config_resetstat()

    many, one = await asyncio.gather(store.confirm(keys[1:]), store.confirm(keys[:1]))

    assert {**many, **one}.keys() == set(keys)
    assert all(each.stored for each in many.values())
    stats = client.info("commandstats")
    assert stats["cmdstat_mget"]["calls"] == 1
    assert stats["cmdstat_evalsha"]["calls"] + stats.get("cmdstat_eval", {}).get("calls", 0) <= 2
    assert "cmdstat_get" not in stats


async def test_what_others_have_changed_is_judged_again(store: RedisStore, client: Any) -> None:
    """A fetch offers its answer with the slot that it read, and a bound came meanwhile."""
    early = entry_of(await store.begin(KEY), version(1))
    await fill(store)
    await store.lookup(KEY)
    client.set(MARK, client.get(MARK)[:51] + b"1" * 21 + b" " + b"0" * 21)

    stored = await store.store(KEY, early.facts, early, 60.0)

    assert stored.verdict is StoreVerdict.OLDER
