"""The Observer: its methods change counts, log events, and note events in the journal.

The names and levels of the logged events are here.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from gateway.adapters.telemetry.counters import Counters, status_class
from gateway.adapters.telemetry.event_log import (
    DEBUG,
    ERROR,
    EVERYBODY,
    INFO,
    SELDOM,
    WARNING,
    Events,
    Journal,
    Log,
)
from gateway.adapters.telemetry.log_lines import logger
from gateway.core.cache.entry import Key
from gateway.core.instant import from_seconds, to_rfc3339
from gateway.core.sweep.belief import ListState
from gateway.core.sweep.progress import SweepEnd
from gateway.core.vocabulary import (
    SWEEPS,
    AccessRefusal,
    Cause,
    Circuit,
    DriftKind,
    FailureReason,
    InvalidReason,
    Mode,
    NotStoredReason,
    Origin,
    Purpose,
    RedisOperation,
    StoreVerdict,
)
from gateway.ports import Clock, Confirmations, RefusedRequest

# At most this many lines in ten seconds are written for an event whose lines differ (for example,
# because each line names a different training).
_BURST = 20
# The paths that may be told. Any other can be a credential that was put into the wrong place.
_OWN_PATH = re.compile(
    r"/(?:(?:training|explain)/[A-Za-z0-9._~-]{1,128}"
    r"|training|metrics|status|invalidate|purge|mode|livez|readyz)?"
)
# At most this many differences from the API's documentation are logged, each once.
_MOST_DRIFTS = 100
_MISSING = (404, 410)
_BOUND = "the longest time for which an older version is still served after an edit"
_WINDOWS = "freshness.lifetime and freshness.stale_while_revalidate"
_ALL = "*"
_NOT_TOLD = "Redis did not accept the invalidation"


class RequestTelemetry:
    """The RequestObserver."""

    def __init__(self, counters: Counters, events: Events) -> None:
        self.counters, self.events = counters, events
        self.requested, self.counting = counters.count_request, counters.counting
        self.client_result = counters.count_client

    def access_refused(self, reason: AccessRefusal, request: RefusedRequest) -> None:
        self.counters.refusals[reason] += 1
        known: dict[str, Any] = {name: value for name, value in asdict(request).items() if value}
        if request.path and _OWN_PATH.fullmatch(request.path) is None:
            known["path"] = "(unknown)"
        self.events.emit(INFO, "access.refused", reason=reason, **known)


class ConnectionTelemetry:
    """The ConnectionObserver."""

    def __init__(self, counters: Counters, events: Events, clock: Clock) -> None:
        self.counters, self.events, self._clock = counters, events, clock

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
            counters.missing_in_a_row = 0 if status < 400 else counters.missing_in_a_row + 1

    def redis_timed(self, operation: RedisOperation, seconds: float) -> None:
        self.counters.redis_seconds[operation].observe(seconds)

    def redis_failed(self, operation: RedisOperation, why: str) -> None:
        self.counters.redis_errors[operation] += 1
        # In an outage operations fail several times a second, so most lines are suppressed.
        # `redis.away` and `redis.back` report the outage itself.
        self.events.emit(
            WARNING, "redis.failed", key=operation, every=SELDOM, operation=operation, why=why
        )

    def bus_failed(self, why: str) -> None:
        self.redis_failed(RedisOperation.BUS, why)

    def redis_moved(self, up: bool) -> None:
        level, event = (INFO, "redis.back") if up else (WARNING, "redis.away")
        self.events.tell_state(level, event)

    def envelope_refused(self, why: str) -> None:
        self.events.emit(WARNING, "redis.envelope-refused", why=why)


class SweepTelemetry:
    """The SweepObserver."""

    def __init__(self, counters: Counters, events: Events, journal: Journal) -> None:
        self.counters, self.events, self.journal = counters, events, journal

    def swept(self, key: Key, found: str) -> None:
        note = self.journal.note
        note(key.training_id, "entry.swept", key.partition, is_routine=True, found=found)

    def page_read(self, rows: int) -> None:
        self.counters.rows += rows

    def sweep_ended(self, tenant: str, end: SweepEnd, trainings: int) -> None:
        self.counters.sweeps[end] += 1
        level = DEBUG if end is SweepEnd.COMPLETE else INFO
        self.events.emit(
            level, "sweep.ended", key=tenant, tenant=tenant, end=end, trainings=trainings
        )

    def list_moved(self, tenant: str, state: ListState, about: str) -> None:
        level = INFO if state in (ListState.EQUAL, ListState.UNPROVEN) else WARNING
        which: dict[str, Any] = {"training": about} if about else {}
        self.events.tell_state(level, "sweep.list", key=tenant, tenant=tenant, state=state, **which)

    def sweep_off(self, tenant: str, why: str, seconds: float | None) -> None:
        """`seconds` None: the settings switch the sweep off, so the level is INFO. Otherwise the
        upstream's list cannot be used, perhaps because of a fault, so the level is WARNING."""
        tenant = tenant or _ALL
        if seconds is None:
            self.events.tell_state(INFO, "sweep.off", key=tenant, tenant=tenant, why=why)
            return
        self.events.tell_state(
            WARNING, "sweep.off", key=tenant, tenant=tenant, why=why, asked_again_in=seconds
        )

    def bound_stated(self, tenant: str, seconds: float, *, trainings: int | None) -> None:
        by = _WINDOWS if trainings is None else f"a sweep of {trainings} trainings"
        self.events.tell_state(
            INFO,
            "freshness.bound",
            key=tenant,
            tenant=tenant or _ALL,
            bound_seconds=seconds,
            bound_is=_BOUND,
            kept_by=by,
        )


class Telemetry:
    """The Observer. It counts in `counters`, and logs events. It never raises.

    requests     the observer of the web
    connections  the observer of the adapters
    """

    def __init__(self, clock: Clock, log: Log = logger) -> None:
        self.counters = counters = Counters()
        self.journal = Journal(clock)
        self.events = events = Events(clock, log)
        self.sweeps = SweepTelemetry(counters, events, self.journal)
        self.requests = RequestTelemetry(counters, events)
        self.connections = ConnectionTelemetry(counters, events, clock)
        self._drifts: set[tuple[DriftKind, str]] = set()

    # ---- only counted, not logged

    def budget_waited(self, purpose: Purpose, seconds: float) -> None:
        self.counters.wait_seconds[purpose].observe(seconds)

    def lagged(self, seconds: float) -> None:
        self.counters.freshness_lag.observe(seconds)

    # ---- the upstream

    def upstream_failed(self, reason: FailureReason, training_id: str, what: str) -> None:
        self.counters.failures[reason] += 1
        if reason is FailureReason.REFUSED:
            return  # `token_refused` logs instead, at most one line a minute for each tenant
        self.events.emit(WARNING, "upstream.failed", reason=reason, id=training_id, what=what)

    def token_refused(self, scope: str) -> None:
        self.events.emit(ERROR, "upstream.token-refused", key=scope, every=SELDOM, tenant=scope)

    def circuit_moved(self, state: Circuit) -> None:
        level = WARNING if state is Circuit.OPEN else INFO
        self.events.tell_state(level, "upstream.circuit-moved", state=state)

    def mode_moved(self, mode: Mode, operator: str | None = None) -> None:
        # An operator ordered each change, so no line should be suppressed.
        ordered = _by(operator)
        self.events.tell_state(WARNING, "gateway.mode-moved", mode=mode, **ordered)
        self.journal.note(EVERYBODY, "gateway.mode-moved", mode=mode, operator=operator)

    def budget_denied(self, purpose: Purpose, retry_after: float) -> None:
        self.counters.denied[purpose] += 1
        level = DEBUG if purpose in SWEEPS else WARNING
        self.events.emit(
            level, "budget.denied", key=purpose, purpose=purpose, retry_after=retry_after
        )

    def gate_closed(self, scope: str, seconds: float, limit: int | None = None) -> None:
        self.events.tell_state(
            WARNING, "upstream.gate-closed", key=scope, scope=scope, seconds=seconds
        )
        if limit is not None:
            self.events.tell_state(
                WARNING, "budget.limit-lowered", key=scope, scope=scope, limit=limit
            )

    def gate_opened(self, scope: str) -> None:
        self.events.tell_state(INFO, "upstream.gate-opened", key=scope, scope=scope)

    # ---- what was answered, and what is stored

    def payload_rejected(self, reason: InvalidReason, training_id: str, what: str) -> None:
        self.counters.rejected[reason] += 1
        self.events.emit(WARNING, "payload.rejected", reason=reason, id=training_id, what=what)

    def drifted(self, kind: DriftKind, field_name: str) -> None:
        self.counters.drift[kind] += 1
        if (kind, field_name) in self._drifts or len(self._drifts) >= _MOST_DRIFTS:
            return
        self._drifts.add((kind, field_name))
        self.events.emit(
            INFO, "payload.drifted", most_lines=_MOST_DRIFTS, kind=kind, field=field_name
        )

    def regressed(self, training_id: str) -> None:
        self.counters.regressions += 1
        self.events.emit(WARNING, "entry.regressed", most_lines=_BURST, id=training_id)

    def stored(self, key: Key, verdict: StoreVerdict) -> None:
        if verdict is StoreVerdict.CHANGED:
            self.events.emit(INFO, "entry.changed", most_lines=_BURST, id=key.training_id)
        elif verdict is StoreVerdict.BELIEVED:
            self.events.emit(WARNING, "entry.believed", most_lines=_BURST, id=key.training_id)

    def not_stored(self, key: Key, reason: NotStoredReason) -> None:
        # A person has to correct a version that is far in the future, and no other event reports
        # it.
        level = WARNING if reason is NotStoredReason.FUTURE_VERSION else DEBUG
        self.events.emit(
            level, "entry.not-stored", reason=reason, most_lines=_BURST, id=key.training_id
        )

    def invalidated(
        self,
        cause: Cause,
        training_id: str,
        count: int = 1,
        by: Origin = Origin.UPSTREAM,
        operator: str | None = None,
    ) -> None:
        self.counters.invalidations[cause] += count
        self.events.emit(
            INFO,
            "entry.invalidated",
            key=cause,
            most_lines=_BURST,
            cause=cause,
            id=training_id,
            count=count,
            by=by,
            **_by(operator),
        )
        self.journal.note(training_id, "entry.invalidated", cause=cause, by=by, operator=operator)

    def write_unconfirmed(self, key: Key, confirmations: Confirmations | None) -> None:
        event = "write.unconfirmed"
        with suppress(Exception):  # the time in `confirmations` comes from Redis
            told = _unconfirmed(confirmations)
            self.events.emit(WARNING, event, most_lines=_BURST, id=key.training_id, **told)
            self.journal.note(key.training_id, event, key.partition, **told)

    def refresh_failed(self, key: Key, why: str, again_in: float) -> None:
        self.events.emit(WARNING, "refresh.failed", id=key.training_id, why=why, again_in=again_in)

    # ---- only noted in the journal

    def noted(self, key: Key, event: str, **fields: Any) -> None:
        self.journal.note(key.training_id, event, key.partition, **fields)

    def fetched(
        self,
        key: Key,
        purpose: Purpose,
        status: int,
        verdict: StoreVerdict | NotStoredReason | None,
    ) -> None:
        refused = isinstance(verdict, NotStoredReason)
        self.journal.note(
            key.training_id,
            "entry.not-stored" if refused else "entry.fetched",
            key.partition,
            purpose=purpose,
            status=status,
            reason=verdict if refused else None,
            verdict=None if refused else verdict,
        )

    # ---- traces


def _unconfirmed(confirmations: Confirmations | None) -> dict[str, Any]:
    if confirmations is None:
        return {"why": _NOT_TOLD}
    told: dict[str, Any] = {"replicas": confirmations.known, "confirmed": confirmations.confirmed}
    if confirmations.until is not None:
        told["until"] = to_rfc3339(from_seconds(math.ceil(confirmations.until)))
    return told


def _by(operator: str | None) -> dict[str, Any]:
    return {} if operator is None else {"operator": operator}
