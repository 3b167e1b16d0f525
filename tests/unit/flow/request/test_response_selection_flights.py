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
    SOFT,
    PuttingOff,
    Replica,
    marks,
    ok,
    page,
    serve_stale,
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


@pytest.mark.parametrize(
    ("purpose", "put_off"), [(Purpose.REFRESH, [ASK]), (Purpose.REVALIDATION, [])]
)
async def test_a_refresh_without_a_call_is_put_off(
    clock: FakeClock, purpose: Purpose, put_off: list[Ask]
) -> None:
    """Whoever lets refreshes wait is told; a caller's fetch is the caller's to ask for again."""
    alone, told = Replica(clock, limit=1), PuttingOff()
    alone.serving.put_off = told
    await alone.fill(1, OTHER)

    with pytest.raises(BudgetExhausted):
        await alone.serving.start(ASK, None, purpose).join()

    assert told == put_off
    assert (alone.serving.standing(KEY) is None) == bool(put_off)
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


async def test_a_call_for_the_sweep_that_is_denied_leaves_the_key_to_callers(
    clock: FakeClock,
) -> None:
    """The sweep has spent its share. A request that finds a stale response makes its own call."""
    alone = Replica(clock, limit=20, sweep_share=0.5)
    await serve_stale(alone, SOFT)
    seen = await alone.serving.seen(ASK)
    alone.upstream.then(*[ok(1, training_id=f"t{number}") for number in range(10)])
    for number in range(10):
        await alone.serving.start(Ask(Key("p1", f"t{number}"), CALLER), None, Purpose.VERIFY).join()
    with pytest.raises(BudgetExhausted):
        await alone.serving.start(ASK, seen, Purpose.VERIFY).join()
    alone.upstream.then(ok(2))

    answer = await alone.get()

    assert marks(answer)[:2] == (2, Outcome.FILLED)
    assert alone.upstream.calls[-1].purpose is Purpose.REVALIDATION


async def test_what_the_upstream_failed_for_is_not_put_off(alone: Replica) -> None:
    """It is left alone for a while, and then its next reader's."""
    told = PuttingOff()
    alone.serving.put_off = told
    alone.upstream.then(page(503))
    with pytest.raises(UpstreamError):
        await alone.serving.start(ASK, None, Purpose.REFRESH).join()

    assert told == []
    assert alone.serving.has_failed(KEY)


async def test_a_refresh_waits_where_others_do(alone: Replica) -> None:
    """Nothing is started for it; else it is what its reader starts."""
    await serve_stale(alone)
    seen = await alone.serving.seen(ASK)
    assert seen is not None
    alone.serving.waits = lambda ask: ask == ASK

    assert alone.serving.refresh(ASK, seen) is None
    assert alone.serving.fills.under_way(KEY) is None
    assert marks(await alone.get())[1] is Outcome.STALE_SHIELDED
    alone.serving.waits = lambda _: False
    assert alone.serving.refresh(ASK, seen) is alone.serving.fills.under_way(KEY)
    await alone.land()


async def test_one_look_up_serves_all_of_the_moment(alone: Replica) -> None:
    """Nothing is stored, and nothing is asked upstream for it."""
    assert await alone.serving.look_up(KEY) is None
    assert alone.upstream.count == 0
    assert alone.serving.lookups.under_way(KEY) is None
