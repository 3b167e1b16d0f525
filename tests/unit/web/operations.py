"""The admin plane as its tests ask it, with operations that say what they are told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import httpx
from starlette.applications import Starlette

from gateway.core.access.operators import Operator, Operators
from gateway.core.instant import Instant
from gateway.core.vocabulary import Mode
from gateway.ports import Confirmations
from gateway.web.admin.app import AdminPlane, Place
from tests.doubles.clock import FakeClock
from tests.doubles.observer import RecordingObserver
from tests.unit.web.planes import Fields, ask


class CannedSight:
    """Tells so many lines, each with the place that it was asked about."""

    def __init__(self) -> None:
        self.lines = 3

    def tell(self, place: Place) -> tuple[dict[str, object], Place]:
        return {"place": place}, (place[0] + 2, place[1] + 1)

    async def pause(self) -> bool:
        self.lines -= 1
        return self.lines > 0


class CannedOperations:
    """Says what it was given, and remembers what was asked; `failure` is raised instead."""

    def __init__(self) -> None:
        self.ready = True
        self.words: dict[str, object] = {"ready": True, "budgets": {}}
        self.failure: Exception | None = None
        self.accepts: list[str] = []
        self.pieces: list[bytes] = []
        self.watched = CannedSight()
        self.explained: list[tuple[str, str | None]] = []
        self.confirmations = Confirmations(known=1, confirmed=1)
        self.invalidated: list[tuple[tuple[str, ...], Instant | None]] = []
        self.ordered_by: list[str] = []
        self.soft: list[bool] = []
        self.modes: list[Mode] = []
        self.purged: list[tuple[str | None, bool]] = []

    def metrics(self, accept: str) -> tuple[Iterator[bytes], str]:
        self.accepts.append(accept)
        return self._pieces(), "text/plain; version=0.0.4; charset=utf-8"

    def _pieces(self) -> Iterator[bytes]:
        for piece in (b"gateway_ready", b" 1\n"):
            self.pieces.append(piece)
            yield piece

    def is_ready(self) -> bool:
        return self.ready

    def status(self) -> dict[str, object]:
        if self.failure is not None:
            raise self.failure
        return self.words

    async def explain(self, training_id: str, partition: str | None) -> dict[str, object]:
        self.explained.append((training_id, partition))
        if self.failure is not None:
            raise self.failure
        return {"id": training_id, "partition": partition}

    async def invalidate(
        self, training_ids: tuple[str, ...], updated_at: Instant | None, *, soft: bool, by: str
    ) -> Confirmations:
        self.soft.append(soft)
        self.ordered_by.append(by)
        self.invalidated.append((training_ids, updated_at))
        return self._confirmed()

    async def purge(self, partition: str | None, *, soft: bool, by: str) -> Confirmations:
        self.ordered_by.append(by)
        self.purged.append((partition, soft))
        return self._confirmed()

    async def set_mode(self, mode: Mode, *, by: str) -> None:
        self.ordered_by.append(by)
        self._confirmed()
        self.modes.append(mode)

    def _confirmed(self) -> Confirmations:
        if self.failure is not None:
            raise self.failure
        return self.confirmations


class Admin:
    """An admin plane and what stands behind it."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        token: str | None = None,
        listed: Iterable[Operator] | None = None,
    ) -> None:
        self.operations = CannedOperations()
        self.observer = RecordingObserver()
        self.operators = Operators(token, listed)
        self._host = host
        self.application = self.remade()

    def remade(self) -> Starlette:
        """The plane made anew over the operations as they are."""
        ids = (f"id-{number}" for number in range(1, 1_000))
        return AdminPlane(
            self.operations,
            FakeClock(),
            self.observer,
            host=self._host,
            operators=self.operators,
            new_id=lambda: next(ids),
        ).application()

    async def ask(
        self, path: str, method: str = "GET", headers: Fields | None = None
    ) -> httpx.Response:
        """Send the path as it is written, to 127.0.0.1 unless a Host is given."""
        return await ask(self.application, path, method, headers)

    async def order(self, path: str, body: bytes, headers: Fields | None = None) -> httpx.Response:
        """Post the body as JSON, unless other headers are given."""
        fields = {"content-type": "application/json"} if headers is None else headers
        return await ask(self.application, path, "POST", fields, body)
