"""knowing: a request for an id that no complete sweep met comes last, whoever sent it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.adapters.ledger import LedgerSweepLease
from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.core.errors import BudgetExhausted, RedisUnavailable
from gateway.core.vocabulary import Purpose
from gateway.flow.fill.fetch_result import Want
from gateway.flow.fill.known_ids import Knowing
from gateway.flow.request.handler import Ask
from gateway.ports import Call
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import CALLER, OURS, Replica
from tests.unit.flow.sweeping import Catalogue, Swept

LIMIT = 40
KNOWN = [f"t{number:02d}" for number in range(20)]


class Away(LedgerSweepLease):
    """One whose Redis does not answer."""

    async def knows(self, partition: str, training_id: str) -> bool | None:
        raise RedisUnavailable("no answer", "away")


class Crowd:
    """Callers of a replica with forty calls a minute, each of whom asks for one training."""

    def __init__(self, clock: FakeClock, *, swept: bool) -> None:
        lease = LedgerSweepLease(clock, pause_after=300.0)
        self.swept = Swept(clock, Catalogue(*KNOWN), lease=lease)
        self.replica = Replica(clock, limit=LIMIT, caller=OURS, sweep_lease=lease)
        self.replica.upstream.always = self.swept.catalogue.answer
        self._goes_first = swept

    async def ask(self, ids: list[str]) -> int:
        """How many were answered; each by another client, so that nobody stands out."""
        if self._goes_first:
            self._goes_first = False
            await self.swept.pages(1)
        answered = 0
        for number, each in enumerate(ids):
            caller = replace(OURS, client=f"client-{each}-{number}")
            try:
                await self.replica.serving.get(Ask(Key("p1", each), caller))
            except BudgetExhausted:
                continue
            answered += 1
        return answered


async def test_a_crowd_of_guesses_costs_known_ids_nothing(clock: FakeClock) -> None:
    """All known ones are answered, and guesses have a quarter of the limit at most."""
    crowd = Crowd(clock, swept=True)

    assert await crowd.ask([f"guess_{number}" for number in range(100)]) == LIMIT // 4
    assert await crowd.ask(KNOWN) == len(KNOWN)


async def test_before_a_complete_sweep_nobody_can_tell(clock: FakeClock) -> None:
    """Nobody is put behind the others for what is not known yet."""
    crowd = Crowd(clock, swept=False)

    assert await crowd.ask([f"guess_{number}" for number in range(100)]) > LIMIT // 4


async def test_what_is_newer_than_the_sweep_is_answered(clock: FakeClock) -> None:
    """As long as the lowest class has calls left; after the next sweep it is known."""
    crowd = Crowd(clock, swept=True)
    await crowd.ask(KNOWN[:1])
    crowd.swept.catalogue.minutes["new"] = 1

    assert await crowd.ask(["new"]) == 1
    call = crowd.replica.upstream.calls[-1]
    assert isinstance(call, Call)
    assert call.guessed


@pytest.mark.parametrize("caller", [OURS, CALLER])
@pytest.mark.parametrize("purpose", list(Purpose))
async def test_only_a_miss_with_our_own_token_is_a_guess(
    clock: FakeClock, purpose: Purpose, caller: Caller
) -> None:
    """What else is asked for has its own rank; callers' own tokens are never swept for."""
    lease = LedgerSweepLease(clock, pause_after=300.0)
    await lease.finish(
        caller.partition, (await lease.take("p1", was_read=True)).progress, complete=True
    )
    want = Want(Key(caller.partition, "nobody"), caller, purpose)

    guessed = await Knowing(lease).is_unknown(want)

    assert guessed is (purpose is Purpose.MISS and caller is OURS)


@pytest.mark.parametrize("away", [True, False])
async def test_where_nothing_can_be_told_nobody_guesses(clock: FakeClock, away: bool) -> None:
    """Redis is away, or nothing is swept."""
    lease = Away(clock, pause_after=300.0) if away else None

    assert not await Knowing(lease).is_unknown(Want(Key("p1", "a"), OURS, Purpose.MISS))
