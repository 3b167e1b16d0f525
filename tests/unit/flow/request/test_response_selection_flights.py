"""response_selection: one look-up and one fetch for a key, whoever starts it."""

from __future__ import annotations

import pytest

from gateway.core.cache.entry import Key
from gateway.core.errors import BudgetExhausted, UpstreamError
from gateway.core.vocabulary import Outcome, Purpose
from gateway.flow.answer import Ask
from gateway.flow.fill.fetch import Filled
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    CALLER,
    KEY,
    Replica,
    marks,
    ok,
    page,
    settle,
)

ASK = Ask(KEY, CALLER)
OTHER = Key("p1", "trn_2")


async def test_a_fetch_is_for_whoever_asks_meanwhile(alone: Replica) -> None:
    """Started by nobody's request, and told like any other."""
    alone.upstream.hold()
    alone.upstream.then(ok(1))
    flight = alone.serving.start(ASK, None, Purpose.VERIFY)
    await settle()

    assert alone.serving.fills.under_way(KEY) is flight
    alone.upstream.release()
    landed = await flight.join()
    assert isinstance(landed, Filled)
    assert alone.observer.of("fetched")[0][:3] == (KEY, Purpose.VERIFY, 200)
    assert alone.serving.standing(KEY) is None


async def test_its_failure_stands_for_a_while(alone: Replica) -> None:
    """Whoever comes next need not ask to learn of it."""
    alone.upstream.then(page(503))

    with pytest.raises(UpstreamError):
        await alone.serving.start(ASK, None, Purpose.VERIFY).join()

    assert alone.serving.standing(KEY) is not None
    alone.clock.advance(60.0)
    assert alone.serving.standing(KEY) is None


@pytest.mark.parametrize("purpose", [Purpose.REFRESH, Purpose.VERIFY, Purpose.REVALIDATION])
async def test_only_a_caller_that_got_no_call_leaves_a_failure(
    clock: FakeClock, purpose: Purpose
) -> None:
    """The refresher tries again what no caller waits for."""
    alone = Replica(clock, limit=1)
    await alone.fill(1, OTHER)

    with pytest.raises(BudgetExhausted):
        await alone.serving.start(ASK, None, purpose).join()

    assert (alone.serving.standing(KEY) is None) == (purpose is not Purpose.REVALIDATION)
    assert not alone.serving.has_failed(KEY)


async def test_a_call_for_the_sweep_that_is_denied_denies_no_caller(clock: FakeClock) -> None:
    """Two calls are reserved for callers. A request that joined such a call has a higher rank."""
    alone = Replica(clock, limit=10)
    alone.upstream.then(*[ok(1, training_id=f"t{number}") for number in range(8)])
    for number in range(8):
        await alone.serving.start(Ask(Key("p1", f"t{number}"), CALLER), None, Purpose.VERIFY).join()
    denied = alone.serving.start(ASK, None, Purpose.VERIFY)
    alone.upstream.then(ok(1))

    answer = await alone.serving.from_upstream(ASK, None)

    assert marks(answer)[:2] == (1, Outcome.FILLED)
    assert alone.upstream.calls[-1].purpose is Purpose.MISS
    with pytest.raises(BudgetExhausted):
        await denied.join()


async def test_one_look_up_serves_all_of_the_moment(alone: Replica) -> None:
    """Nothing is stored, and nothing is asked upstream for it."""
    assert await alone.serving.under_way.look_up(KEY) is None
    assert alone.upstream.count == 0
    assert alone.serving.under_way.lookups.under_way(KEY) is None
