"""ahead: where no list can be read, what is read is refreshed singly, the worst first."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Detail, Purpose
from gateway.flow.answer import Ask
from gateway.flow.sweep.refresh_ahead import Ahead
from gateway.ports import Call
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import STALE, PuttingOff, Replica, minute_of, ok, says

GAP = 1.2


class House:
    """A replica that looks ahead; steps are taken by hand."""

    def __init__(self, clock: FakeClock, limit: int | None = None) -> None:
        self.clock = clock
        self.minutes: dict[str, int] = {}
        self.instead: Reply | None = None
        self.is_off, self.gap = True, GAP
        self.replica = Replica(clock, limit=limit)
        self.replica.upstream.always = self._answer
        self.ahead = Ahead(
            self.replica.serving,
            self.replica.local,
            clock,
            self.replica.serving._rules,
            is_for=self._is_for,
            gap=lambda _: self.gap,
        )
        self.replica.serving.heed = self.ahead.heed

    def _is_for(self, _: Caller) -> bool:
        return self.is_off

    async def _answer(self, call: Call) -> Reply:
        return self.instead or ok(
            self.minutes.get(call.training_id, 1), training_id=call.training_id
        )

    async def read(self, training_id: str, times: int = 1) -> str:
        """What a caller gets the last time: version and detail."""
        for _ in range(times):
            answer = await self.replica.get(Key("p1", training_id))
        return f"{minute_of(answer)} {answer.handling.detail}"

    async def step(self) -> Sequence[str]:
        """Look once; what was asked for."""
        before = len(self.replica.upstream.calls)
        self.pause = await self.ahead._step()
        return [call.training_id for call in self.replica.upstream.calls[before:]]


@pytest.fixture
def house(clock: FakeClock) -> House:
    """With as many calls as it wants."""
    return House(clock)


async def test_what_is_read_is_refreshed_before_somebody_has_it_stale(house: House) -> None:
    """Once it is stale, and for its readers' sake: not again before somebody read it again."""
    await house.read("a", 2)
    assert await house.step() == []
    house.clock.advance(STALE)
    house.minutes["a"] = 2

    assert await house.step() == ["a"]
    assert house.pause == GAP
    assert house.replica.upstream.calls[-1].purpose is Purpose.REFRESH
    house.clock.advance(STALE)
    assert await house.step() == []

    assert await house.read("a") == f"2 {Detail.STALE_REFRESHING}"


async def test_what_was_asked_for_once_is_nobodys(house: House) -> None:
    """Most ids of a crawler are: they are fetched again when somebody wants them."""
    await house.read("a")
    house.clock.advance(STALE)

    assert await house.step() == []


async def test_the_worst_goes_first(house: House) -> None:
    """Of those that are read alike the one that changed last, of the others the one read most."""
    house.minutes = {"edited": 13}
    for training_id, reads in (("rare", 2), ("edited", 2), ("hot", 4), ("cold", 1)):
        await house.read(training_id, reads)
    house.clock.advance(STALE)

    order = [await house.step() for _ in range(4)]

    assert order == [["edited"], ["hot"], ["rare"], []]


async def test_what_waits_longer_gets_worse(house: House) -> None:
    """Of two that are read at the same pace, and have been what they are as long."""
    await house.read("older", 2)
    house.clock.advance(STALE)
    await house.read("older")
    await house.replica.land()
    await house.read("newer", 2)

    house.clock.advance(STALE)

    assert await house.step() == ["newer"]


async def test_where_others_wait_for_a_call_it_is_one_of_them(house: House) -> None:
    """And is looked at again when there may be one, however short the gap."""
    house.gap = 0.01
    house.replica.serving.waits = asked = PuttingOff()
    await house.read("a", 2)
    house.clock.advance(STALE)

    assert await house.step() == []

    assert ([ask.key.training_id for ask in asked], house.pause) == (["a"], 1.0)


@pytest.mark.parametrize("reads", [1, 5])
async def test_without_a_call_the_worst_one_waits_for_it(clock: FakeClock, reads: int) -> None:
    """And not the one that was denied: the worst at the moment when there is one has it."""
    house = House(clock, limit=10)
    await house.read("a", 3)
    await house.read("b", 2)
    for number in range(8):
        await house.read(f"other-{number}")
    clock.advance(STALE)

    assert await house.step() == []
    assert house.pause == 5.0
    assert await house.step() == []
    assert len(house.replica.observer.of("budget_denied")) == 2
    await house.read("b", reads)
    await house.replica.land()
    clock.advance(62.0 - STALE)
    assert await house.step() == [["a"], ["b"]][reads == 5]


async def test_what_the_upstream_failed_for_is_left_alone(house: House) -> None:
    """Others go meanwhile, and it comes back as with its readers."""
    await house.read("a", 3)
    await house.read("b", 2)
    house.clock.advance(STALE)
    house.instead = says(500)

    assert await house.step() == ["a"]
    house.instead = None

    assert await house.step() == ["b"]
    assert await house.step() == []
    house.clock.advance(60.0)
    assert await house.step() == ["a"]


async def test_who_is_swept_is_left_to_the_sweep(house: House) -> None:
    """Also what was fetched while the list was not to be had."""
    await house.read("a", 2)
    house.is_off = False
    house.clock.advance(STALE)

    assert await house.step() == []


async def test_another_replicas_refresh_does_as_well(house: House) -> None:
    """Whoever asks meanwhile has made the call."""
    await house.read("a", 2)
    house.clock.advance(STALE)
    await house.read("a")
    await house.replica.land()

    assert await house.step() == []


async def test_a_credential_is_kept_no_longer_than_it_may_be_used(house: House) -> None:
    """What is past its stale windows is no longer refreshed, nor asked for with it."""
    await house.read("a", 2)
    await house.step()
    assert list(house.ahead._fetched) == [Key("p1", "a")]
    house.clock.advance(331.0)

    assert await house.step() == []

    assert house.ahead._fetched == {}


async def test_what_only_some_requests_choose_is_left_to_them(house: House) -> None:
    """Fields that are passed on are a caller's own."""
    ask = Ask(Key("p1", "a"), house.replica.caller, extra=((b"accept-language", b"de"),))
    await house.replica.serving.get(ask)

    assert house.ahead._fetched == {}


async def test_only_the_last_thousand_are_kept_in_mind(house: House) -> None:
    """The others are refreshed by their readers."""
    for number in range(1_001):
        house.ahead.heed(Ask(Key("p1", f"t{number}"), house.replica.caller))

    assert len(house.ahead._fetched) == 1_000
    assert Key("p1", "t0") not in house.ahead._fetched
