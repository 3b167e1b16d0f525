"""What is said over `/_control/`: the orders and the reports, the same types at both ends."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from gateway.simulator.calls import CallKind
from gateway.simulator.conditional import ETagForm
from gateway.simulator.faults import FaultMode
from gateway.simulator.keys import Scope
from gateway.simulator.limiter import RetryAfter
from gateway.simulator.revisions import Revision
from gateway.simulator.training import TrainingInput

_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Count = Annotated[int, msgspec.Meta(ge=1)]


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request to the simulator itself; an unknown field is a typing error, never ignored."""


class FaultOrder(Order, frozen=True, kw_only=True):
    """Misbehave: for these ids (all), these kinds of call (all), so many times (until cleared)."""

    mode: FaultMode
    ids: frozenset[str] | None = None
    on: frozenset[CallKind] | None = None
    count: _Count | None = None
    delay: _Seconds | None = None
    size: _Count | None = None


class RevisionOrder(Order, frozen=True, kw_only=True):
    """Answer in this revision of the schema."""

    name: Revision


class EditOrder(Order, frozen=True, kw_only=True):
    """Publish new content (made up when absent), at an instant of the caller's if told."""

    id: str
    content: str | None = None
    updated_at: datetime | None = None
    org: str | None = None


class DeleteOrder(Order, frozen=True, kw_only=True):
    """Remove a training."""

    id: str
    org: str | None = None


class InsertOrder(Order, frozen=True, kw_only=True):
    """Add a training; what is absent is made up."""

    id: str | None = None
    training: TrainingInput | None = None
    org: str | None = None


class EditingOrder(Order, frozen=True, kw_only=True):
    """Edit a random training every so many seconds; 0 stops."""

    every: _Seconds


class LimitOrder(Order, frozen=True, kw_only=True):
    """Another rate limit, with nothing spent of it yet; `limit: null` counts and never refuses."""

    limit: _Count | None
    window: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    retry_after: RetryAfter = RetryAfter.SECONDS


class LatencyOrder(Order, frozen=True, kw_only=True):
    """Seconds before each answer."""

    latency: _Seconds
    jitter: _Seconds = 0.0


class AnswersOrder(Order, frozen=True, kw_only=True):
    """The optional headers of the answers; what is left out becomes the default again."""

    etag: ETagForm = ETagForm.NONE
    last_modified: bool = False
    cache_control: str | None = None
    cookie: bool = True


class KeyOrder(Order, frozen=True, kw_only=True):
    """Put a key in force for an organisation, or revoke it."""

    token: str
    org: str | None = None
    scope: Scope = Scope.FULL
    revoked: bool = False


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What the API was asked since the last reset; a call without answer has status `none`."""

    requests: int
    by_endpoint: dict[str, int]
    by_status: dict[str, int]
    by_id: dict[str, int]
    by_key: dict[str, int]
    in_flight: int
    in_flight_max: int
    fullest_window: dict[str, int]
    """Per key, the most calls accepted in any window."""
    fullest_window_asked: dict[str, int]
    """Per key, the most calls that arrived in any window, refused ones included."""
    rate_limited: int
    """429s sent."""


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it arrived; `at` is monotonic seconds of the simulator's process."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    at: float
    key: str | None
