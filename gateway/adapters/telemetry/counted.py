"""The verbs of the Observer that count, and of which no line is written."""

from __future__ import annotations

from gateway.adapters.telemetry.metrics.counters import Counters, status_class
from gateway.core.vocabulary import Outcome, Purpose, RedisOperation, Tier
from gateway.ports import Clock, Count

_MISSING = (404, 410)


class Counted:
    """A part of the Observer; never raises."""

    def __init__(self, clock: Clock) -> None:
        self.counters = Counters()
        self._clock = clock

    def requested(
        self,
        outcome: Outcome,
        tier: Tier,
        status: int,
        seconds: float,
        age: float | None,
        *,
        trace: bytes | None = None,
    ) -> None:
        self.counters.count_request(outcome, tier, status, seconds, age, trace=trace)

    def counting(self, outcome: Outcome, tier: Tier, status: int) -> Count:
        return self.counters.counting(outcome, tier, status)

    def client_result(self, client: str, result: str) -> None:
        self.counters.count_client(client, result)

    def call_started(self, purpose: Purpose) -> None:
        self.counters.calls_inflight += 1

    def call_ended(
        self, purpose: Purpose, status: int | None, seconds: float, trace: bytes | None = None
    ) -> None:
        counters = self.counters
        counters.calls_inflight -= 1
        counters.calls[purpose, status_class(status)] += 1
        counters.call_seconds[purpose].observe(seconds, trace)
        if status is not None and (status < 400 or status in _MISSING):
            counters.last_success = self._clock.now()

    def budget_waited(self, purpose: Purpose, seconds: float) -> None:
        self.counters.wait_seconds[purpose].observe(seconds)

    def lagged(self, seconds: float) -> None:
        self.counters.freshness_lag.observe(seconds)

    def evicted(self, tier: Tier) -> None:
        self.counters.evictions[tier] += 1

    def redis_timed(self, operation: RedisOperation, seconds: float) -> None:
        self.counters.redis_seconds[operation].observe(seconds)

    def log_line_lost(self) -> None:
        """A line could not be written in time, or at all."""
        self.counters.log_lines_dropped += 1
