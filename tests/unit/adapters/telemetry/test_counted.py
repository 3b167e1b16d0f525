from __future__ import annotations

import pytest

from gateway.adapters.telemetry.observer import Telemetry
from gateway.core.vocabulary import Outcome, Purpose, Tier
from tests.unit.adapters.telemetry.stand_ins import ManualClock

ID = b"a" * 32
TRACEPARENT = b"00-%b-%b-01" % (ID, b"b" * 16)


@pytest.mark.parametrize("trace", [None, ID])
@pytest.mark.parametrize("outcome", [Outcome.FRESH, Outcome.STALE_ERROR])
def test_both_ways_of_a_hit_count_the_same(outcome: Outcome, trace: bytes | None) -> None:
    """The one that is told all, and the one that is made for its sort."""
    long, short = Telemetry(ManualClock()), Telemetry(ManualClock())

    long.requests.requested(outcome, Tier.L1, 200, 0.0004, 3.0, trace=trace)
    long.requests.client_result("shop", "served")
    short.requests.counting(outcome, Tier.L1, 200)(0.0004, 3.0, "shop", trace and TRACEPARENT)

    of_long, of_short = long.counters, short.counters
    assert of_long.requests == of_short.requests
    assert of_long.clients == of_short.clients
    one, other = of_long.request_seconds[outcome], of_short.request_seconds[outcome]
    assert (one.buckets, one.total) == (other.buckets, other.total)
    assert one.exemplars == other.exemplars == ({} if trace is None else {3: (ID, 0.0004)})


@pytest.mark.parametrize(
    ("status", "is_success"),
    [(200, True), (304, True), (404, True), (403, False), (502, False), (None, False)],
)
def test_the_last_success_is_an_answer_about_the_training(
    status: int | None, is_success: bool
) -> None:
    """A 404 is one, too."""
    counted = Telemetry(ManualClock())

    counted.connections.call_started(Purpose.MISS)
    counted.connections.call_ended(Purpose.MISS, status, 0.1)

    assert (counted.counters.last_success is not None) is is_success
    assert counted.counters.calls_inflight == 0
