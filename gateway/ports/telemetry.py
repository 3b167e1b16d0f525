"""The ports of telemetry: observers count and log events, the tracer sends spans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.core.cache.entry import Key
from gateway.core.sweep.belief import ListState
from gateway.core.sweep.progress import SweepEnd
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
from gateway.ports.replicas import Confirmations
from gateway.ports.tiers import Count


class RequestObserver(Protocol):
    """Counts requests, and logs those that are refused. No method raises or awaits."""

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
        """A request to the data plane was answered. `trace`: the id of its trace (None: not
        sampled)."""

    def client_result(self, client: str, result: str) -> None:
        """A client's request ended with `served`, `limited` or `refused`."""

    def counting(self, outcome: Outcome, tier: Tier, status: int) -> Count:
        """A function that counts answers with these values. It does the same as `requested` and
        `client_result` (`served`), but the counters are looked up only once."""

    def access_refused(self, reason: AccessRefusal, request: RefusedRequest) -> None:
        """A request or a connection was refused."""


class ConnectionObserver(Protocol):
    """Counts what is asked of Redis and of the upstream, and logs the failures of Redis. No method
    raises or awaits."""

    def call_started(self, purpose: Purpose) -> None:
        """A call begins."""

    def call_ended(
        self, purpose: Purpose, status: int | None, seconds: float, trace: bytes | None = None
    ) -> None:
        """A call ended, with or without an answer. `trace`: the id of its trace (None: not
        sampled)."""

    def redis_timed(self, operation: RedisOperation, seconds: float) -> None:
        """Redis answered."""

    def redis_failed(self, operation: RedisOperation, why: str) -> None:
        """Redis gave no answer, an error, or an answer that made no sense."""

    def bus_failed(self, why: str) -> None:
        """A message on the bus made no sense, or could not be applied."""

    def redis_moved(self, up: bool) -> None:
        """Redis came back (`up`) or went away."""

    def envelope_refused(self, why: str) -> None:
        """A body in Redis cannot be read as an entry."""


class SweepObserver(Protocol):
    """Counts and logs what the sweep finds. No method raises or awaits."""

    def swept(self, key: Key, found: str) -> None:
        """The sweep met the training in the list. `found` is a ListVerdict."""

    def page_read(self, rows: int) -> None:
        """A page of the list was read. `rows`: how many rows it has, valid or not."""

    def sweep_ended(self, tenant: str, end: SweepEnd, trainings: int) -> None:
        """A sweep that read so many trainings ended."""

    def list_moved(self, tenant: str, state: ListState, about: str) -> None:
        """The list is believed more or less than before. `about`: the training that showed that the
        list is behind ("": none)."""

    def sweep_off(self, tenant: str, why: str, seconds: float | None) -> None:
        """The list is not read for `seconds` (None: never again). `tenant` "": all tenants."""

    def bound_stated(self, tenant: str, seconds: float, *, trainings: int | None) -> None:
        """After an edit, answers without the edit are served for at most `seconds` (the staleness
        bound). The sweep keeps this bound for `trainings` trainings (None: there is no sweep)."""


class Observer(Protocol):
    """Counts and logs what the flow decides. No method raises or awaits."""

    @property
    def sweeps(self) -> SweepObserver:
        """The observer of the sweep."""

    def upstream_failed(self, reason: FailureReason, training_id: str, what: str) -> None:
        """No usable answer of the API came."""

    def token_refused(self, scope: str) -> None:
        """The upstream said 401 to the gateway's own token."""

    def circuit_moved(self, state: Circuit) -> None:
        """The breaker changed its state."""

    def mode_moved(self, mode: Mode, operator: str | None = None) -> None:
        """An order changed the mode of all replicas. `operator` None: not known."""

    def budget_denied(self, purpose: Purpose, retry_after: float) -> None:
        """A call was not made because no budget was left."""

    def budget_waited(self, purpose: Purpose, seconds: float) -> None:
        """A call waited until it was free."""

    def gate_closed(self, scope: str, seconds: float, limit: int | None = None) -> None:
        """The upstream said 429, to this replica or to another one. No call is made for `seconds`.
        `limit`: the limit of calls afterwards (None: not known, or there is no limit)."""

    def gate_opened(self, scope: str) -> None:
        """The upstream gave an answer other than 429."""

    def stored(self, key: Key, verdict: StoreVerdict) -> None:
        """The store accepted an entry."""

    def not_stored(self, key: Key, reason: NotStoredReason) -> None:
        """An answer was not stored."""

    def invalidated(
        self,
        cause: Cause,
        training_id: str,
        count: int = 1,
        by: Origin = Origin.UPSTREAM,
        operator: str | None = None,
    ) -> None:
        """`count` entries became invalid. `training_id` is `*` if they are perhaps of several
        trainings. `operator` None: no order."""

    def write_unconfirmed(self, key: Key, confirmations: Confirmations | None) -> None:
        """A caller's write has perhaps changed the training, and not all replicas have confirmed
        that its stored responses are invalid. `confirmations` None: Redis did not accept the
        invalidation, so only this replica knows of it."""

    def fetched(
        self,
        key: Key,
        purpose: Purpose,
        status: int,
        verdict: StoreVerdict | NotStoredReason | None,
    ) -> None:
        """A fetch brought an answer. `verdict` None: the answer was only passed on."""

    def noted(self, key: Key, event: str, **fields: object) -> None:
        """Something happened to a training that only its journal tells."""

    def lagged(self, seconds: float) -> None:
        """A new version was noticed `seconds` after its `updated_at`."""

    def payload_rejected(self, reason: InvalidReason, training_id: str, what: str) -> None:
        """A body is no training, or no page of the list."""

    def drifted(self, kind: DriftKind, field_name: str) -> None:
        """A body that was accepted differs from the API's documentation."""

    def regressed(self, training_id: str) -> None:
        """The upstream answered with an older version than the known one."""

    def refresh_failed(self, key: Key, why: str, again_in: float) -> None:
        """A background refresh failed. The next try is in `again_in` seconds."""


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """What is known about a refused request or connection; "" stands for what is not known.

    peer      the address of the other end of the connection
    path      without the query, which could have a credential
    client    the client whose credential was accepted
    operator  the operator whose token lacks a right
    """

    peer: str = ""
    request_id: str = ""
    method: str = ""
    path: str = ""
    client: str = ""
    operator: str = ""


@dataclass(frozen=True, slots=True)
class AccessLine:
    """One answered request, for the access log. `parts`: the seconds that the request waited for
    each `Part` (None: it did not wait)."""

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


# The names of the attributes are those of OpenTelemetry's semantic conventions.
Attributes = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Served:
    """How a request ended. `route` is its `path` with `{id}` in place of the id. Both are None if
    no route matched the request."""

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
        """The value of the header field `traceparent` in requests that are sent within this span
        (W3C Trace Context, 3.2)."""

    def part(self, name: str) -> Span:
        """Begin a span within this one."""

    def note(self, attributes: Attributes) -> None:
        """Add attributes to the span."""

    def serve(self, served: Served) -> None:
        """Add to the span of a request how the request ended, and end the span."""

    def end(self, fault: str | None = None) -> None:
        """End the span. (`serve` ends the span of a request.) `fault` is the name of an error
        (None: no error)."""


class Tracer(Protocol):
    """Begins and sends the spans of requests. No request waits or fails because of tracing."""

    def keeps(self, traceparent: bytes | None) -> bool:
        """Whether a request's trace is kept. Without a valid `traceparent` (None), the result is
        perhaps random, so call this only once for each request."""

    def begin(self, traceparent: bytes | None, seconds: float = 0.0) -> Span:
        """Begin the span of a request whose trace is kept. The request began `seconds` ago."""

    async def close(self, patience: float) -> None:
        """Send the spans that still wait, for `patience` seconds at most."""
