"""Shares: what is not known to be unspent counts as spent; of what is free each has its part."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.adapters.ledger import LocalBudget
from gateway.core.budget.window_log import Rate
from gateway.core.errors import BudgetExhausted, CallWithheld, RedisUnavailable
from gateway.core.vocabulary import Purpose
from gateway.flow.budget import replica_share
from gateway.flow.budget.replica_share import LOOK, Shares, _Sent
from gateway.ports import Call, Charge, KnownBudget, Looking
from tests.doubles.bus import Hub
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import OURS, Redis, Replica, ok, settle

SCOPE, LIMIT, WINDOW = "default", 12, 61.0


class Three:
    """Three replicas on one Redis, who count each other."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.clock = FakeClock()
        self.redis = Redis(self.clock, limit)
        self._limit, self._hub = limit, Hub()
        self.replicas: list[Replica] = []
        self.calls: list[float] = []
        for _ in range(3):
            self.join()

    def join(self) -> None:
        """One more begins."""
        replica = Replica(self.clock, self.redis, limit=self._limit, hub=self._hub)
        replica.upstream.always = ok(1)
        self.replicas.append(replica)

    async def spend(self, replica: Replica, most: int = 1_000) -> int:
        """How many calls go at once."""
        for count in range(most):
            now = self.clock.monotonic()
            try:
                await replica.outbound.ask(OURS, Call("t", "k", Purpose.MISS, now))
            except CallWithheld:
                return count
            self.calls.append(self.clock.monotonic())
        return most

    async def spend_all(self) -> list[int]:
        """What each could."""
        return [await self.spend(each) for each in self.replicas]

    async def spend_up(self) -> int:
        """What all could together, as they look again."""
        count = 0
        while spent := sum(await self.spend_all()):
            count += spent
            await self.look()
        return count

    async def look(self) -> None:
        """Let each see what the others told, and tell that it did."""
        for _ in range(2):
            for each in self.replicas:
                await shares_of(each).look_at_all()

    async def live(self, seconds: float, *, cut_off: Replica | None = None) -> None:
        """Let each look twice a second, and spend all it may; one of them cannot reach Redis."""
        for _ in range(int(seconds / LOOK)):
            for each in self.replicas:
                was_up = self.redis.switch.is_up
                self.redis.switch.is_up = was_up and each is not cut_off
                await shares_of(each).look_at_all()
                await self.spend(each)
                self.redis.switch.is_up = was_up
            self.clock.advance(LOOK)

    @property
    def fullest(self) -> int:
        """The most calls in any window."""
        return max(sum(at <= each < at + WINDOW for each in self.calls) for at in self.calls)


def shares_of(replica: Replica) -> Shares:
    """Its own."""
    assert replica.shares is not None
    return replica.shares


async def begun(limit: int = LIMIT) -> Three:
    """Three who have spent nothing, and know it."""
    three = Three(limit)
    for each in three.replicas:
        await shares_of(each).look([SCOPE])
    await three.look()
    return three


@pytest.fixture
async def three() -> Three:
    """With a limit that three can divide."""
    return await begun()


async def test_of_what_is_known_to_be_unspent_half_goes_without_redis(three: Three) -> None:
    """In equal parts; what the others may have spent since is free again a window later."""
    three.redis.switch.is_up = False

    assert await three.spend_all() == [2, 2, 2]
    three.clock.advance(WINDOW)
    assert await three.spend_all() == [2, 2, 2]
    three.clock.advance(shares_of(three.replicas[0])._shared.silence)
    assert await three.spend_all() == [2, 2, 2]


async def test_the_view_shows_what_is_left_of_the_share_without_redis(three: Three) -> None:
    """An operator must not read that half of the limit is free while callers are refused."""
    one = shares_of(three.replicas[0])
    three.redis.switch.is_up = False

    assert await three.spend(three.replicas[0]) == 2
    assert one.view(SCOPE).available == 0
    assert one.view(SCOPE).limit == LIMIT
    three.redis.switch.is_up = True
    await three.look()
    assert one.view(SCOPE).available == three.redis.budget.view(SCOPE).available


async def test_what_was_spent_becomes_free_for_all_alike(three: Three) -> None:
    """The first has spent all of it, a call each second; each third of these is somebody's."""
    for _ in range(LIMIT):
        assert await three.spend(three.replicas[0], 1) == 1
        await three.look()
        three.clock.advance(1.0)
    three.redis.switch.is_up = False
    three.clock.advance(WINDOW - LIMIT + 1.9)

    free = []
    for _ in range(LIMIT):
        free.append(await three.spend_all())
        three.clock.advance(1.0)

    assert free == [[0, 0, 0], [1, 1, 1], [0, 0, 0]] * 4 or sum(map(sum, free)) == LIMIT


@pytest.mark.parametrize("before", [0.0, 20.0])
async def test_the_limit_holds_without_redis(three: Three, before: float) -> None:
    """Whatever was spent; and each replica goes on."""
    await three.live(before)
    three.redis.switch.is_up = False
    await three.live(4 * WINDOW)
    three.redis.switch.is_up = True
    await three.live(2 * WINDOW)

    assert three.fullest <= LIMIT
    assert len(three.calls) > 4 * LIMIT


@pytest.mark.parametrize("before", [0.0, 20.0])
async def test_the_limit_holds_when_one_is_cut_off(three: Three, before: float) -> None:
    """The others leave it its part, as soon as it may spend it."""
    await three.live(before)
    three.calls.clear()
    await three.live(59.0, cut_off=three.replicas[0])

    assert three.fullest <= LIMIT


async def test_the_limit_holds_when_one_is_cut_off_while_others_leave_and_join() -> None:
    """It has the half that it was told when there were two."""
    three = await begun(24)
    ended = three.replicas.pop()
    await shares_of(ended)._shared.leave([SCOPE])
    await three.live(5.0)
    cut_off = three.replicas[0]
    shares_of(cut_off)._replicas = lambda: 2
    await three.live(3.0, cut_off=cut_off)
    three.join()
    await three.live(2 * WINDOW, cut_off=cut_off)

    assert three.fullest <= 24


async def test_what_cannot_be_divided_is_nobodys() -> None:
    """Of 20 calls six are kept for each that is not heard; one that heard of no other takes no more
    when it is not heard itself."""
    three = await begun(20)
    three.clock.advance(2.0)
    for each in three.replicas:
        await shares_of(each).look([SCOPE])
    await three.look()
    for _ in range(4):  # the others stand still
        three.clock.advance(LOOK)
        await shares_of(three.replicas[0]).look_at_all()
    known = shares_of(three.replicas[0])._account(SCOPE).known
    assert known is not None
    assert known.replicas == 3

    await three.live(2 * WINDOW, cut_off=three.replicas[0])

    assert three.fullest <= 20


async def test_a_turn_counts_once() -> None:
    """It was booked before the last look, and begun after it; the others, who stood still, spend
    all the rest before they miss this one."""
    three = await begun(20)
    clock, one = three.clock, shares_of(three.replicas[0])
    three.redis.budget.spend(SCOPE, 20)
    clock.advance(WINDOW - 3.0)
    await three.look()
    turns = [await one.take(SCOPE, Purpose.MISS, patience=5.0) for _ in range(3)]
    clock.advance(2.5)
    for _ in range(2):
        await one.look([SCOPE])
    clock.advance(0.5)
    for turn in turns:
        assert await one.enter(SCOPE, turn) is not None
    three.calls = [clock.monotonic()] * 3
    three.redis.switch.is_up = False
    assert await three.spend(three.replicas[0]) == 0

    clock.advance(0.9)
    three.redis.switch.is_up = True
    for each in three.replicas[1:]:
        await three.spend(each)
    three.redis.switch.is_up = False
    clock.advance(WINDOW - 0.9)
    await three.spend(three.replicas[0])

    assert three.fullest <= 20


async def test_one_that_failed_to_ask_once_spends_no_more(three: Three) -> None:
    """Redis was slow; the call may have been granted there."""
    assert await three.spend_up() == LIMIT
    three.redis.switch.is_up = False
    assert await three.spend(three.replicas[1]) == 0
    three.redis.switch.is_up = True

    assert await three.spend_all() == [0, 0, 0]


class Way(StrEnum):
    """How Redis answers a replica."""

    UP = "up"
    DOWN = "down"
    MUTE = "mute"  # it does what it is asked to, and the answer is lost


def spoil(three: Three, replica: Replica) -> list[Way]:
    """Let the last of these say how Redis answers it."""
    shared, ways = shares_of(replica)._shared, [Way.UP]

    def spoilt(ask: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def asked(*given: object, **named: object) -> object:
            if ways[-1] is Way.DOWN:
                raise RedisUnavailable("budget", "down")
            answer = await ask(*given, **named)
            if ways[-1] is Way.MUTE:
                raise RedisUnavailable("budget", "mute")
            return answer

        return asked

    for name in ("take", "look", "enter"):
        setattr(shared, name, spoilt(getattr(shared, name)))
    return ways


events = st.tuples(
    st.integers(0, 2),
    st.sampled_from(Way),
    st.booleans(),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.1, 0.5, 2.0, 10.0, 45.0]),
)


# The first makes five calls that Redis knows of in the end; the second sees that the others are
# silent, and that whole parts are kept for them.
SILENT = [
    (0, Way.UP, False, 0, 45.0),
    (0, Way.UP, False, 0, 45.0),
    (0, Way.DOWN, False, 2, 0.0),
    (0, Way.MUTE, False, 3, 10.0),
    (1, Way.DOWN, False, 2, 45.0),
    (1, Way.UP, True, 0, 10.0),
    (1, Way.DOWN, False, 3, 0.0),
    (2, Way.DOWN, False, 4, 0.0),
    (0, Way.DOWN, False, 4, 0.0),
]


# Redis grants calls long after the last look, and then goes away.
UNSEEN = [
    (0, Way.UP, False, 2, 45.0),
    (0, Way.UP, False, 2, 0.0),
    (2, Way.UP, False, 4, 45.0),
    (0, Way.DOWN, False, 2, 0.0),
    (1, Way.DOWN, False, 4, 0.0),
    (2, Way.DOWN, False, 1, 0.0),
]


# The third and the first see a replica as silent that spends from Redis a moment later, and more
# than its part. Then calls become free that all three know.
RETURNED = [
    (0, Way.UP, False, 4, 45.0),
    (2, Way.UP, False, 1, 0.0),
    (0, Way.UP, False, 2, 0.0),
    (1, Way.UP, False, 5, 20.0),
    (0, Way.DOWN, False, 2, 0.0),
    (2, Way.DOWN, False, 4, 0.0),
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([LIMIT, 20]), st.lists(events, max_size=60))
@example(LIMIT, SILENT)
@example(LIMIT, UNSEEN)
@example(LIMIT, RETURNED)
def test_the_limit_holds_however_redis_answers(limit: int, happened: list[tuple[Any, ...]]) -> None:
    """Some replicas hear it now and then, and look or not between calls."""

    async def live() -> Three:
        three = await begun(limit)
        ways = [spoil(three, each) for each in three.replicas]
        for number, way, looks, most, pause in happened:
            ways[number].append(way)
            if looks:
                await shares_of(three.replicas[number]).look_at_all()
            await three.spend(three.replicas[number], most)
            three.clock.advance(pause)
        return three

    three = asyncio.run(live())

    assert not three.calls or three.fullest <= limit
    for each in three.replicas:
        account = shares_of(each)._account(SCOPE)
        assert account.lives == Counter(sent.life for sent in account.sent)


rounds = st.tuples(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([Way.UP, Way.UP, Way.UP, Way.DOWN, Way.MUTE]),
            st.booleans(),
            st.sampled_from([1, 2, 3, 4, 5, 6, 12]),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([0.5, 1.4, 2.0, 10.0, 20.0, 45.0, 59.0]),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([9, LIMIT, 20]), st.lists(rounds, min_size=1, max_size=4), st.booleans())
def test_the_limit_holds_when_all_lose_redis(
    limit: int, before: list[tuple[list[Any], float]], lasts: bool
) -> None:
    """Whatever each of them knew: then each spends all that it may."""

    async def live() -> Three:
        three = await begun(limit)
        ways = [spoil(three, each) for each in three.replicas]
        for spent, pause in before:
            for number, way, looks, most in spent:
                ways[number].append(way)
                if looks:
                    await shares_of(three.replicas[number]).look_at_all()
                await three.spend(three.replicas[number], most)
            three.clock.advance(pause)
        three.redis.switch.is_up = False
        for pause in (16.0, 30.0, WINDOW) if lasts else (0.0,):
            await three.spend_all()
            three.clock.advance(pause)
        return three

    three = asyncio.run(live())

    assert not three.calls or three.fullest <= limit


class Counted(deque[Any]):
    """Counts how often all of it is read."""

    reads = 0

    def __iter__(self) -> Iterator[Any]:
        self.reads += 1
        return super().__iter__()


async def test_a_call_does_not_read_all_calls_of_the_window(three: Three) -> None:
    """All of them are known to the shared budget, so there is nothing to report."""
    one = three.replicas[0]
    await three.spend(one, most=3)
    account = shares_of(one)._account(SCOPE)
    account.sent = sent = Counted(account.sent)

    assert await three.spend(one, most=3) == 3

    assert (len(sent), sent.reads) == (6, 0)


async def test_without_a_limit_no_call_is_remembered() -> None:
    """Nothing would forget it again while Redis is away."""
    clock = FakeClock()
    redis = Redis(clock, None)
    replica = Replica(clock, redis, limit=None)
    replica.upstream.always = ok(1)
    redis.switch.is_up = False

    for _ in range(3):
        await replica.outbound.ask(OURS, Call("t", "k", Purpose.MISS, clock.monotonic()))

    assert not shares_of(replica)._account(SCOPE).sent


@pytest.mark.parametrize("other", [6, 24])
@pytest.mark.parametrize("is_known", [True, False])
async def test_the_limit_holds_when_it_changes_without_redis(other: int, is_known: bool) -> None:
    """The clients file is read again: each replica has a part of the new limit, not all of it."""
    three = await begun() if is_known else Three()
    three.redis.switch.is_up = False
    await three.live(2 * WINDOW)
    three.calls.clear()

    for each in three.replicas:
        each.local_budget._rates.replace({SCOPE: Rate(other, 60.0)})
    await three.live(2 * WINDOW)

    assert 0 < three.fullest <= other


async def test_a_part_does_not_grow_before_the_others_know(three: Three) -> None:
    """They keep the part that the replica had when it was cut off."""
    cut_off = three.replicas[0]
    await three.live(2.0, cut_off=cut_off)
    for each in (three.redis.budget._budget, *(each.local_budget for each in three.replicas)):
        each._rates.replace({SCOPE: Rate(3 * LIMIT, 60.0)})
    three.calls.clear()
    await three.live(58.0, cut_off=cut_off)

    assert three.fullest <= 3 * LIMIT


async def test_a_part_that_was_known_before_a_change_is_a_part_of_the_new_limit(
    three: Three,
) -> None:
    """Redis went away first; the first call is wanted only after the change."""
    three.redis.switch.is_up = False
    for each in three.replicas:
        each.local_budget._rates.replace({SCOPE: Rate(6, 60.0)})
    three.clock.advance(2 * WINDOW)

    assert await three.spend_all() == [2, 2, 2]


async def test_a_limit_that_was_lifted_leaves_no_calls_behind(three: Three) -> None:
    """The clients file was read again: nothing would forget the calls that come from now on."""
    one = three.replicas[0]
    await three.spend(one, 1)
    for budget in (three.redis.budget._budget, one.local_budget):
        budget._rates.replace({SCOPE: None})

    await three.spend(one, 5)

    assert len(shares_of(one)._account(SCOPE).sent) == 1


async def test_on_its_return_all_is_told(three: Three) -> None:
    """What was spent meanwhile counts, before anybody takes from it again."""
    three.redis.switch.is_up = False
    three.clock.advance(100.0)
    assert await three.spend_all() == [4, 4, 4]
    three.redis.switch.is_up = True

    assert await three.spend_all() == [0, 0, 0]
    await three.look()
    assert three.redis.budget.view(SCOPE).available == 0
    three.clock.advance(WINDOW)
    assert await three.spend_up() == LIMIT


@pytest.mark.parametrize("spent", [[0, 0, 0], [4, 0, 0], [4, 2, 1]])
async def test_a_redis_that_forgot_hears_it_from_all(three: Three, spent: list[int]) -> None:
    """Nothing goes until each has told; then what is left does."""
    for replica, most in zip(three.replicas, spent, strict=True):
        assert await three.spend(replica, most) == most
    await three.look()
    three.redis.budget.lose(LocalBudget(three.clock, LIMIT, 60.0, start_paced=False))

    for each in three.replicas[:2]:
        await shares_of(each).look_at_all()
        assert await three.spend(each) == 0
    await three.look()

    three.clock.advance(1.0)
    assert await three.spend_up() == LIMIT - sum(spent)


@pytest.mark.parametrize("asks", ["take", "enter"])
async def test_a_granted_call_whose_reply_is_under_way_is_told_to_a_redis_that_forgot(
    three: Three, monkeypatch: pytest.MonkeyPatch, asks: str
) -> None:
    """Redis granted it, lost its data, and the replica read the other reply first."""
    one = shares_of(three.replicas[0])
    spent = await three.spend(three.replicas[1], LIMIT - 4)
    await three.look()
    ask, read = getattr(one._shared, asks), asyncio.Event()

    async def late(*given: object, **named: object) -> Charge | None:
        charge: Charge | None = await ask(*given, **named)
        await read.wait()
        return charge

    charge = await one.take(SCOPE, Purpose.MISS) if asks == "enter" else None
    monkeypatch.setattr(one._shared, asks, late)
    call = one.take(SCOPE, Purpose.MISS) if charge is None else one.enter(SCOPE, charge)
    asked = asyncio.create_task(call)
    await asyncio.sleep(0)
    three.redis.budget.lose(LocalBudget(three.clock, LIMIT, 60.0, start_paced=False))
    looking = asyncio.create_task(three.look())
    await settle()
    read.set()
    await looking
    assert await asked is not None

    three.clock.advance(1.0)
    spent += sum([await three.spend(each) for each in reversed(three.replicas)])
    assert spent + await three.spend_up() == LIMIT - 1


async def test_who_knows_nothing_is_paced(three: Three) -> None:
    """Redis was away before it was ever asked: its part is free evenly."""
    three.redis.switch.is_up = False
    own = LocalBudget(three.clock, 60, 60.0)
    shared = shares_of(three.replicas[0])._shared
    late = Shares(shared, own, three.clock, lambda: 3)

    async def count() -> int:
        for granted in range(100):
            try:
                await late.take(SCOPE, Purpose.MISS)
            except BudgetExhausted:
                return granted
        return 100

    assert await count() == 2
    with pytest.raises(BudgetExhausted) as exhausted:
        await late.take(SCOPE, Purpose.MISS)
    assert exhausted.value.is_passing
    three.clock.advance(31.0)
    assert 9 <= await count() <= 11


async def test_a_turn_that_redis_does_not_confirm_is_asked_for_anew(three: Three) -> None:
    """Others may have been granted it."""
    one = shares_of(three.replicas[0])
    three.redis.switch.is_up = False

    assert await one.enter(SCOPE, Charge(three.clock.monotonic(), 1.0)) is None


async def test_a_call_that_was_granted_late_counts_from_then(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis took its time: where it counted may be another window than where it goes."""
    one = shares_of(three.replicas[0])
    await one.look([SCOPE])
    take = one._shared.take

    async def slowly(*given: object, **named: object) -> Charge | None:
        charge = await take(*given, **named)  # type: ignore[arg-type]
        three.clock.advance(0.9)
        return charge

    monkeypatch.setattr(one._shared, "take", slowly)

    charge = await one.take(SCOPE, Purpose.MISS)

    assert charge.stamp == three.clock.monotonic()


async def test_scopes_that_come_and_go_are_forgotten(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a budget for each credential there are as many as tokens; the latest are looked at."""
    monkeypatch.setattr(replica_share, "_MOST", 10)
    shared = shares_of(three.replicas[0])._shared
    made = Shares(shared, three.replicas[0].local_budget, three.clock, lambda: 3)

    for number in range(100):
        await made.take(f"scope {number}", Purpose.MISS)

    assert list(made._accounts) == [f"scope {number}" for number in range(90, 100)]


async def test_it_looks_until_it_is_ended_and_leaves(three: Three) -> None:
    """Redis or not; the others need not keep anything for it then."""
    looking = asyncio.create_task(shares_of(three.replicas[0]).run())
    for up in (True, False, True):
        three.redis.switch.is_up = up
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not looking.done()
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking

    known = await _seen_by(three.replicas[1])
    assert known.replicas == 2


async def test_it_looks_at_many_scopes_a_few_at_a_time(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reply with the calls of fifty high limits would come too late, again and again."""
    one = shares_of(three.replicas[0])
    for number in range(50):
        await one.take(f"scope {number}", Purpose.MISS)
    look = one._shared.look

    async def look_at_few(asked: Sequence[Looking]) -> list[KnownBudget]:
        if len(asked) > 20:
            raise RedisUnavailable("budget", "late")
        return await look(asked)

    monkeypatch.setattr(one._shared, "look", look_at_few)
    three.clock.advance(1.0)
    await one.look_at_all()

    seen = [one._account(f"scope {number}").known for number in range(50)]
    assert {known and known.at for known in seen} == {three.clock.monotonic()}


async def test_a_node_that_is_away_hides_only_its_scopes(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the replica would seem silent to the others, and report its calls again and again."""
    one = shares_of(three.replicas[0])
    for scope in ("here", "away"):
        await one.take(scope, Purpose.MISS)
    look = one._shared.look

    async def look_at_nodes(asked: Sequence[Looking]) -> list[KnownBudget]:
        found = await look(asked)  # the other nodes do what they are asked to
        if "away" in {each.scope for each in asked}:
            raise RedisUnavailable("budget", "it is away")
        return found

    monkeypatch.setattr(one._shared, "look", look_at_nodes)
    monkeypatch.setattr(one._shared, "is_there", lambda scope: scope != "away")
    for _ in range(4):
        one._account("here").add(_Sent(three.clock.monotonic(), Charge(0.0), 0))  # from its share
    for _ in range(10):
        await one.look_at_all()
        three.clock.advance(LOOK)

    known = one._account("here").known
    assert known is not None
    assert len(known.ages) == 5


async def test_it_leaves_many_scopes_a_few_at_a_time(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis would answer too late for most of a thousand: their parts would be kept for minutes."""
    one, left = shares_of(three.replicas[0]), []

    async def leave(scopes: list[str]) -> None:
        if len(scopes) > 20 or "scope 0" in scopes:
            raise RedisUnavailable("budget", "late")
        left.extend(scopes)

    monkeypatch.setattr(one._shared, "leave", leave)
    for number in range(200):
        await one.take(f"scope {number}", Purpose.MISS)
    looking = asyncio.create_task(one.run())
    await asyncio.sleep(0)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)

    assert len(left) > 140


async def test_it_tells_what_it_spent_before_it_leaves(three: Three) -> None:
    """Nobody else could."""
    looking = asyncio.create_task(shares_of(three.replicas[0]).run())
    for _ in range(5):
        await asyncio.sleep(0)
    three.redis.switch.is_up = False
    assert await three.spend(three.replicas[0]) == 2
    three.redis.switch.is_up = True
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking

    known = await _seen_by(three.replicas[1])
    assert (known.replicas, len(known.ages)) == (2, 2)


async def _seen_by(replica: Replica) -> KnownBudget:
    """What its next look finds."""
    await shares_of(replica).look_at_all()
    known = shares_of(replica)._account(SCOPE).known
    assert known is not None
    return known


async def test_calls_are_forgotten_while_redis_is_away(three: Three) -> None:
    """A replica that pays alone for hours remembers those of a window."""
    await three.live(10.0)
    three.redis.switch.is_up = False

    await three.live(40 * WINDOW)

    assert max(len(shares_of(each)._account(SCOPE).sent) for each in three.replicas) <= LIMIT


@pytest.mark.parametrize("low", [3, 6])
async def test_a_limit_that_is_corrected_without_redis_is_kept(three: Three, low: int) -> None:
    """An operator lowers it by mistake, and mends that at once. Earlier calls still count."""
    three.redis.switch.is_up = False
    await three.live(2 * WINDOW)
    three.calls.clear()
    await three.live(WINDOW + 20.0)
    for limit in (low, LIMIT):
        for each in three.replicas:
            each.local_budget._rates.replace({SCOPE: Rate(limit, 60.0)})
        await three.live(2.0)

    await three.live(2 * WINDOW)

    assert three.fullest <= LIMIT


async def test_a_budget_that_is_idle_is_forgotten_first(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the one that was used last, whatever looks and outages come between."""
    monkeypatch.setattr(replica_share, "_MOST", 3)
    three.join()
    shares = shares_of(three.replicas[-1])
    three.redis.switch.is_up = False

    async def spend(scope: str) -> None:
        await shares.take(scope, Purpose.MISS)

    for scope in ("a", "b", "c", "a"):
        await spend(scope)
    await shares.look_at_all()
    await spend("d")

    assert set(shares._accounts) == {"a", "c", "d"}
