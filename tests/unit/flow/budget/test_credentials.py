"""Credentials that the upstream has not accepted yet, and those that it refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.access.caller import Caller
from gateway.core.budget.window_log import NEWCOMERS
from gateway.core.cache.entry import Key
from gateway.core.errors import (
    AccessRefused,
    BudgetExhausted,
    CircuitOpen,
    GateClosed,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.core.vocabulary import AccessRefusal, FailureReason, NoticeKind, Outcome, Purpose
from gateway.flow.budget import call_permits as module
from gateway.flow.budget.call_permits import Credentials
from gateway.flow.request.response_selection import Answer, Ask
from gateway.ports import Charge
from tests.doubles.bus import Hub
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import CALLER, KEY, OURS, STALE, Redis, Replica, ok, says, settle


def stranger(number: int) -> Caller:
    """A caller whom nobody has heard of."""
    return replace(CALLER, partition=f"stranger-{number}", token=f"guess-{number}")


async def ask(replica: Replica, caller: Caller, training_id: str = "trn_1") -> Answer:
    """What the caller is answered."""
    return await replica.serving.get(Ask(Key(caller.partition, training_id), caller))


@pytest.fixture(params=["alone", "redis"])
def replica(request: pytest.FixtureRequest, clock: FakeClock) -> Replica:
    """With a budget of 50 calls a minute, of which newcomers have five."""
    redis = None if request.param == "alone" else Redis(clock, limit=50)
    return Replica(clock, redis, limit=50)


async def test_strangers_share_a_tenth_of_the_budget(replica: Replica) -> None:
    """Guessed tokens spend no more of it; those that were accepted have the rest."""
    await replica.fill(1)
    replica.upstream.always = says(401)

    words: list[Outcome | None] = []
    for number in range(20):
        try:
            words.append((await ask(replica, stranger(number))).outcome)
        except BudgetExhausted:
            words.append(None)

    assert words == [Outcome.REJECTED] * 4 + [None] * 16  # one was the first caller's own
    assert len(replica.observer.of("budget_denied")) == 16
    replica.upstream.always = ok(1, training_id="trn_2")
    assert (await replica.get(Key("p1", "trn_2"))).outcome is Outcome.FILLED


async def test_who_was_accepted_is_no_stranger(replica: Replica) -> None:
    """One good answer, a 404 or a 403 included, and the whole budget is open."""
    for number, status in enumerate((404, 403)):
        caller = stranger(number)
        replica.upstream.always = says(status)
        for each in range(10):
            await ask(replica, caller, f"trn_{each}")

    assert replica.upstream.count == 20


async def test_a_failure_accepts_nobody(replica: Replica) -> None:
    """A 5xx or a page of the CDN says nothing about the credential."""
    replica.upstream.always = says(500)
    for number in range(5):
        with pytest.raises(Exception, match="500"):
            await ask(replica, CALLER, f"trn_{number}")

    with pytest.raises(BudgetExhausted):
        await ask(replica, CALLER, "trn_9")


async def test_what_is_stored_vouches_for_the_credential(clock: FakeClock) -> None:
    """After a restart with Redis nobody is a stranger who has an entry there."""
    redis = Redis(clock, limit=50)
    before = Replica(clock, redis, limit=50)
    await before.fill(1)
    after = Replica(clock, redis, limit=50)
    after.upstream.always = says(401)
    with pytest.raises(BudgetExhausted):
        await asyncio.gather(*(ask(after, stranger(number)) for number in range(10)))
    clock.advance(STALE)
    after.upstream.always = ok(2)

    assert (await after.get()).outcome is Outcome.STALE_REFRESHING
    await after.land()

    assert (await after.get()).outcome is Outcome.FRESH


async def test_who_is_being_asked_about_waits_for_the_verdict(replica: Replica) -> None:
    """A page that asks for twenty things with a new token gets them all."""
    replica.upstream.always = None
    replica.upstream.hold()
    replica.upstream.then(*(ok(1, training_id=f"trn_{n}") for n in range(20)))
    waiting = [asyncio.create_task(ask(replica, CALLER, f"trn_{n}")) for n in range(20)]
    await settle()
    assert len(replica.upstream.calls) == 5

    replica.upstream.release()
    answers = await asyncio.gather(*waiting)

    assert [answer.outcome for answer in answers] == [Outcome.FILLED] * 20


async def test_a_caller_that_the_budget_refuses_first_waits_for_the_others(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis may refuse a later call before its reply to an earlier one has arrived."""
    redis = Redis(clock, limit=50)
    replica = Replica(clock, redis, limit=50)
    take, may_pass = replica.budget.take, asyncio.Event()

    async def late(scope: str, *args: Any, **kwargs: Any) -> Charge:
        charge = await take(scope, *args, **kwargs)  # a refusal is raised at once
        if scope == NEWCOMERS:
            await may_pass.wait()
        return charge

    monkeypatch.setattr(replica.budget, "take", late)
    replica.upstream.then(*(ok(1, training_id=f"trn_{n}") for n in range(20)))
    waiting = [asyncio.create_task(ask(replica, CALLER, f"trn_{n}")) for n in range(20)]
    await settle()

    may_pass.set()
    answers = await asyncio.gather(*waiting)

    assert [answer.outcome for answer in answers] == [Outcome.FILLED] * 20


async def test_a_caller_does_not_wait_if_the_budget_refuses_all(clock: FakeClock) -> None:
    """No call would show whether the upstream accepts the credential."""
    replica = Replica(clock, limit=50)
    replica.upstream.always = says(401)
    for number in range(5):
        await ask(replica, stranger(number))

    answers = await asyncio.gather(
        *(ask(replica, CALLER, f"trn_{n}") for n in range(3)), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [BudgetExhausted] * 3


async def test_a_bad_verdict_holds_for_all_who_wait(replica: Replica) -> None:
    """They are refused as well, without a call."""
    replica.upstream.always = says(401)
    replica.upstream.hold()
    waiting = [asyncio.create_task(ask(replica, CALLER, f"trn_{n}")) for n in range(20)]
    await settle()

    replica.upstream.release()
    answers = await asyncio.gather(*waiting, return_exceptions=True)

    assert sum(isinstance(answer, AccessRefused) for answer in answers) == 15
    assert len(replica.upstream.calls) == 5


async def test_a_401_is_remembered_for_ten_seconds(replica: Replica, clock: FakeClock) -> None:
    """For that credential alone; then it is asked about again."""
    replica.upstream.then(says(401))
    assert (await replica.get()).outcome is Outcome.REJECTED

    clock.advance(9.9)
    for training_id in ("trn_1", "trn_2"):
        with pytest.raises(AccessRefused) as refused:
            await ask(replica, CALLER, training_id)
        assert refused.value.reason is AccessRefusal.UPSTREAM_UNAUTHORIZED
    assert replica.upstream.count == 1
    replica.upstream.then(ok(1))
    assert (await ask(replica, stranger(1))).outcome is Outcome.FILLED
    clock.advance(0.1)
    assert (await replica.fill(1)).outcome is Outcome.FILLED


async def test_a_401_is_remembered_in_every_replica(clock: FakeClock) -> None:
    """The notice tells; nobody asks upstream about it again."""
    redis, hub = Redis(clock), Hub()
    one, other = Replica(clock, redis, hub=hub), Replica(clock, redis, hub=hub)
    one.upstream.then(says(401))
    await one.get()

    with pytest.raises(AccessRefused):
        await other.get()
    assert [notice.kind for notice in hub.told] == [NoticeKind.REFUSED]


async def test_a_late_answer_takes_no_refusal_back(clock: FakeClock) -> None:
    """It was sent before; a call that was sent later does."""
    credentials = Replica(clock).credentials
    sent_at = clock.monotonic()
    clock.advance(1.0)
    credentials.judged(CALLER, 401, sent_at)

    credentials.judged(CALLER, 200, sent_at)
    with pytest.raises(AccessRefused):
        credentials.turn_away(CALLER.partition)

    credentials.judged(CALLER, 200, clock.monotonic())
    credentials.turn_away(CALLER.partition)


async def test_who_was_refused_is_a_stranger_again(clock: FakeClock) -> None:
    """It was accepted once; since then the upstream has said no."""
    replica = Replica(clock, limit=50)
    await replica.fill(1)
    replica.upstream.always = says(401)
    await ask(replica, CALLER, "trn_2")
    clock.advance(10.0)
    for number in range(4):
        replica.upstream.always = says(500)
        with pytest.raises(UpstreamError):
            await ask(replica, stranger(number))

    with pytest.raises(BudgetExhausted):
        await ask(replica, CALLER, "trn_3")


async def test_the_memory_is_bounded(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten; it costs a call."""
    monkeypatch.setattr(module, "_MOST_CREDENTIALS", 2)
    credentials = Replica(clock).credentials
    for name in ("a", "b", "c", "b", "d"):
        credentials.refuse(name)

    assert list(credentials._refused) == ["b", "d"]


async def test_the_gateways_own_token_is_no_credential_of_a_caller(replica: Replica) -> None:
    """Its calls are no newcomers', and its 401 is told and not remembered."""
    replica.upstream.always = says(401)
    for number in range(10):
        with pytest.raises(UpstreamRefused):
            await ask(replica, OURS, f"trn_{number}")

    assert replica.observer.of("token_refused") == [("default",)] * 10


async def test_a_call_that_was_not_made_is_given_back(clock: FakeClock) -> None:
    """The breaker, the gate or the whole budget may hold it back."""
    replica = Replica(clock, limit=50)
    for _ in range(10):
        with pytest.raises(CircuitOpen):
            async with replica.credentials.vouched(
                CALLER, Purpose.MISS, known=False, deadline=clock.monotonic() + 10.0
            ):
                raise CircuitOpen("it is open", retry_after=1.0)

    assert replica.local_budget.view(NEWCOMERS).available == 5


@pytest.mark.parametrize("kind", [UpstreamUnreachable, UpstreamTimeout])
async def test_a_call_that_could_not_be_sent_is_given_back(
    replica: Replica, kind: type[UpstreamUnreachable | UpstreamTimeout]
) -> None:
    """The API was away for a moment: then newcomers need not wait for another window."""
    replica.upstream.always = kind("no connection", FailureReason.CONNECT, sent=False)
    for number in range(8):
        with pytest.raises(kind):
            await ask(replica, stranger(number))
    replica.upstream.always = ok(1)

    assert (await ask(replica, stranger(9))).outcome is Outcome.FILLED


async def test_without_redis_the_own_budget_pays(clock: FakeClock) -> None:
    """Newcomers have their share of it."""
    redis = Redis(clock, limit=50)
    replica = Replica(clock, redis, limit=50)
    redis.switch.is_up = False
    replica.upstream.always = says(401)

    refused = 0
    for number in range(10):
        try:
            await ask(replica, stranger(number))
        except BudgetExhausted:
            refused += 1

    assert refused == 5
    assert isinstance(replica.credentials, Credentials)


async def test_a_refusal_is_no_failed_refresh(clock: FakeClock) -> None:
    """Nothing is to be told of it again, and nothing to back off from."""
    replica = Replica(clock)
    await replica.fill(1)
    clock.advance(STALE)
    replica.credentials.refuse(KEY.partition)
    await replica.get()
    await replica.land()

    assert replica.observer.of("refresh_failed") == []
    assert replica.upstream.count == 1


async def test_a_refused_token_of_ours_is_not_told_for_each_refresh(clock: FakeClock) -> None:
    """Once is enough, and that is token_refused."""
    replica = Replica(clock, caller=OURS)
    await replica.fill(1)
    clock.advance(STALE)
    replica.upstream.always = says(401)
    await replica.get()
    await replica.land()

    assert replica.observer.of("token_refused") == [("default",)]
    assert replica.observer.of("refresh_failed") == []


async def test_who_missed_the_notice_of_a_401_is_told_by_redis(clock: FakeClock) -> None:
    """What it holds is as old as what was struck: it may not even rescue."""
    redis = Redis(clock)
    one, deaf = Replica(clock, redis), Replica(clock, redis)
    await one.fill(1)
    await deaf.get()
    clock.advance(6.0)  # past l1.lifetime: Redis is asked again
    one.upstream.then(says(401))
    await one.get(Key("p1", "trn_2"))
    deaf.upstream.always = says(500)

    with pytest.raises(UpstreamError):
        await deaf.get()
    assert deaf.local.entries == 0


async def test_a_call_that_was_perhaps_sent_stays_charged(clock: FakeClock) -> None:
    """A kept connection broke behind the request, and the second try could not connect."""
    replica = Replica(clock, limit=50)
    lost = UpstreamUnreachable("kept", FailureReason.PROTOCOL, sent=True, was_kept=True)
    unsent = UpstreamUnreachable("refused", FailureReason.CONNECT, sent=False)
    replica.upstream.then(lost, unsent)

    with pytest.raises(UpstreamUnreachable):
        await ask(replica, CALLER)

    assert replica.local_budget.view(NEWCOMERS).available == 4


async def test_a_bounded_number_of_calls_waits_for_the_gate() -> None:
    """Also if all of them have the same credential: each of them asks Redis again and again, just
    after Redis lost its data. The others count as refused by the budget."""
    clock = FakeClock(waiting=True)
    replica = Replica(clock, limit=50)
    replica.local_budget.hold(NEWCOMERS, 1.0)
    asking = [asyncio.create_task(ask(replica, CALLER, f"trn_{n}")) for n in range(60)]
    await settle()

    refused = [task.exception() for task in asking if task.done()]
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)

    assert [type(error) for error in refused] == [GateClosed] * 10
    assert len(replica.observer.of("budget_denied")) == 10
