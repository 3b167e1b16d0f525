"""The ports of telemetry: the observer counts and logs events, the tracer sends spans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.core.cache.entry import Key
from gateway.core.vocabulary import (
    AccessRefusal,
    Cause,
    Circuit,
    Detail,
    DriftKind,
    FailureReason,
    InvalidReason,
    Mode,
    NotStoredReason,
    Origin,
    Outcome,
    Part,
    Problem,
    Purpose,
    RedisOperation,
    StoreVerdict,
    Tier,
)
from gateway.ports.tiers import Count


class Observer(Protocol):
    """Turns events into metrics and log lines. No method raises or awaits."""

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
        """A request to the data plane was answered. `trace` is the id of its trace (None: not
        sampled)."""
        ...

    def client_result(self, client: str, result: str) -> None:
        """A client's request ended with a `result`: `served`, `limited` or `refused`."""
        ...

    def counting(self, outcome: Outcome, tier: Tier, status: int) -> Count:
        """A function that counts answers of this kind, as `requested` and `client_result`
        (`served`) do. Hits use this function, because it is faster: the counters are looked up when
        the function is made, and not for each hit."""
        ...

    def call_started(self, purpose: Purpose) -> None:
        """A call to the upstream begins."""
        ...

    def call_ended(
        self, purpose: Purpose, status: int | None, seconds: float, trace: bytes | None = None
    ) -> None:
        """A call ended, with a status or without an answer. `trace` is the id of its trace (None:
        not sampled)."""
        ...

    def upstream_failed(self, reason: FailureReason, training_id: str, what: str) -> None:
        """A call failed: no usable answer of the API came."""
        ...

    def token_refused(self, scope: str) -> None:
        """The upstream said 401 to the gateway's own token of that scope."""
        ...

    def circuit_moved(self, state: Circuit) -> None:
        """The upstream's breaker changed its state."""
        ...

    def mode_moved(self, mode: Mode, operator: str | None = None) -> None:
        """An order changed the mode of all replicas. `operator` is the one who gave it (None: not
        known)."""
        ...

    def budget_denied(self, purpose: Purpose, retry_after: float) -> None:
        """A call was not made because no budget was left."""
        ...

    def budget_waited(self, purpose: Purpose, seconds: float) -> None:
        """A call waited for its turn for `seconds`."""
        ...

    def gate_closed(self, scope: str, seconds: float) -> None:
        """A gate was closed for `seconds`: the upstream said 429, or said that no call is left."""
        ...

    def gate_opened(self, scope: str) -> None:
        """A gate was opened, because the upstream gave an answer other than 429."""
        ...

    def stored(self, key: Key, verdict: StoreVerdict) -> None:
        """The store accepted an entry."""
        ...

    def not_stored(self, key: Key, reason: NotStoredReason) -> None:
        """An answer was not stored."""
        ...

    def invalidated(
        self,
        cause: Cause,
        training_id: str,
        count: int = 1,
        by: Origin = Origin.UPSTREAM,
        operator: str | None = None,
    ) -> None:
        """`count` entries became invalid. `training_id` is `*` if they may be of several trainings.
        `operator` is the one who gave the order (None: there was no order)."""
        ...

    def outdated(self, key: Key) -> None:
        """Another replica has found that the entry in L1 is outdated."""
        ...

    def fetched(
        self,
        key: Key,
        purpose: Purpose,
        status: int,
        verdict: StoreVerdict | NotStoredReason | None,
    ) -> None:
        """A fetch brought an answer. `verdict` says whether it was stored (None: it was only passed
        on)."""
        ...

    def fetch_failed(self, key: Key, purpose: Purpose, why: str) -> None:
        """A fetch brought nothing, or was not made."""
        ...

    def swept(self, key: Key, found: str) -> None:
        """The sweep met the training in the upstream's list. `found` is a ListVerdict."""
        ...

    def sweep_ended(self, tenant: str, complete: bool, trainings: int) -> None:
        """A sweep ended. `complete`: the sweep met all trainings. `trainings`: how many it met."""
        ...

    def sweep_off(self, tenant: str, why: str, seconds: float | None) -> None:
        """The list is not read for `seconds` (None: never again). `tenant` is "" if this applies to
        all tenants."""
        ...

    def filling_stopped(self, tenant: str, taken_back: int) -> None:
        """Nothing is stored from the list any more, because a training's bytes in the list differ
        from those in a single answer (`GET /training/{id}`). The `taken_back` trainings that were
        stored from the list are removed."""
        ...

    def bound_stated(self, tenant: str, seconds: float, *, trainings: int | None) -> None:
        """After an edit, answers without the edit are served for at most `seconds` (the staleness
        bound). `trainings` is the number of trainings for which the sweep keeps this bound (None:
        there is no sweep)."""
        ...

    def sweep_too_slow(
        self, tenant: str, seconds: float, *, trainings: int, lifetime: float
    ) -> None:
        """The sweep takes too long: the staleness bound (`seconds`) is longer than the freshness
        `lifetime`. `trainings` is the number of trainings on the list."""
        ...

    def lagged(self, seconds: float) -> None:
        """A change of a training was noticed `seconds` after the new version's `updated_at`."""
        ...

    def payload_rejected(self, reason: InvalidReason, training_id: str, what: str) -> None:
        """A body is no training, or no page of the list."""
        ...

    def drifted(self, kind: DriftKind, field_name: str) -> None:
        """A body differs from the API's documentation and was accepted nevertheless."""
        ...

    def regressed(self, training_id: str) -> None:
        """The upstream answered with an older version than the known one."""
        ...

    def redis_timed(self, operation: RedisOperation, seconds: float) -> None:
        """Redis answered after `seconds`."""
        ...

    def redis_failed(self, operation: RedisOperation, why: str) -> None:
        """Redis did not answer, answered with an error, or sent an answer that made no sense."""
        ...

    def bus_failed(self, why: str) -> None:
        """A message on the bus made no sense, or could not be applied."""
        ...

    def redis_moved(self, up: bool, node: str = "") -> None:
        """Redis came back (`up`) or went away. If Redis has several nodes, this is about `node`
        only."""
        ...

    def envelope_refused(self, why: str) -> None:
        """A body in Redis cannot be read as an entry."""
        ...

    def access_refused(self, reason: AccessRefusal, request_id: str = "", by: str = "") -> None:
        """A caller was refused. `request_id` is "" if the request has none. `by` is the name of an
        operator, "" if the caller is no operator."""
        ...

    def refresh_failed(self, key: Key, why: str, again_in: float) -> None:
        """A background refresh failed, and will be tried again in `again_in` seconds."""
        ...


@dataclass(frozen=True, slots=True)
class AccessLine:
    """One answered request, for the access log. `parts` has the seconds for which the request
    waited for each part (for example for the upstream)."""

    request_id: str
    method: str
    training_id: str | None
    outcome: Outcome
    tier: Tier
    detail: Detail | Problem | None
    status: int
    seconds: float
    age: float | None
    client: str | None
    trace_id: str | None
    parts: Mapping[Part, float] | None = None


# The attributes of a span, with the names of the semantic conventions of OpenTelemetry.
Attributes = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Served:
    """How a request ended. `path` is its path, and `route` the path without the id. Both are None
    if the gateway has no such path."""

    method: str
    route: str | None
    path: str | None
    status: int
    outcome: Outcome
    tier: Tier
    detail: str | None = None
    client: str | None = None


class Span(Protocol):
    """One span of a trace that is kept. No method raises or awaits."""

    @property
    def traceparent(self) -> bytes:
        """The `traceparent` to send with requests within this span (W3C Trace Context, 3.2)."""
        ...

    def part(self, name: str) -> Span:
        """Begin a span within this one."""
        ...

    def link(self, traceparent: bytes) -> None:
        """Note that this span waits for work that began within another span."""
        ...

    def note(self, attributes: Attributes) -> None:
        """Add attributes to the span."""
        ...

    def serve(self, served: Served) -> None:
        """End the span of a request."""
        ...

    def end(self, fault: str | None = None) -> None:
        """End the span. `fault` is the name of an error, if there was one."""
        ...


class Tracer(Protocol):
    """Begins and sends the spans of requests. No request waits or fails because of tracing."""

    @property
    def is_on(self) -> bool:
        """Whether any trace is kept."""
        ...

    def keeps(self, traceparent: bytes | None) -> bool:
        """Whether the trace of a request is kept. Without a valid `traceparent` (None), chance may
        decide, so call this at most once for such a request."""
        ...

    def begin(self, traceparent: bytes | None) -> Span:
        """Begin the span of a request whose trace is kept."""
        ...

    def hit(self, traceparent: bytes | None, served: Served, seconds: float) -> None:
        """Note a hit that took `seconds`. Called only for a request whose trace is kept."""
        ...

    async def close(self, patience: float) -> None:
        """Send the spans that still wait, for `patience` seconds at most."""
        ...


class NoTracer:
    """Keeps no trace."""

    is_on = False

    def keeps(self, traceparent: bytes | None) -> bool:
        """No trace is kept."""
        return False

    def begin(self, traceparent: bytes | None) -> Span:
        """Never called."""
        raise NotImplementedError

    def hit(self, traceparent: bytes | None, served: Served, seconds: float) -> None:
        """Never called."""

    async def close(self, patience: float) -> None:
        """Do nothing."""
