"""Where events become metrics and log lines."""

from __future__ import annotations

from typing import Protocol

from gateway.core.cache.entry import Key
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
from gateway.ports.held import Count


class Observer(Protocol):
    """Where events become metrics and log lines. No verb raises, none awaits."""

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
        """A request to the data plane was answered; `trace` is the id of one that is sampled."""
        ...

    def client_result(self, client: str, result: str) -> None:
        """`served`, `limited` or `refused`."""
        ...

    def counting(self, outcome: Outcome, tier: Tier, status: int) -> Count:
        """What says `requested`, and `client_result` of one served, of each such answer: the
        short way of a hit, for which nothing has to be looked up."""
        ...

    def call_started(self, purpose: Purpose) -> None:
        """A call goes upstream."""
        ...

    def call_ended(
        self, purpose: Purpose, status: int | None, seconds: float, trace: bytes | None = None
    ) -> None:
        """A call ended, with a status or without an answer; `trace` is the id of one that is
        sampled."""
        ...

    def upstream_failed(self, reason: FailureReason, training_id: str, what: str) -> None:
        """A call brought no answer of the API."""
        ...

    def token_refused(self, scope: str) -> None:
        """The upstream said 401 to the gateway's own token of that scope."""
        ...

    def circuit_moved(self, state: Circuit) -> None:
        """The upstream's breaker changed its state."""
        ...

    def mode_moved(self, mode: Mode, operator: str | None = None) -> None:
        """All replicas are to serve in another mode; `operator` as above, None: not known."""
        ...

    def budget_denied(self, purpose: Purpose, retry_after: float) -> None:
        """A call was not made for lack of budget."""
        ...

    def budget_waited(self, purpose: Purpose, seconds: float) -> None:
        """A call waited so long for its turn."""
        ...

    def gate_closed(self, scope: str, seconds: float) -> None:
        """The upstream said 429."""
        ...

    def gate_opened(self, scope: str) -> None:
        """The upstream answers again."""
        ...

    def stored(self, key: Key, verdict: StoreVerdict) -> None:
        """An entry was stored, for the first time, changed or renewed."""
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
        """Entries became invalid; `*` for what concerns no single training. `operator` is the name
        of the one who ordered it, None where nobody did."""
        ...

    def outdated(self, key: Key) -> None:
        """Another replica stored a later version than the one held here."""
        ...

    def fetched(
        self,
        key: Key,
        purpose: Purpose,
        status: int,
        verdict: StoreVerdict | NotStoredReason | None,
    ) -> None:
        """A fetch brought an answer that was stored, or not; None: it was passed on alone."""
        ...

    def fetch_failed(self, key: Key, purpose: Purpose, why: str) -> None:
        """A fetch brought nothing, or was not made."""
        ...

    def swept(self, key: Key, found: str) -> None:
        """The sweep saw it in the upstream's list, and what that says of it (ListVerdict)."""
        ...

    def sweep_ended(self, tenant: str, complete: bool, trainings: int) -> None:
        """The list was gone through; `complete`: it agreed with itself all the while."""
        ...

    def sweep_off(self, tenant: str, why: str, seconds: float | None) -> None:
        """The list is left alone for so long (None: for good); all tenants' where it is ""."""
        ...

    def filling_stopped(self, tenant: str, taken_back: int) -> None:
        """The list's bytes are not those of single answers: what was stored of them goes."""
        ...

    def bound_stated(self, tenant: str, seconds: float, *, trainings: int | None) -> None:
        """No answer is older than that; without `trainings` nobody looks ahead."""
        ...

    def sweep_too_slow(
        self, tenant: str, seconds: float, *, trainings: int, lifetime: float
    ) -> None:
        """The bound that settings allow for so many trainings is beyond the freshness lifetime."""
        ...

    def lagged(self, seconds: float) -> None:
        """A new version is served so long after its `updated_at`."""
        ...

    def payload_rejected(self, reason: InvalidReason, training_id: str, what: str) -> None:
        """A body is no training."""
        ...

    def drifted(self, kind: DriftKind, field_name: str) -> None:
        """A body differs from its documentation and was taken all the same."""
        ...

    def regressed(self, training_id: str) -> None:
        """An older version than the floor's came from upstream."""
        ...

    def evicted(self, tier: Tier) -> None:
        """An entry was removed for space."""
        ...

    def redis_timed(self, operation: RedisOperation, seconds: float) -> None:
        """Redis answered."""
        ...

    def redis_failed(self, operation: RedisOperation, why: str) -> None:
        """Redis did not answer, or nonsense."""
        ...

    def bus_failed(self, why: str) -> None:
        """A message on the bus made no sense, or could not be acted upon."""
        ...

    def redis_moved(self, up: bool, node: str = "") -> None:
        """Redis, or where it has several nodes that one, went away or came back."""
        ...

    def envelope_refused(self, why: str) -> None:
        """What Redis held under a key of ours is no entry that we can read."""
        ...

    def access_refused(self, reason: AccessRefusal, request_id: str = "", by: str = "") -> None:
        """A caller was turned away; the id where one request is known for it, the name where it
        is an operator's."""
        ...

    def refresh_failed(self, key: Key, why: str, again_in: float) -> None:
        """A background refresh failed and backs off so many seconds."""
        ...
