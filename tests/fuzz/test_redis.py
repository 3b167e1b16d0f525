"""Garbage of every type in a real Redis, under the store and under a running gateway."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.keys import AccountNames, Names
from gateway.adapters.redis.records import FLOOR_LENGTH
from gateway.adapters.redis.store import RedisStore
from gateway.core.upstream.breaker import LONGEST_HOLD
from gateway.core.vocabulary import StoreVerdict
from gateway.simulator import RunningSimulator, SimulatorConfig, running
from tests.contract.worlds import count_granted
from tests.doubles.budgets import NO_RESERVES, redis_budget_on, rules_of
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.stored import entry_of
from tests.fuzz.examples import damaged, times
from tests.fuzz.test_records import DIGITS, ENVELOPE, EVENT, FLOOR, KEY, LAST
from tests.integration.gateways import BEARER, Planes, gateway
from tests.support.servers import RedisServer

DOUBT = f"{10**20:021d} {'ab' * 16} 2 {10**15:016d} {10**15:016d}".encode()
GATE = b"%d 0 1" % 10**18
STAMP, COUNT = b"%d" % 10**15, b"9007199254740991"
LEASE = b"held 00c0ffee00c0ffee 0123456789abcdef 7 %016d" % 10**15

# How to put a value there, by the type that it has there.
Put = Callable[[redis.Redis, bytes, bytes], object]
OTHER_TYPES: dict[str, Put] = {
    "list": lambda client, name, value: client.rpush(name, value),
    "hash": lambda client, name, value: client.hset(name, "a", value),
    "set": lambda client, name, value: client.sadd(name, value),
    "sorted set": lambda client, name, value: client.zadd(name, {value: 1.0}),
    "stream": lambda client, name, value: client.xadd(name, {"a": value}),
}
SOUND = (FLOOR, FLOOR + LAST, EVENT, DOUBT, LEASE, ENVELOPE, GATE, STAMP, COUNT)
# Of the right length, and still no floor: widths that make up for each other, half a digest, a
# generation beyond any, letters of the wrong case.
ALMOST = (
    FLOOR[:15] + FLOOR[16:17] + b"0" + FLOOR[17:],
    FLOOR[:38] + FLOOR[39:95] + b"0" + FLOOR[95:],
    FLOOR[:70] + b"-" * 10 + FLOOR[80:],
    FLOOR[:17] + b"9" * 20 + FLOOR[37:],
    FLOOR[:16].upper() + FLOOR[16:],
)
texts = damaged(SOUND, (*DIGITS, b"trust"))
Garbage = tuple[str | None, bytes]
garbage = st.tuples(st.none() | st.none() | st.sampled_from(sorted(OTHER_TYPES)), texts)


def put(client: redis.Redis, name: bytes, what: Garbage) -> None:
    """Write over whatever stands under that name; some of it for ever."""
    kind, value = what
    client.delete(name)
    if kind is None:
        client.set(name, value, px=600_000 if value[-1:] < b"8" else None)
    else:
        OTHER_TYPES[kind](client, name, value)


@pytest.fixture
def client(redis_url: str, redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Whoever else can write there."""
    del redis_url
    with redis_server.client() as client:
        yield client


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[Connection]:
    """A patient one."""
    connection = Connection(redis_url, RealClock(), RecordingObserver(), timeout=30.0)
    assert await connection.check()
    yield connection
    await connection.close()


@pytest.fixture
def store(connection: Connection) -> RedisStore:
    """The store."""
    epochs = (f"{number:016x}" for number in itertools.count(1))
    return RedisStore(
        connection,
        "gateway",
        RecordingObserver(),
        longest_keep=600.0,
        longest_fetch=20.0,
        entropy=lambda: next(epochs),
    )


@pytest.mark.parametrize("floor", ALMOST)
async def test_what_is_almost_a_floor_is_made_anew(
    store: RedisStore, client: redis.Redis, floor: bytes
) -> None:
    """The scripts take for a floor what the reader takes for one, and nothing else."""
    name = Names("gateway").floor(KEY)
    client.set(name, floor)

    ticket = await store.begin(KEY)

    assert len(floor) == FLOOR_LENGTH
    assert ticket.generation == 0
    assert (await store.store(KEY, entry_of(ticket), 60.0)).verdict is StoreVerdict.FIRST


async def test_an_event_behind_the_last_serial_is_not_lost(
    store: RedisStore, client: redis.Redis
) -> None:
    """Where nines stand, one more would need another digit."""
    name = Names("gateway").event(KEY.training_id)
    client.set(name, b"9" * 16 + b" " + b"9" * 16 + EVENT[33:])
    entry = entry_of(await store.begin(KEY))
    await store.store(KEY, entry, 60.0)

    await store.invalidate(KEY.training_id, None)

    assert (await store.lookup(KEY)).entry is None


@times(250)
@given(st.dictionaries(st.integers(0, 3), garbage, min_size=1))
async def test_a_key_comes_back_from_any_garbage(
    store: RedisStore, client: redis.Redis, found: dict[int, Garbage]
) -> None:
    """Floor, event, body and doubt: no step fails on it, and after a drop all is as new."""
    names = Names("gateway")
    places = [names.floor(KEY), names.event(KEY.training_id), names.body(KEY), names.doubt(KEY)]
    client.delete(*places)
    for place, what in found.items():
        put(client, places[place].encode(), what)

    await store.lookup(KEY)
    await store.confirm([KEY])
    await store.store(KEY, entry_of(await store.begin(KEY)), 60.0)
    await store.invalidate(KEY.training_id, None)
    assert (await store.lookup(KEY)).entry is None
    await store.drop(KEY)
    entry = entry_of(await store.begin(KEY))
    stored = await store.store(KEY, entry, 60.0)

    assert not stored.verdict.is_refusal
    assert (await store.lookup(KEY)).entry == entry


maybe = st.none() | garbage


@times(150)
@given(log=maybe, state=maybe, life=maybe)
async def test_a_budget_comes_back_from_any_garbage(
    connection: Connection,
    client: redis.Redis,
    log: Garbage | None,
    state: Garbage | None,
    life: Garbage | None,
) -> None:
    """No step fails on it, none grants more than the limit, and no gate is closed for ever."""
    budget = redis_budget_on(connection, RealClock(), rules_of(5, 600.0, replicas=NO_RESERVES))
    names = AccountNames("gateway").all("default")
    places = {names[0]: life, names[1]: state, names[2]: log}
    client.delete(*names)
    for place, what in places.items():
        if what is not None:
            put(client, place.encode(), what)

    taken = await count_granted(budget, 10)
    assert taken <= 5
    assert budget.view("default").gate_closed_for <= 2 * LONGEST_HOLD
    await budget.close("default", 1.0)
    assert await count_granted(budget, 10) == 0
    await budget.reopen("default")


@pytest.fixture
async def upstream() -> AsyncIterator[RunningSimulator]:
    """A few trainings that never change."""
    async with running(SimulatorConfig(trainings=5, limit=None)) as simulator:
        yield simulator


@pytest.fixture
async def planes(upstream: RunningSimulator, redis_url: str) -> AsyncIterator[Planes]:
    """A gateway that asks Redis about everything."""
    settings = {"upstream__rate_limit": "unlimited", "l1__lifetime": "1ms"}
    async with gateway(upstream.base_url, redis_url, **settings) as planes:
        yield planes


@pytest.fixture
async def truth(upstream: RunningSimulator) -> list[bytes]:
    """What the upstream itself says."""
    async with httpx.AsyncClient(base_url=upstream.base_url, headers=BEARER) as direct:
        return [(await direct.get(f"/training/trn_{each:06d}")).content for each in range(1, 6)]


# What a request touches, and what the bus and the budget do; %s: the partition.
PLACES = (
    *("{trn_%d}:f:%s", "{trn_%d}:b2:%s", "{trn_%d}:d:%s", "{trn_%d}:l:%s", "{trn_%d}:q:%s"),
    *("{trn_%d}:i", "{bus}:replicas", "{bus}:number", "{bus}:life", "{default}:w", "{default}:g"),
    "{default}:b",
)
here = st.dictionaries(st.sampled_from(PLACES), garbage, min_size=1, max_size=4)


@times(60)
@given(st.integers(1, 5), here)
async def test_a_gateway_answers_whatever_stands_in_redis(
    planes: Planes, truth: list[bytes], client: redis.Redis, number: int, found: dict[str, Garbage]
) -> None:
    """Always the training that was asked for, byte for byte."""
    training_id = f"trn_{number:06d}"
    await planes.get(training_id)
    (floor, *_) = (name for name in client.keys("gateway:*:f:*") if isinstance(name, bytes))
    partition = floor.decode().rpartition(":")[2]
    for place, what in found.items():
        name = place.replace("trn_%d", training_id).replace("%s", partition)
        put(client, f"gateway:{name}".encode(), what)

    answers = [await planes.get(training_id) for _ in range(2)]
    purged = await planes.admin.post("/purge", json={"soft": True})
    answers.append(await planes.get(training_id))

    assert purged.status_code == 200
    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.content for answer in answers} == {truth[number - 1]}
