"""The rules of a replica: when it asks Redis, when it spends its reserve, what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.core.budget.window_log import LATEST_SEND
from gateway.core.errors import BudgetExhausted, GateClosed, RedisUnavailable
from gateway.core.vocabulary import Purpose
from gateway.flow.budget.replica_budget import ReplicaBudget
from gateway.ports import BudgetQuestion, BudgetReply
from tests.contract.worlds import count_granted
from tests.doubles.budgets import replica_budget_on
from tests.doubles.clock import FakeClock
from tests.doubles.timed_redis import TimedConnection, TimedRedis

SCOPE, WINDOW = "default", 60.0


class Site:
    """Replicas of one gateway, on a Redis whose time a test chooses."""

    def __init__(self, url: str, limit: int | None = 100) -> None:
        self.clock, self.limit = FakeClock(), limit
        self.ahead = 0.0  # of Redis' clock
        self.server = TimedRedis(url, lambda: self.clock.now() + self.ahead)
        self.warnings: list[tuple[str, dict[str, object]]] = []

    def replica(self, *, limit: int | None = 0, new_for: float = 0.0) -> ReplicaBudget:
        """Another replica of four."""
        return replica_budget_on(
            *(TimedConnection(self.server), self.clock, limit or self.limit, WINDOW),
            start_paced=False,
            replicas=4,
            warn=self._warn,
            new_for=new_for,
        )

    def _warn(self, event: str, /, **fields: object) -> None:
        self.warnings.append((event, fields))

    async def known(self) -> ReplicaBudget:
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


async def waits(replica: ReplicaBudget) -> float:
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
    late = site.replica(new_for=1.0)

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
    late = site.replica(new_for=1.0)
    await waits(late)
    site.clock.advance(0.5)
    await one.look()
    site.clock.advance(0.6)

    assert await waits(late) > WINDOW - 2.0


async def test_a_lost_log_rests_for_a_window(site: Site) -> None:
    """Whichever rank it belongs to; other scopes go on."""
    one = await site.known()
    await count_granted(one, 5)
    await one.take(SCOPE, Purpose.REFRESH)
    site.server.lose("*caller*")
    await one.look()

    assert await count_granted(one) == 2
    assert await count_granted(one, 3, scope="other") == 3


async def test_a_call_without_an_answer_is_given_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis granted it, and the answer was lost. The next question says so."""
    one = await site.known()
    ask = one._shared.ask

    async def mute(question: BudgetQuestion) -> BudgetReply:
        await ask(question)
        raise RedisUnavailable("budget", "no answer in time")

    monkeypatch.setattr(one._shared, "ask", mute)
    assert (await one.take(SCOPE, Purpose.MISS)).is_reserve
    monkeypatch.setattr(one._shared, "ask", ask)

    assert await count_granted(one) == 92


async def test_a_question_that_arrives_late_is_not_granted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for its answer any more. A slow answer does not count as a changed clock."""
    one = await site.known()
    ask = one._shared.ask

    async def slowly(question: BudgetQuestion) -> BudgetReply:
        site.clock.advance(0.15)
        return await ask(question)

    monkeypatch.setattr(one._shared, "ask", slowly)
    assert (await one.take(SCOPE, Purpose.MISS)).is_reserve
    monkeypatch.setattr(one._shared, "ask", ask)

    assert await count_granted(one) == 92


async def test_a_grant_that_comes_late_is_not_used(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis would stop counting the call too early. It is given back with the next question."""
    one = await site.known()
    ask = one._shared.ask

    async def slowly(question: BudgetQuestion) -> BudgetReply:
        reply = await ask(question)
        site.clock.advance(LATEST_SEND + 0.01)
        return reply

    monkeypatch.setattr(one._shared, "ask", slowly)
    assert (await one.take(SCOPE, Purpose.MISS)).is_reserve
    monkeypatch.setattr(one._shared, "ask", ask)

    assert await count_granted(one) == 92


@pytest.mark.parametrize("others", [(20, 20), (20, None), (None, 20)])
async def test_replicas_that_disagree_about_the_limit_warn(
    site: Site, others: tuple[int | None, int | None]
) -> None:
    """Both values are told, once, and again only if they change. One may be unlimited."""
    own, other = others
    site.limit = None
    one = site.replica(limit=own)
    two = site.replica(limit=5 if own == other else other)
    for each in (one, two) * 3:
        await each.look(everywhere=True)
        site.clock.advance(0.5)

    names = {limit: "unlimited" if limit is None else f"{limit}/60s" for limit in (own, other, 5)}
    theirs = names[5 if own == other else other]
    warned = [(fields["rate"], fields["other_rate"]) for _, fields in site.warnings]
    assert {event for event, _ in site.warnings} == {"budget.rates-differ"}
    assert sorted(warned, key=str) == sorted([(names[own], theirs), (theirs, names[own])], key=str)
    assert one.view(SCOPE).other_rate == theirs


async def test_replicas_that_agree_do_not_warn(site: Site) -> None:
    """Nor one that has changed its own rate."""
    for each in (site.replica(), site.replica()) * 3:
        await each.look(everywhere=True)

    assert site.warnings == []


async def test_a_replica_that_missed_the_notice_finds_the_gate_closed(site: Site) -> None:
    """When it looks, also if Redis is away afterwards."""
    one, deaf = await site.known(), await site.known()
    await one.close(SCOPE, 30.0)
    await deaf.look()

    assert deaf.view(SCOPE).gate_closed_for == pytest.approx(30.0, abs=4.0)
    with pytest.raises(GateClosed):
        await deaf.take(SCOPE, Purpose.MISS)


@pytest.fixture
async def running(site: Site) -> AsyncIterator[ReplicaBudget]:
    """A replica whose task looks, while five are alive."""
    replica = site.replica()
    replica._replicas = lambda: 5
    task = asyncio.create_task(replica.run())
    for _ in range(20):
        await asyncio.sleep(0)
    yield replica
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_more_replicas_than_expected_are_told_once(
    site: Site, running: ReplicaBudget
) -> None:
    """Each of them adds a reserve."""
    assert site.warnings == [("budget.too-many-replicas", {"alive": 5, "expected": 4})]
