from __future__ import annotations

import pytest

from gateway.core.cache.policy import Windows
from gateway.core.errors import (
    BudgetExhausted,
    CircuitOpen,
    GateClosed,
    UpstreamError,
    UpstreamRateLimited,
)
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Detail, FailureReason, Outcome
from gateway.ports import Call
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    OURS,
    SOFT,
    STALE,
    Replica,
    marks,
    says,
    serve_stale,
)

SHIELDED = Handling(Detail.STALE_SHIELDED)


async def test_a_429_is_rescued_and_then_shields(alone: Replica, clock: FakeClock) -> None:
    """The gate is closed: the next attempts do not reach upstream."""
    await serve_stale(alone, SOFT)
    alone.upstream.then(says(429, (b"retry-after", b"30")))
    await alone.get()
    clock.advance(1.0)

    answers = [await alone.get(), await alone.get()]

    assert [marks(answer) for answer in answers] == [(1, Outcome.STALE_SHIELDED, SHIELDED)] * 2
    assert alone.upstream.count == 2
    assert alone.observer.of("gate_closed") == [("default", 30.0, None)]


async def test_a_429_with_nothing_stored_says_when_to_come_back(alone: Replica) -> None:
    """First in upstream's words, then in ours."""
    alone.upstream.then(says(429, (b"retry-after", b"30")))

    with pytest.raises(UpstreamRateLimited) as limited:
        await alone.get()
    with pytest.raises(GateClosed) as closed:
        await alone.get()

    assert (limited.value.retry_after, closed.value.retry_after) == (30.0, 30.0)


@pytest.mark.parametrize("kind", [BudgetExhausted, GateClosed, CircuitOpen])
@pytest.mark.parametrize("age", [STALE, SOFT])
async def test_a_call_withheld_is_shielded(
    alone: Replica,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[BudgetExhausted | GateClosed | CircuitOpen],
    age: float,
) -> None:
    """What is stored answers, and upstream is not asked, in any stale window."""
    await serve_stale(alone, age)

    async def withhold(scope: str, call: Call) -> Reply:
        raise kind("not now", retry_after=5.0)

    monkeypatch.setattr(alone.outbound, "ask", withhold)
    alone.peek()
    await alone.land()

    assert marks(await alone.get()) == (1, Outcome.STALE_SHIELDED, SHIELDED)


async def test_a_spent_budget_is_shielded(clock: FakeClock) -> None:
    """For real: one call was allowed, and made."""
    replica = Replica(clock, limit=1, windows=Windows(stale_while_revalidate=0.0))
    await serve_stale(replica)

    answer = await replica.get()

    assert marks(answer) == (1, Outcome.STALE_SHIELDED, SHIELDED)


async def test_an_open_breaker_is_shielded(alone: Replica) -> None:
    """Ten failures of other trainings are enough."""
    await serve_stale(alone, SOFT)
    failure = UpstreamError("500", FailureReason.STATUS_5XX, status=500)
    for n in range(10):
        await alone.outbound.failed(OURS, f"trn_2{n}", failure)

    answer = await alone.get()

    assert marks(answer) == (1, Outcome.STALE_SHIELDED, SHIELDED)
