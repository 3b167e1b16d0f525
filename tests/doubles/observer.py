"""An Observer that remembers what it was told, for tests of whoever tells it."""

from __future__ import annotations

from gateway.core.cache.entry import Key
from gateway.core.http.traceparent import ID, SAMPLED
from gateway.core.sweep.belief import ListState
from gateway.core.sweep.progress import SweepEnd
from gateway.core.vocabulary import (
    AccessRefusal,
    Cause,
    Circuit,
    DriftKind,
    FailureReason,
    InvalidReason,
    Mode,
    NotStoredReason,
    Origin,
    Outcome,
    Purpose,
    RedisOperation,
    StoreVerdict,
    Tier,
)
from gateway.ports import Confirmations, Count, RefusedRequest


class RecordingObserver:
    """`calls` holds (verb, arguments) in the order in which they came."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[object, ...]]] = []

    def of(self, verb: str) -> list[tuple[object, ...]]:
        """The arguments of each call of one verb."""
        return [arguments for name, arguments in self.calls if name == verb]

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
        self._note("requested", outcome, tier, status, seconds, age)
        self._note("traced", trace)

    def client_result(self, client: str, result: str) -> None:
        self._note("client_result", client, result)

    def counting(self, outcome: Outcome, tier: Tier, status: int) -> Count:
        def count(  # noqa: PLR0917 -- as the port
            seconds: float,
            age: float,
            client: str,
            traceparent: bytes | None = None,
            training_id: str = "",
            is_head: bool = False,
        ) -> None:
            is_kept = traceparent is not None and traceparent[-1] in SAMPLED
            trace = traceparent[ID] if traceparent is not None and is_kept else None
            self.requested(outcome, tier, status, seconds, age, trace=trace)
            self.client_result(client, "served")

        return count

    def call_started(self, purpose: Purpose) -> None:
        self._note("call_started", purpose)

    def call_ended(
        self, purpose: Purpose, status: int | None, seconds: float, trace: bytes | None = None
    ) -> None:
        self._note("call_ended", purpose, status, seconds)

    def upstream_failed(self, reason: FailureReason, training_id: str, what: str) -> None:
        self._note("upstream_failed", reason, training_id, what)

    def token_refused(self, scope: str) -> None:
        self._note("token_refused", scope)

    def circuit_moved(self, state: Circuit) -> None:
        self._note("circuit_moved", state)

    def mode_moved(self, mode: Mode, operator: str | None = None) -> None:
        self._note("mode_moved", mode, operator)

    def budget_denied(self, purpose: Purpose, retry_after: float) -> None:
        self._note("budget_denied", purpose, retry_after)

    def budget_waited(self, purpose: Purpose, seconds: float) -> None:
        self._note("budget_waited", purpose, seconds)

    def gate_closed(self, scope: str, seconds: float, limit: int | None = None) -> None:
        self._note("gate_closed", scope, seconds, limit)

    def gate_opened(self, scope: str) -> None:
        self._note("gate_opened", scope)

    def stored(self, key: Key, verdict: StoreVerdict) -> None:
        self._note("stored", key, verdict)

    def not_stored(self, key: Key, reason: NotStoredReason) -> None:
        self._note("not_stored", key, reason)

    def invalidated(
        self,
        cause: Cause,
        training_id: str,
        count: int = 1,
        by: Origin = Origin.UPSTREAM,
        operator: str | None = None,
    ) -> None:
        self._note("invalidated", cause, training_id, count)
        self._note("invalidated_by", by)
        self._note("ordered_by", operator)

    def write_unconfirmed(self, key: Key, confirmations: Confirmations | None) -> None:
        self._note("write_unconfirmed", key, confirmations)

    def outdated(self, key: Key) -> None:
        self._note("outdated", key)

    def fetched(
        self,
        key: Key,
        purpose: Purpose,
        status: int,
        verdict: StoreVerdict | NotStoredReason | None,
    ) -> None:
        self._note("fetched", key, purpose, status, verdict)

    def fetch_failed(self, key: Key, purpose: Purpose, why: str) -> None:
        self._note("fetch_failed", key, purpose, why)

    def swept(self, key: Key, found: str) -> None:
        self._note("swept", key, found)

    def page_read(self, rows: int) -> None:
        self._note("page_read", rows)

    def sweep_ended(self, tenant: str, end: SweepEnd, trainings: int) -> None:
        self._note("sweep_ended", tenant, end, trainings)

    def list_moved(self, tenant: str, state: ListState, about: str) -> None:
        self._note("list_moved", tenant, state, about)

    def sweep_off(self, tenant: str, why: str, seconds: float | None) -> None:
        self._note("sweep_off", tenant, why, seconds)

    def bound_stated(self, tenant: str, seconds: float, *, trainings: int | None) -> None:
        self._note("bound_stated", tenant, seconds, trainings)

    def lagged(self, seconds: float) -> None:
        self._note("lagged", seconds)

    def payload_rejected(self, reason: InvalidReason, training_id: str, what: str) -> None:
        self._note("payload_rejected", reason, training_id, what)

    def drifted(self, kind: DriftKind, field_name: str) -> None:
        self._note("drifted", kind, field_name)

    def regressed(self, training_id: str) -> None:
        self._note("regressed", training_id)

    def redis_timed(self, operation: RedisOperation, seconds: float) -> None:
        self._note("redis_timed", operation, seconds)

    def redis_failed(self, operation: RedisOperation, why: str) -> None:
        self._note("redis_failed", operation, why)

    def bus_failed(self, why: str) -> None:
        self._note("bus_failed", why)

    def redis_moved(self, up: bool) -> None:
        self._note("redis_moved", up)

    def envelope_refused(self, why: str) -> None:
        self._note("envelope_refused", why)

    def access_refused(self, reason: AccessRefusal, request: RefusedRequest) -> None:
        self._note("access_refused", reason, request)

    def refresh_failed(self, key: Key, why: str, again_in: float) -> None:
        self._note("refresh_failed", key, why, again_in)

    def _note(self, verb: str, *arguments: object) -> None:
        self.calls.append((verb, arguments))
