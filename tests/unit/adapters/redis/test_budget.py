"""The rules of a replica: when it asks Redis, when it spends its reserve, what it tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.adapters.redis.budget import RedisBudget
from gateway.adapters.redis.connect.script import Script
from gateway.core.budget.window_log import Start
from gateway.core.errors import BudgetExhausted, GateClosed, RedisUnavailable
from gateway.core.vocabulary import Purpose, RedisOperation
from tests.contract.worlds import count_granted
from tests.doubles.budgets import redis_budget_on, rules_of
from tests.doubles.clock import FakeClock
from tests.doubles.timed_redis import TimedConnection, TimedRedis

SCOPE, WINDOW = "default", 60.0


class SlowConnection(TimedConnection):
    """The question arrives after so many seconds, or no answer comes."""

    def __init__(self, server: TimedRedis, clock: FakeClock) -> None:
        super().__init__(server)
        self._clock = clock
        self.before = 0.0
        self.is_mute = False
        self.meanwhile: Callable[[], None] = lambda: None

    async def run_script(
        self,
        operation: RedisOperation,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Any],
        read: Callable[[list[Any]], Any],
    ) -> Any:
        self._clock.advance(self.before)
        reply = await super().run_script(operation, script, keys, arguments, read)
        self.meanwhile()
        if self.is_mute:
            raise RedisUnavailable("budget", "no answer in time")
        return reply


class Site:
    """Replicas of one gateway, on a Redis whose time a test chooses."""

    def __init__(self, url: str, limit: int | None = 100) -> None:
        self.clock, self.limit = FakeClock(), limit
        self.ahead = 0.0  # of Redis' clock
        self.server = TimedRedis(url, lambda: self.clock.now() + self.ahead)
        self.connection = SlowConnection(self.server, self.clock)

    def replica(self, *, limit: int | None = 0) -> RedisBudget:
        """Another replica of four."""
        rules = rules_of(self.limit if limit == 0 else limit, WINDOW, start=Start.FULL)
        return redis_budget_on(self.connection, self.clock, rules)

    async def known(self) -> RedisBudget:
        """A replica that has been there for a while: its reserve is free."""
        replica = self.replica()
        replica.view(SCOPE)
        await replica.look()
        self.clock.advance(WINDOW + 0.6)
        return replica


@pytest.fixture
def site(redis_url: str) -> Site:
    """With a limit of 100 calls a minute: 92 by Redis, and 2 by each replica."""
    return Site(redis_url)


async def waits(replica: RedisBudget) -> float:
    """The seconds that a call that is refused has to wait."""
    with pytest.raises(BudgetExhausted) as exhausted:
        await replica.take(SCOPE, Purpose.MISS)
    return exhausted.value.retry_after


async def test_redis_hands_out_the_limit_without_the_reserves(site: Site) -> None:
    """To all replicas together; no reserve is spent meanwhile."""
    one, other = await site.known(), await site.known()

    assert await count_granted(one, 50) == 50
    assert await count_granted(other) == 42
    assert await count_granted(one) == 0


async def test_a_server_that_does_not_say_who_it_is_hands_out_calls(site: Site) -> None:
    """One that is like Redis."""
    site.server.server = "?"
    one = await site.known()

    assert await count_granted(one) == 92


async def test_a_reserve_pays_while_redis_is_away(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers may ask again soon: Redis can be back."""
    one = await site.known()
    monkeypatch.setattr(TimedConnection, "is_up", False)

    assert one.view(SCOPE).available == 2
    assert (await one.take(SCOPE, Purpose.MISS)).is_reserve
    await one.take(SCOPE, Purpose.MISS)
    with pytest.raises(BudgetExhausted) as exhausted:
        await one.take(SCOPE, Purpose.MISS)

    assert exhausted.value.is_passing
    assert exhausted.value.retry_after == pytest.approx(WINDOW + 0.5)


async def test_a_new_replica_asks_for_no_call_for_a_second(site: Site) -> None:
    """In this second the others find out whether Redis' clock was changed."""
    await site.known()
    late = site.replica()

    assert await waits(late) == pytest.approx(1.0)
    site.clock.advance(1.0)
    assert await count_granted(late) == 92


@pytest.mark.parametrize("loss", ["data", "server", "clock", "failover-clock"])
async def test_after_another_life_reserves_alone_pay_for_a_window(site: Site, loss: str) -> None:
    """The calls of the last window may have been lost."""
    one, other = await site.known(), await site.known()
    await count_granted(one)
    match loss:
        case "data":
            site.server.lose("*")
        case "server":
            site.server.new_server()
        case "clock":
            site.ahead += 100.0
        case _:
            site.ahead -= 5.0
    for each in (one, other) * 2:
        await each.look()

    assert await count_granted(one) == 2
    assert await count_granted(other) == 2
    site.clock.advance(WINDOW)
    assert await count_granted(one) == 0
    site.clock.advance(0.6)
    assert await count_granted(one) > 80


async def test_a_new_replica_does_not_take_a_loss_for_a_first_start(site: Site) -> None:
    """It asks first after the loss. The other one looks within its first second."""
    one = await site.known()
    await count_granted(one)
    site.server.lose("*")
    late = site.replica()
    await waits(late)
    site.clock.advance(0.5)
    await one.look()
    site.clock.advance(0.6)

    assert await waits(late) > WINDOW - 2.0


async def test_a_replica_looks_at_all_scopes_in_turn(site: Site) -> None:
    """Ten at a time."""
    scopes = [f"t{number}" for number in range(15)]
    one = redis_budget_on(site.connection, site.clock, rules_of(100), scopes)
    await one.look()
    looked_at = [len(site.server.client.keys("*:state:*"))]
    await one.look()
    looked_at.append(len(site.server.client.keys("*:state:*")))

    assert looked_at == [10, 15]


async def test_a_replica_without_tenants_looks_at_the_scopes_that_it_used(site: Site) -> None:
    """Each token has a budget. The replica finds out that Redis lost its data."""
    one = redis_budget_on(site.connection, site.clock, rules_of(100, start=Start.FULL), ())
    await waits(one)
    site.clock.advance(1.0)
    await one.take(SCOPE, Purpose.MISS)
    site.server.lose("*")
    await one.look()

    site.clock.advance(1.0)
    assert await waits(one) == pytest.approx(WINDOW - 1.5)  # the reserve


@pytest.mark.parametrize("lost", ["*:calls:*", "*:state:*"])
async def test_a_lost_log_rests_for_a_window(site: Site, lost: str) -> None:
    """Or a lost state. The replica that finds it made no call itself. Other scopes go on."""
    one, other = await site.known(), await site.known()
    for purpose in (Purpose.MISS, Purpose.REFRESH, Purpose.MISS):
        charge = await one.take(SCOPE, purpose)
    await one.give_back(SCOPE, charge)
    site.server.lose(lost)

    assert await count_granted(other) == 2
    assert await count_granted(other, 3, scope="other") == 3
    site.clock.advance(WINDOW + 0.6)
    assert await count_granted(other) == 92


async def test_a_log_whose_calls_were_given_back_is_not_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a replica says so at once or with its next question."""
    one = await site.known()
    await one.give_back(SCOPE, await one.take(SCOPE, Purpose.MISS))
    assert await count_granted(one, 50) == 50
    site.clock.advance(WINDOW / 2)
    with monkeypatch.context() as fault:
        fault.setattr(site.connection, "is_mute", True)
        await one.take(SCOPE, Purpose.MISS)
    site.clock.advance(WINDOW / 2 + 0.6)

    assert await count_granted(one) == 92


@pytest.mark.parametrize(("fault", "value"), [("is_mute", True), ("before", 0.15)])
async def test_a_call_whose_answer_is_lost_or_question_late_is_given_back(
    site: Site, monkeypatch: pytest.MonkeyPatch, fault: str, value: float
) -> None:
    """The reserve pays, and the next question says so. A question that was long on its way does not
    count as a changed clock."""
    one = await site.known()
    with monkeypatch.context() as slow:
        slow.setattr(site.connection, fault, value)
        assert (await one.take(SCOPE, Purpose.MISS)).is_reserve

    assert await count_granted(one) == 92


async def test_a_long_absence_of_redis_does_not_displace_lost_calls(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls for which Redis was never asked are not given back."""
    one = await site.known()
    with monkeypatch.context() as fault:
        fault.setattr(site.connection, "is_mute", True)
        await one.take(SCOPE, Purpose.MISS)
        fault.setattr(TimedConnection, "is_up", False)
        for _ in range(60):
            await count_granted(one)

    assert await count_granted(one) == 92


@pytest.mark.parametrize("limits", [(20, 5), (20, None), (None, 20), (20, 20)])
async def test_replicas_that_disagree_about_the_limit_know_it(
    site: Site, limits: tuple[int | None, int | None]
) -> None:
    """Each names the rate of the other. One may be unlimited. If they agree, none is named."""
    replicas = [site.replica(limit=limit) for limit in limits]
    for each in replicas * 2:
        await each.look()

    names = ["unlimited" if limit is None else f"{limit}/60s" for limit in limits[::-1]]
    others = [None, None] if names[0] == names[1] else names
    assert [each.view(SCOPE).other_rate for each in replicas] == others


async def test_a_replica_that_missed_the_notice_finds_the_gate_closed(site: Site) -> None:
    """When it looks, also if Redis is away afterwards."""
    one, deaf = await site.known(), await site.known()
    await one.close(SCOPE, 30.0)
    await deaf.look()

    assert deaf.view(SCOPE).gate_closed_for == pytest.approx(30.0, abs=4.0)
    with pytest.raises(GateClosed):
        await deaf.take(SCOPE, Purpose.MISS)


async def test_an_answer_to_an_earlier_call_leaves_the_gate_closed(site: Site) -> None:
    """The replica that gets it knew of a probe, whose answer was another 429."""
    one, other = await site.known(), await site.known()
    await one.close(SCOPE, 30.0)
    site.clock.advance(33.0)
    await one.take(SCOPE, Purpose.MISS)
    with pytest.raises(GateClosed):
        await other.take(SCOPE, Purpose.MISS)
    await one.close(SCOPE, 30.0)

    assert not await other.reopen(SCOPE)

    with pytest.raises(GateClosed):
        await other.take(SCOPE, Purpose.MISS)


async def test_a_429_while_redis_is_asked_holds_the_call(site: Site) -> None:
    """Another replica told of it. The call is given back."""
    one = await site.known()
    site.connection.meanwhile = lambda: one.hold(SCOPE, 30.0)
    with pytest.raises(GateClosed):
        await one.take(SCOPE, Purpose.MISS)
    site.connection.meanwhile = lambda: None
    site.clock.advance(31.0)

    assert await count_granted(one) == 92


async def test_a_429_without_redis_holds_when_it_is_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis knows nothing of it, as after a loss of its data."""
    one = await site.known()
    with monkeypatch.context() as away:
        away.setattr(site.connection, "is_mute", True)
        await one.close(SCOPE, 30.0)
    site.server.lose("*:state:*")

    with pytest.raises(GateClosed):
        await one.take(SCOPE, Purpose.MISS)
    site.clock.advance(33.0)
    await one.take(SCOPE, Purpose.MISS)
    assert await one.reopen(SCOPE)
    await one.take(SCOPE, Purpose.MISS)


async def test_a_gate_that_redis_cannot_open_is_opened_by_the_next_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis went away before the probe's answer came. Other replicas wait for the next answer."""
    one, other = await site.known(), await site.known()
    await other.close(SCOPE, 30.0)
    site.clock.advance(33.0)
    await one.take(SCOPE, Purpose.MISS)
    with monkeypatch.context() as away:
        away.setattr(TimedConnection, "is_up", False)
        await one.reopen(SCOPE)
    with pytest.raises(GateClosed):
        await other.take(SCOPE, Purpose.MISS)

    assert await one.reopen(SCOPE)

    await other.take(SCOPE, Purpose.MISS)


# The three exceptions of docs/budget.md: the limit is exceeded, and by no more than this.


async def test_nobody_is_left_who_knew_the_calls(site: Site) -> None:
    """Redis lost its data, and a replica that has just started is the only one."""
    one = await site.known()
    made = await count_granted(one)
    site.server.lose("*")
    late = site.replica()
    await late.look()
    site.clock.advance(1.0)

    made += await count_granted(late)

    assert 100 < made <= 200


async def test_redis_evicts_all_that_it_knows_of_the_calls(site: Site) -> None:
    """The state, and the log."""
    one = await site.known()
    made = await count_granted(one)
    site.server.lose("*{budget}:[^l]*")

    made += await count_granted(one)

    assert 100 < made <= 200


async def test_two_redis_hand_out_the_limit_twice(redis_url: str) -> None:
    """After a failover that not all replicas noticed."""
    made = 0
    for database in ("0", "1"):
        one = await Site(f"{redis_url.rstrip('/')}/{database}").known()
        made += await count_granted(one)

    assert 100 < made <= 200


async def test_more_replicas_than_expected_add_a_reserve_each(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five, and room for four."""
    replicas = [await site.known() for _ in range(5)]
    made = await count_granted(replicas[0])
    monkeypatch.setattr(TimedConnection, "is_up", False)

    spent = [await count_granted(each) for each in replicas]

    assert spent == [2] * 5
    assert 100 < made + sum(spent) <= 100 + 2
