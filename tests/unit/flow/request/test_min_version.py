"""A version at least as late as the one that the caller knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from gateway.core.access.caller import Caller
from gateway.core.budget.window_log import Rate
from gateway.core.cache.entry import Key
from gateway.core.cache.policy import Windows
from gateway.core.cache.rfc9111 import ByOrigin
from gateway.core.errors import (
    BudgetExhausted,
    Frozen,
    UpstreamError,
    VersionNotReached,
)
from gateway.core.http.cache_control import RequestDirectives
from gateway.core.http.fields import Reply
from gateway.core.instant import Instant, parse_instant
from gateway.core.vocabulary import Mode, Purpose, Tier
from gateway.flow.answer import Answer, Ask
from gateway.ports import Call, Held
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    CALLER,
    KEY,
    SOFT,
    UNUSABLE,
    Redis,
    Replica,
    gateway_of,
    minute_of,
    ok,
    page,
    says,
    serve_stale,
    settle,
    share_of,
)
from tests.unit.flow.leases import Town

# A tenth of it are two calls.
TWENTY = Rate(20, 60.0)
KEYS = [Key("p1", f"trn_{number}") for number in range(20)]


def minute(number: int) -> Instant:
    """The version of that minute."""
    return parse_instant(f"2023-11-14T22:{number:02d}:00Z")


def version(number: int) -> Callable[[Call], Awaitable[Reply]]:
    """The upstream has that version of each training."""

    async def answer(call: Call) -> Reply:
        return ok(number, training_id=call.training_id)

    return answer


@dataclass
class Reader:
    """A replica, asked for versions; `rate` is what its budget is taken for."""

    replica: Replica
    rate: Rate | None = None

    def __post_init__(self) -> None:
        share = share_of(self.replica.clock, self.rate, is_divided=True)
        self.gateway = gateway_of(self.replica, share)

    async def get(
        self,
        number: int | None,
        *,
        only_if_cached: bool = False,
        key: Key = KEY,
        client: str = CALLER.client,
    ) -> Answer:
        """What a caller gets who wants the version of that minute or a later one."""
        wanted = None if number is None else minute(number)
        caller = replace(CALLER, client=client)
        ask = Ask(key, caller, only_if_cached, at_least=wanted)
        return await self.gateway.get(ask)

    async def waits(self, number: int, key: Key = KEY, client: str = CALLER.client) -> float:
        """For how long such a caller is told to wait, who does not get it."""
        with pytest.raises(VersionNotReached) as caught:
            await self.get(number, key=key, client=client)
        return caught.value.retry_after


@pytest.fixture
def reader(alone: Replica) -> Reader:
    """One that holds the version of the second minute."""
    return Reader(alone)


async def test_what_is_late_enough_is_a_hit(reader: Reader) -> None:
    """However it came there."""
    await reader.replica.fill(2)

    answer = await reader.get(2)

    assert (minute_of(answer), answer.tier) == (2, Tier.L1)
    assert reader.replica.upstream.count == 1


async def test_a_later_version_is_asked_for_without_validators(reader: Reader) -> None:
    """Two versions of one second have the same `Last-Modified`."""
    await reader.replica.fill(2, KEY, (b"last-modified", b"Tue, 14 Nov 2023 22:02:00 GMT"))
    reader.replica.upstream.then(ok(3))

    assert minute_of(await reader.get(3)) == 3
    assert reader.replica.upstream.calls[-1].last_modified is None


@pytest.mark.parametrize(
    ("directives", "age"),
    [
        (RequestDirectives(no_cache=True, no_store=True), 0.0),
        (RequestDirectives(no_store=True), SOFT),
        (None, UNUSABLE),
    ],
)
async def test_a_stored_version_that_needs_a_fetch_is_not_followed_by_an_older_one(
    reader: Reader, directives: RequestDirectives | None, age: float
) -> None:
    """The stored version is late enough, but the request causes a fetch. The fetch brings an older
    version, perhaps from a copy of the API that lags behind."""
    replica = reader.replica
    await replica.fill(3)
    replica.clock.advance(age)
    replica.upstream.then(ok(2))
    ask = Ask(KEY, CALLER, directives=directives, at_least=minute(3))

    with pytest.raises(VersionNotReached) as caught:
        await reader.gateway.get(ask)

    assert caught.value.reached == "2023-11-14T22:02:00Z"
    assert 0.0 < caught.value.retry_after <= 1.0
    assert replica.upstream.count == 2


async def test_a_hit_ends_no_pause(reader: Reader) -> None:
    """A caller that reads a stored version now and then still has to wait for a later one."""
    await reader.replica.fill(2)
    reader.replica.upstream.always = ok(2)
    await reader.waits(3)

    assert minute_of(await reader.get(2)) == 2
    await reader.waits(3)

    assert reader.replica.upstream.count == 2


async def test_many_who_want_it_cost_one_call(reader: Reader) -> None:
    """All of them at once, and all are answered."""
    await reader.replica.fill(2)
    reader.replica.upstream.then(ok(3))
    reader.replica.upstream.hold()
    waiting = [asyncio.create_task(reader.get(3)) for _ in range(50)]
    await settle()
    reader.replica.upstream.release()

    assert {minute_of(answer) for answer in await asyncio.gather(*waiting)} == {3}
    assert [call.purpose for call in reader.replica.upstream.calls[1:]] == [Purpose.MIN_VERSION]
    assert minute_of(await reader.replica.get()) == 3


@pytest.mark.parametrize("early", [ok(2), says(404)])
async def test_a_fetch_from_before_is_not_enough(reader: Reader, early: Reply) -> None:
    """Who joined it and got an older version has another one made. So has who got a 404: the
    training was perhaps created since."""
    reader.replica.upstream.then(early, ok(3))
    reader.replica.upstream.hold()
    first = asyncio.create_task(reader.replica.get())
    await settle()
    second = asyncio.create_task(reader.get(3))
    await settle()
    reader.replica.upstream.release()

    assert isinstance((await first).content, Held)
    assert minute_of(await second) == 3


async def test_a_version_that_is_not_there_yet_is_told(reader: Reader, clock: FakeClock) -> None:
    """With the one that is there; and it is asked for less and less often."""
    await reader.replica.fill(2)
    reader.replica.upstream.always = ok(2)
    for _ in range(600):
        with pytest.raises(VersionNotReached) as caught:
            await reader.get(3)
        assert (caught.value.reached, caught.value.retry_after > 0) == (
            "2023-11-14T22:02:00Z",
            True,
        )
        clock.advance(0.1)

    assert 3 <= reader.replica.upstream.count <= 2 + 60 / 5
    assert minute_of(await reader.get(None)) == 2

    clock.advance(10.0)
    reader.replica.upstream.always = ok(3)
    assert minute_of(await reader.get(3)) == 3


async def test_a_request_in_the_pause_looks_up_once(clock: FakeClock, redis: Redis) -> None:
    """It made no fetch, so nothing has changed since."""
    reader = Reader(Replica(clock, redis))
    reader.replica.upstream.always = ok(2)
    await reader.waits(3)
    before = looks(redis)

    await reader.waits(3)

    assert looks(redis) == before + 1


async def test_the_wish_raises_no_bound(clock: FakeClock, redis: Redis) -> None:
    """A version from a caller's mouth rules out nothing for the others."""
    replica = Replica(clock, redis)
    reader = Reader(replica)
    await replica.fill(2)
    before = (await redis.memory.lookup(KEY)).marks
    replica.upstream.then(ok(2))
    with pytest.raises(VersionNotReached):
        await reader.get(50)

    assert (await redis.memory.lookup(KEY)).marks == before
    assert (await replica.get()).tier is Tier.L1


async def test_an_older_version_rescues_nobody(reader: Reader) -> None:
    """Who asks for a version wants no other; a failure is told as one."""
    await reader.replica.fill(2)
    reader.replica.upstream.then(page(503))

    with pytest.raises(UpstreamError):
        await reader.get(3)


async def test_a_refresh_that_is_denied_denies_no_caller(
    reader: Reader, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waited for that one; a caller that wants a version has a caller's right."""
    await serve_stale(reader.replica)
    asked, take = [], reader.replica.outbound.ask

    async def ask(caller: Caller, call: Call) -> Reply:
        asked.append(call.purpose)
        if call.purpose is Purpose.REFRESH:
            await settle()
            raise BudgetExhausted("none is left", retry_after=5.0)
        return await take(caller, call)

    monkeypatch.setattr(reader.replica.outbound, "ask", ask)
    reader.replica.upstream.then(ok(3))
    assert minute_of(await reader.get(None)) == 1  # and a refresh is under way

    assert minute_of(await reader.get(3)) == 3
    assert asked == [Purpose.REFRESH, Purpose.MIN_VERSION]


async def test_the_upstreams_word_to_the_caller_passes(reader: Reader) -> None:
    """A 403 is about who asks."""
    await reader.replica.fill(2)
    reader.replica.upstream.then(says(403))

    answer = await reader.get(3)

    assert isinstance(answer.content, Reply)
    assert answer.content.status == 403


async def held(reader: Reader) -> Reader:
    """The same, with the version of the second minute of all those keys, which stays the last."""
    for key in KEYS:
        await reader.replica.fill(2, key)
    reader.replica.upstream.always = version(2)
    return reader


def looks(redis: Redis) -> int:
    """How often Redis was asked about a training."""
    return redis.store.lookups + len(redis.store.confirmed)


def spent(reader: Reader) -> int:
    """How many calls were made for versions."""
    return sum(call.purpose is Purpose.MIN_VERSION for call in reader.replica.upstream.calls)


async def test_vain_fetches_have_a_tenth_of_the_budget(alone: Replica, clock: FakeClock) -> None:
    """One caller wants what does not exist, of twenty ids, for a minute: it has half of that, and
    is told the version that is stored, and when it may have another call."""
    reader = await held(Reader(alone, Rate(100, 60.0)))
    for _ in range(6):
        for key in KEYS:
            assert 1.0 <= await reader.waits(50, key) <= 60.0
        clock.advance(9.5)

    assert spent(reader) == 5


async def test_a_fetch_that_reaches_the_version_costs_the_share_nothing(alone: Replica) -> None:
    """Any request for the training would have been answered by it."""
    reader = await held(Reader(alone, TWENTY))
    alone.upstream.always = version(3)

    for key in KEYS:
        assert minute_of(await reader.get(3, key=key)) == 3


async def test_a_miss_costs_the_share_nothing(alone: Replica) -> None:
    """Nothing is stored: any request would be a call."""
    reader = Reader(alone, TWENTY)
    alone.upstream.always = version(2)

    for key in KEYS:
        assert await reader.waits(3, key) <= 1.0

    assert alone.upstream.count == len(KEYS)


async def test_a_call_that_was_not_made_costs_the_share_nothing(clock: FakeClock) -> None:
    """The budget had none."""
    replica = Replica(clock, limit=1)
    await replica.fill(2)
    reader = Reader(replica, TWENTY)
    for _ in range(5):
        with pytest.raises(BudgetExhausted):
            await reader.get(3)


async def test_one_callers_vain_fetch_does_not_keep_another_waiting(reader: Reader) -> None:
    """It wanted another version, perhaps before that of the other was written."""
    await reader.replica.fill(2)
    reader.replica.upstream.then(ok(2), ok(3))
    await reader.waits(50, client="one")

    assert minute_of(await reader.get(3, client="other")) == 3


async def test_a_stored_404_answers_where_no_call_may_go(alone: Replica) -> None:
    """It is an answer, and costs one call of the share and no more."""
    reader = Reader(alone, TWENTY)
    alone.upstream.always = says(404)

    for _ in range(5):
        answer = await reader.get(3)
        assert not isinstance(answer.content, Reply)
        assert answer.content.entry.is_negative

    assert alone.upstream.count == 2  # the miss, and one for the version


async def test_a_404_from_before_answers_where_no_call_may_go(alone: Replica) -> None:
    """It was stored while the request waited for it. The share is spent on another training."""
    reader = Reader(alone, TWENTY)
    await alone.fill(2, KEYS[2])
    alone.upstream.then(ok(2, training_id=KEYS[2].training_id), says(404))
    await reader.waits(3, KEYS[2])
    alone.upstream.hold()
    first = asyncio.create_task(alone.get())
    await settle()
    second = asyncio.create_task(reader.get(3))
    await settle()
    alone.upstream.release()

    answers = [(await each).content for each in (first, second)]

    assert [isinstance(each, Held) and each.entry.is_negative for each in answers] == [True, True]
    assert alone.upstream.count == 3


@pytest.mark.parametrize("has_version", [True, False])
async def test_a_fetch_of_another_replica_may_be_from_before_the_edit(has_version: bool) -> None:
    """Then this replica makes a call too, once. It is not refused for the other's answer."""
    town = Town()
    here, elsewhere = town.replica(), town.replica()
    await here.fill(1)
    await elsewhere.get()
    town.clock.advance(31.0)
    release = asyncio.Event()

    async def slowly(call: Call) -> Reply:
        await release.wait()
        return ok(2)

    elsewhere.upstream.then(slowly)
    await elsewhere.get()  # begins a refresh
    await settle()
    town.clock.advance(0.5)
    here.upstream.then(ok(3 if has_version else 2))
    reading = asyncio.create_task(Reader(here, TWENTY).get(3))
    await settle()
    release.set()
    await town.pass_time(1.0)

    if has_version:
        assert minute_of(await reading) == 3
    else:
        with pytest.raises(VersionNotReached):
            await reading
    assert here.upstream.count == 2


@pytest.mark.parametrize("is_elsewhere", [False, True])
async def test_a_fetch_for_another_variant_is_no_answer(is_elsewhere: bool) -> None:
    """What `Vary` chose for the other request, be it late enough: this one makes its own call."""
    town = Town(rules=ByOrigin(Windows(), vary=True, is_shared=False))
    replica, other = town.replica(), town.replica()
    first = other if is_elsewhere else replica
    vary = (b"vary", b"Foo")
    release = asyncio.Event()

    async def slowly(call: Call) -> Reply:
        await release.wait()
        return ok(4, vary)

    first.upstream.then(slowly)
    begun = asyncio.create_task(first.gateway.get(Ask(KEY, CALLER, extra=((b"foo", b"1"),))))
    await settle()
    replica.upstream.then(ok(3, vary))
    ask = Ask(KEY, CALLER, extra=((b"foo", b"2"),), at_least=minute(3))
    reading = asyncio.create_task(Reader(replica).gateway.get(ask))
    await settle()
    release.set()
    await town.pass_time(1.0)

    assert minute_of(await begun) == 4
    assert minute_of(await reading) == 3
    assert replica.upstream.calls[-1].purpose is Purpose.MISS


async def test_a_request_in_the_mode_frozen_leaves_no_trace(reader: Reader) -> None:
    """Once the mode ends, the training is refreshed at once."""
    replica = reader.replica
    await serve_stale(replica)
    await replica.modes.order(Mode.FROZEN)
    with pytest.raises(Frozen):
        await reader.gateway.get(Ask(KEY, CALLER, at_least=minute(2)))
    await replica.modes.order(Mode.NORMAL)
    replica.upstream.then(ok(2))

    replica.peek()
    await replica.land()

    assert minute_of(await replica.get()) == 2


async def test_an_order_for_the_stored_version_is_no_later_answer() -> None:
    """It changed the floor while the response was fetched. A request for a later version makes a
    call, and takes one lease for it."""
    town = Town()
    here = town.replica()
    here.upstream.hold()
    here.upstream.then(ok(3))
    first = asyncio.create_task(here.get())
    await settle()
    town.clock.advance(0.2)
    await here.invalidation.invalidate((KEY.training_id,), minute(3))
    here.upstream.release()
    await town.pass_time(0.5)
    assert minute_of(await first) == 3
    here.upstream.then(ok(4))

    answer = await asyncio.wait_for(Reader(here, TWENTY).get(4), 5.0)

    assert (minute_of(answer), here.upstream.count) == (4, 2)


async def test_fetches_for_other_variants_delay_a_request_once() -> None:
    """Then it makes its own call, however many fetches for others are under way."""
    town = Town(rules=ByOrigin(Windows(), vary=True, is_shared=False))
    replica = town.replica()

    async def slowly(call: Call) -> Reply:
        await settle()
        return ok(4, (b"vary", b"Foo"), (b"cache-control", b"no-cache"))

    replica.upstream.always = slowly

    async def read_on(value: bytes) -> None:
        while True:
            await replica.gateway.get(Ask(KEY, CALLER, extra=((b"foo", value),)))

    others = [asyncio.create_task(read_on(value)) for value in (b"1", b"2")]
    await settle()
    ask = Ask(KEY, CALLER, extra=((b"foo", b"3"),), at_least=minute(3))
    reading = asyncio.create_task(Reader(replica).gateway.get(ask))
    for _ in range(10):
        await settle()
    for each in others:
        each.cancel()

    assert reading.done()
    assert minute_of(await reading) == 4
