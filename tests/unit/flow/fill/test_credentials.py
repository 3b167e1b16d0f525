"""Credentials that the upstream refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.core.errors import (
    AccessRefused,
    UpstreamError,
    UpstreamRefused,
)
from gateway.core.vocabulary import AccessRefusal, NoticeKind, Outcome
from gateway.flow.fill import credentials as module
from gateway.flow.request.response_selection import Answer, Ask
from tests.doubles.bus import Hub
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import CALLER, KEY, OURS, STALE, Redis, Replica, ok, says


def stranger(number: int) -> Caller:
    """A caller whom nobody has heard of."""
    return replace(CALLER, partition=f"stranger-{number}", token=f"guess-{number}")


async def ask(replica: Replica, caller: Caller, training_id: str = "trn_1") -> Answer:
    """What the caller is answered."""
    return await replica.gateway.get(Ask(Key(caller.partition, training_id), caller))


@pytest.fixture(params=["alone", "redis"])
def replica(request: pytest.FixtureRequest, clock: FakeClock) -> Replica:
    """With a budget of 50 calls a minute."""
    redis = None if request.param == "alone" else Redis(clock, limit=50)
    return Replica(clock, redis, limit=50)


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


async def test_the_memory_is_bounded(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten; it costs a call."""
    monkeypatch.setattr(module, "_MOST_CREDENTIALS", 2)
    credentials = Replica(clock).credentials
    for name in ("a", "b", "c", "b", "d"):
        credentials.refuse(name)

    assert list(credentials._refused) == ["b", "d"]


async def test_the_gateways_own_token_is_no_credential_of_a_caller(replica: Replica) -> None:
    """Its 401 is told and not remembered."""
    replica.upstream.always = says(401)
    for number in range(10):
        with pytest.raises(UpstreamRefused):
            await ask(replica, OURS, f"trn_{number}")

    assert replica.observer.of("token_refused") == [("default",)] * 10


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
