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
from gateway.adapters.redis.store import RedisStore
from gateway.core.cache.marks import State, state_of
from gateway.core.upstream.breaker import LONGEST_HOLD
from gateway.core.vocabulary import StoreVerdict
from gateway.simulator import RunningSimulator, SimulatorConfig, running
from tests.contract.worlds import count_granted
from tests.doubles.budgets import NO_RESERVES, redis_budget_on, rules_of
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.stored import entry_of
from tests.fuzz.examples import damaged, times
from tests.fuzz.test_records import DIGITS, ENVELOPE, FACTS, KEY, MARK, REFUSAL
from tests.integration.gateways import BEARER, Planes, gateway
from tests.support.servers import RedisServer

GATE = b"%d 0 1" % 10**18
STAMP, COUNT = b"%d" % 10**15, b"9007199254740991"
LEASE = b"held 00c0ffee00c0ffee " + MARK[:50]

# How to put a value there, by the type that it has there.
Put = Callable[[redis.Redis, bytes, bytes], object]
OTHER_TYPES: dict[str, Put] = {
    "list": lambda client, name, value: client.rpush(name, value),
    "hash": lambda client, name, value: client.hset(name, "a", value),
    "set": lambda client, name, value: client.sadd(name, value),
    "sorted set": lambda client, name, value: client.zadd(name, {value: 1.0}),
    "stream": lambda client, name, value: client.xadd(name, {"a": value}),
}
SOUND = (MARK, FACTS + ENVELOPE, REFUSAL, LEASE, ENVELOPE, GATE, STAMP, COUNT)
# Of the right length, and still no mark: widths that make up for each other, letters of the wrong
# case.
ALMOST = (
    MARK[:15] + MARK[16:17] + b"0" + MARK[17:],
    MARK[:49] + b" " + MARK[50:51] + MARK[52:] + b"0",
    MARK[:10] + b"ABCDEF" + MARK[16:],
)
texts = damaged(SOUND, DIGITS)
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
        new_word=lambda: next(epochs),
    )


@pytest.mark.parametrize("mark", ALMOST)
async def test_what_is_almost_a_mark_is_made_anew(
    store: RedisStore, client: redis.Redis, mark: bytes
) -> None:
    """The scripts take for a mark what the reader takes for one, and nothing else."""
    client.set(Names("gateway").mark(KEY.training_id), mark)

    entry = entry_of(await store.begin(KEY))

    assert len(mark) == len(MARK)
    stored = await store.store(KEY, entry.facts, entry, 60.0)
    assert stored.verdict is StoreVerdict.FIRST


@times(250)
@given(st.dictionaries(st.integers(0, 4), garbage, min_size=1))
async def test_a_key_comes_back_from_any_garbage(
    store: RedisStore, client: redis.Redis, found: dict[int, Garbage]
) -> None:
    """Marks, entry and refusal: no step fails on it, and after a hard order all is as new."""
    names = Names("gateway")
    places = [*names.shared_marks(KEY.partition), *names.slot(KEY)]
    client.delete(*places)
    for place, what in found.items():
        put(client, places[place].encode(), what)

    await store.lookup(KEY)
    await store.confirm([KEY])
    entry = entry_of(await store.begin(KEY))
    await store.store(KEY, entry.facts, entry, 60.0)
    await store.order(None, None, None, is_hard=True)
    await store.order(KEY.training_id, None, None, is_hard=True)
    before = await store.lookup(KEY)
    assert before.stored is None or state_of(before.stored, before.marks) is State.GONE
    entry = entry_of(await store.begin(KEY))
    stored = await store.store(KEY, entry.facts, entry, 60.0)

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
    *("g2:{trn_%d}:m", "g2:{trn_%d}:e:%s", "g2:{trn_%d}:r:%s", "g2:{trn_%d}:l:%s", "g2:all"),
    *(
        "g2:{trn_%d}:q:%s",
        "g2:p:%s",
        "{bus}:record",
        "{default}:w",
        "{default}:g",
    ),
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
    (entry, *_) = (name for name in client.keys("gateway:*:e:*") if isinstance(name, bytes))
    partition = entry.decode().rpartition(":")[2]
    for place, what in found.items():
        name = place.replace("trn_%d", training_id).replace("%s", partition)
        put(client, f"gateway:{name}".encode(), what)

    answers = [await planes.get(training_id) for _ in range(2)]
    purged = await planes.admin.post("/purge", json={"soft": True})
    answers.append(await planes.get(training_id))

    assert purged.status_code in (200, 202)
    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.content for answer in answers} == {truth[number - 1]}
