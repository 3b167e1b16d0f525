"""A client of the control side, for tests and the demo. Must not reach the API itself."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from types import TracebackType

import httpx
import msgspec

from gateway.simulator.calls import CallKind
from gateway.simulator.conditional import ETagForm
from gateway.simulator.faults import FaultMode
from gateway.simulator.keys import Scope
from gateway.simulator.limiter import RetryAfter
from gateway.simulator.messages import (
    AnswersOrder,
    DeleteOrder,
    EditingOrder,
    EditOrder,
    FaultOrder,
    InsertOrder,
    KeyOrder,
    LatencyOrder,
    LimitOrder,
    Order,
    RequestRecord,
    RevisionOrder,
    Stats,
)
from gateway.simulator.revisions import Document, Revision
from gateway.simulator.training import TrainingInput

_PATIENCE = 30.0


class SimulatorClient:
    """Steers a simulator by HTTP; a refused order raises `httpx.HTTPStatusError`."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"{base_url}/_control", trust_env=False, timeout=_PATIENCE
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
        """Misbehave from now on, for `count` calls or until cleared; `delay` in seconds."""
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
        """Behave again, and let go the calls that are held."""
        (await self._http.delete("fault")).raise_for_status()

    async def revision(self, name: Revision | str) -> None:
        """Answer in another revision of the schema."""
        await self._post("revision", RevisionOrder(name=Revision(name)))

    async def edit(
        self,
        training_id: str,
        content: str | None = None,
        *,
        updated_at: datetime | None = None,
        org: str | None = None,
    ) -> Document:
        """Publish new content (made up when `None`) and return the training after it."""
        order = EditOrder(id=training_id, content=content, updated_at=updated_at, org=org)
        return _document(await self._post("edit", order))

    async def delete(self, training_id: str, *, org: str | None = None) -> Document:
        """Remove a training and return it as it last was."""
        return _document(await self._post("delete", DeleteOrder(id=training_id, org=org)))

    async def insert(
        self,
        training: TrainingInput | None = None,
        *,
        training_id: str | None = None,
        org: str | None = None,
    ) -> Document:
        """Add a training, made up where nothing is given, and return it."""
        order = InsertOrder(id=training_id, training=training, org=org)
        return _document(await self._post("insert", order))

    async def editing(self, every: float) -> None:
        """Edit random trainings every so many seconds; 0 stops."""
        await self._post("editing", EditingOrder(every=every))

    async def limit(
        self,
        limit: int | None,
        window: float = 60.0,
        retry_after: RetryAfter | str = RetryAfter.SECONDS,
    ) -> None:
        """Another rate limit, with nothing spent of it yet; `None` never refuses."""
        order = LimitOrder(limit=limit, window=window, retry_after=RetryAfter(retry_after))
        await self._post("limit", order)

    async def latency(self, latency: float, jitter: float = 0.0) -> None:
        """Seconds before each answer."""
        await self._post("latency", LatencyOrder(latency=latency, jitter=jitter))

    async def answers(
        self,
        *,
        etag: ETagForm | str = ETagForm.NONE,
        last_modified: bool = False,
        cache_control: str | None = None,
        cookie: bool = True,
    ) -> None:
        """The optional headers of the answers; what is left out becomes the default again."""
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
        """Put a key in force; a new organisation gets a catalogue of its own."""
        await self._post("keys", KeyOrder(token=token, org=org, scope=Scope(scope)))

    async def revoke_key(self, token: str) -> None:
        """Take a key out of force."""
        await self._post("keys", KeyOrder(token=token, revoked=True))

    async def stats(self) -> Stats:
        """What the API was asked since the last reset."""
        return msgspec.json.decode(await self._get("stats"), type=Stats)

    async def reset_stats(self) -> None:
        """Count anew."""
        (await self._http.post("reset-stats")).raise_for_status()

    async def requests(self) -> list[RequestRecord]:
        """The last thousand requests, oldest first."""
        return msgspec.json.decode(await self._get("requests"), type=list[RequestRecord])

    async def body(self, training_id: str, *, org: str | None = None) -> bytes:
        """The bytes that the API answers for this training now, uncounted and without faults."""
        return await self._get(f"training/{training_id}", {} if org is None else {"org": org})

    async def _post(self, path: str, order: Order) -> bytes:
        return (await self._http.post(path, content=_encoded(order))).raise_for_status().content

    async def _get(self, path: str, params: dict[str, str] | None = None) -> bytes:
        return (await self._http.get(path, params=params)).raise_for_status().content


def _encoded(order: Order) -> bytes:
    return msgspec.json.encode(order)


def _document(body: bytes) -> Document:
    return msgspec.json.decode(body, type=Document)
