"""The orders and reports of `/_control/`, and a client for both.

A key is an API key: the bearer token of a call.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from types import TracebackType
from typing import Annotated

import httpx
import msgspec

from gateway.simulator.answers import ETagForm
from gateway.simulator.faults import CallKind, FaultMode
from gateway.simulator.limiter import RetryAfter
from gateway.simulator.training import Document, Revision, TrainingInput

_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Count = Annotated[int, msgspec.Meta(ge=1)]


class Scope(StrEnum):
    """What the calls with a key may do."""

    FULL = "full"
    READ = "read"
    NONE = "none"


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order to the simulator. An unknown field is an error.

    In all orders, `org` is an organisation (None: the organisation of the first configured key).
    """


class FaultOrder(Order, frozen=True, kw_only=True):
    """Add a fault. It ends when `count` calls have met it, or when all faults are cleared. If
    `count` is None, any number of calls can meet it. `Fault` explains the other fields."""

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
    """Change a training's content. If `content` is None, the simulator makes it up. If
    `updated_at` is None, the training gets the time of the edit."""

    id: str
    content: str | None = None
    updated_at: datetime | None = None
    org: str | None = None


class DeleteOrder(Order, frozen=True, kw_only=True):
    """Remove a training."""

    id: str
    org: str | None = None


class InsertOrder(Order, frozen=True, kw_only=True):
    """Add a training. If there is one with this id, it is replaced. An `id` or `training` that is
    None is made up."""

    id: str | None = None
    training: TrainingInput | None = None
    org: str | None = None


class EditingOrder(Order, frozen=True, kw_only=True):
    """Edit a random training every `every` seconds (0: never)."""

    every: _Seconds


class LimitOrder(Order, frozen=True, kw_only=True):
    """Set another limit (None: no call is refused). Earlier calls do not count towards it."""

    limit: _Count | None
    window: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    retry_after: RetryAfter = RetryAfter.SECONDS


class LatencyOrder(Order, frozen=True, kw_only=True):
    """Before each answer, wait for `latency` seconds and a random time of at most `jitter` seconds.
    Calls beyond the limit are refused without a wait."""

    latency: _Seconds
    jitter: _Seconds = 0.0


class AnswersOrder(Order, frozen=True, kw_only=True):
    """Set the optional headers of answers. If the order leaves a setting out, the setting gets its
    default.

    etag           the kind of `ETag` in answers to a `GET` for one training
    last_modified  whether answers to a `GET` for one training have `Last-Modified`
    cache_control  the `Cache-Control` of answers with 200 or 304 (None: no such header)
    cookie         whether answers have a `Set-Cookie`
    """

    etag: ETagForm = ETagForm.NONE
    last_modified: bool = False
    cache_control: str | None = None
    cookie: bool = True


class KeyOrder(Order, frozen=True, kw_only=True):
    """Accept the key `token` for an organisation, or revoke it."""

    token: str
    org: str | None = None
    scope: Scope = Scope.FULL
    revoked: bool = False


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of calls to the API since the last reset. But `in_flight` is the number of calls
    that are under way now.

    In `by_status`, a call without an answer counts as `none`. A change of the limit resets
    `fullest_window` and `fullest_window_asked`.
    """

    requests: int
    by_endpoint: dict[str, int]
    by_status: dict[str, int]
    by_id: dict[str, int]
    by_key: dict[str, int]
    in_flight: int
    in_flight_max: int
    fullest_window: dict[str, int]
    """Per key, the most calls that were accepted in any window."""
    fullest_window_asked: dict[str, int]
    """Per key, the most calls in any window, accepted and refused ones together."""
    rate_limited: int


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request to the API, without its body. `at` is the time when it arrived, in seconds of
    the monotonic clock of the simulator's process."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    at: float
    key: str | None


_PATIENCE = 30.0
# The simulator speaks http only. The context that httpx makes by itself takes 50 ms.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class SimulatorClient:
    """Sends orders to a simulator, and gets its reports. Raises `httpx.HTTPStatusError` if the
    simulator refuses a request."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"{base_url}/_control", verify=_NO_TLS, trust_env=False, timeout=_PATIENCE
        )

    async def __aenter__(self) -> SimulatorClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def fault(
        self,
        mode: FaultMode | str,
        *,
        ids: Iterable[str] | None = None,
        on: Iterable[CallKind | str] | None = None,
        count: int | None = None,
        delay: float | None = None,
        size: int | None = None,
    ) -> None:
        """Send a `FaultOrder`. `delay` is in seconds."""
        order = FaultOrder(
            mode=FaultMode(mode),
            ids=None if ids is None else frozenset(ids),
            on=None if on is None else frozenset(map(CallKind, on)),
            count=count,
            delay=delay,
            size=size,
        )
        await self._post("fault", order)

    async def clear_faults(self) -> None:
        """End all faults. Calls that wait because of the fault `held` are answered now."""
        (await self._http.delete("fault")).raise_for_status()

    async def revision(self, name: Revision | str) -> None:
        """Send a `RevisionOrder`."""
        await self._post("revision", RevisionOrder(name=Revision(name)))

    async def edit(
        self,
        training_id: str,
        content: str | None = None,
        *,
        updated_at: datetime | None = None,
        org: str | None = None,
    ) -> Document:
        """Send an `EditOrder`. Returns the edited training."""
        order = EditOrder(id=training_id, content=content, updated_at=updated_at, org=org)
        return _document(await self._post("edit", order))

    async def delete(self, training_id: str, *, org: str | None = None) -> Document:
        """Remove a training, and return its last state."""
        return _document(await self._post("delete", DeleteOrder(id=training_id, org=org)))

    async def insert(
        self,
        training: TrainingInput | None = None,
        *,
        training_id: str | None = None,
        org: str | None = None,
    ) -> Document:
        """Send an `InsertOrder`. Returns the new training."""
        order = InsertOrder(id=training_id, training=training, org=org)
        return _document(await self._post("insert", order))

    async def editing(self, every: float) -> None:
        """Send an `EditingOrder`."""
        await self._post("editing", EditingOrder(every=every))

    async def limit(
        self,
        limit: int | None,
        window: float = 60.0,
        retry_after: RetryAfter | str = RetryAfter.SECONDS,
    ) -> None:
        """Send a `LimitOrder`."""
        order = LimitOrder(limit=limit, window=window, retry_after=RetryAfter(retry_after))
        await self._post("limit", order)

    async def latency(self, latency: float, jitter: float = 0.0) -> None:
        """Send a `LatencyOrder`."""
        await self._post("latency", LatencyOrder(latency=latency, jitter=jitter))

    async def answers(
        self,
        *,
        etag: ETagForm | str = ETagForm.NONE,
        last_modified: bool = False,
        cache_control: str | None = None,
        cookie: bool = True,
    ) -> None:
        """Send an `AnswersOrder`."""
        order = AnswersOrder(
            etag=ETagForm(etag),
            last_modified=last_modified,
            cache_control=cache_control,
            cookie=cookie,
        )
        await self._post("answers", order)

    async def add_key(
        self, token: str, org: str | None = None, scope: Scope | str = Scope.FULL
    ) -> None:
        """Accept a key. A new organisation gets a catalogue of its own."""
        await self._post("keys", KeyOrder(token=token, org=org, scope=Scope(scope)))

    async def revoke_key(self, token: str) -> None:
        """Stop accepting a key."""
        await self._post("keys", KeyOrder(token=token, revoked=True))

    async def stats(self) -> Stats:
        """The counts since the last reset."""
        return msgspec.json.decode(await self._get("stats"), type=Stats)

    async def reset_stats(self) -> None:
        """Begin all counts again from 0, and forget the recorded requests. Calls in flight still
        count as in flight."""
        (await self._http.post("reset-stats")).raise_for_status()

    async def requests(self) -> list[RequestRecord]:
        """The last thousand requests, oldest first."""
        return msgspec.json.decode(await self._get("requests"), type=list[RequestRecord])

    async def body(self, training_id: str, *, org: str | None = None) -> bytes:
        """The body with which the API answers a `GET` for the training if there is no fault. This
        report does not count as a call."""
        return await self._get(f"training/{training_id}", {} if org is None else {"org": org})

    async def _post(self, path: str, order: Order) -> bytes:
        return (await self._http.post(path, content=_encoded(order))).raise_for_status().content

    async def _get(self, path: str, params: dict[str, str] | None = None) -> bytes:
        return (await self._http.get(path, params=params)).raise_for_status().content


def _encoded(order: Order) -> bytes:
    return msgspec.json.encode(order)


def _document(body: bytes) -> Document:
    return msgspec.json.decode(body, type=Document)
