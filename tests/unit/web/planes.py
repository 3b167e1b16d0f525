"""Both planes as their tests ask them: real applications in this process, the world scripted."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote_to_bytes

import httpx
import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.adapters.ledger import Ledger, LocalBudget
from gateway.core.access.caller import Passthrough
from gateway.core.access.registry import Access, Callers
from gateway.core.budget.window_log import Rates, Start
from gateway.core.cache.policy import ByPolicy, Windows
from gateway.core.http.fields import Reply
from gateway.core.sweep.catalogue import Catalogue
from gateway.core.vocabulary import Outcome
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.cache.tiers import Tiers
from gateway.flow.fill.backoff import Backoffs
from gateway.flow.fill.cold_start import ColdStart
from gateway.flow.fill.collapse import Collapsing
from gateway.flow.fill.credentials import Credentials
from gateway.flow.fill.fetch import Fetcher
from gateway.flow.fill.refresher import Refresher
from gateway.flow.fill.under_way import UnderWay
from gateway.flow.fill.upstream_call import Outbound
from gateway.flow.gateway import Gateway
from gateway.flow.mode import Modes
from gateway.flow.operations.invalidation import Invalidation
from gateway.flow.operations.write_through import Writing
from gateway.flow.request.client_directives import CallShare, Grants
from gateway.flow.request.lists import Lists
from gateway.flow.request.min_version import Versions
from gateway.flow.request.response_selection import Serving
from gateway.ports import (
    AccessLine,
    AloneBus,
    AloneLease,
    AloneMode,
    Clock,
    SharedStore,
    Tracer,
)
from gateway.web.data.app import DataPlane
from tests.doubles.budgets import rules_of
from tests.doubles.clock import FakeClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.upstream import Answer, ScriptedUpstream

UPSTREAM = "http://upstream.test"
PASSTHROUGH = Passthrough(UPSTREAM, None, budget_per_credential=False)
AUTHORIZED = {"authorization": "Bearer t-1"}
UPDATED_AT = "2023-11-14T20:00:00Z"
Fields = dict[str, str] | list[tuple[str, str]]


def training_reply(training_id: str, *headers: tuple[bytes, bytes], words: str = "") -> Reply:
    """A whole training as the upstream sends it."""
    body = msgspec.json.encode(
        {"id": training_id, "title": words, "content": "x", "updated_at": UPDATED_AT}
    )
    return Reply(200, ((b"content-type", b"application/json"), *headers), body)


class ListAccessLog:
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[AccessLine] = []
        self.unlogged: list[float] = [0]
        self.brief = -1.0

    def is_routine(self, outcome: Outcome) -> bool:
        return False

    def weigh(
        self, outcome: Outcome, status: int, seconds: float, detail: str | None = None
    ) -> int | None:
        return logging.INFO

    def put(self, line: AccessLine, weight: int) -> None:
        self.lines.append(line)


class Data:
    """A data plane over real flow, with the upstream and the clock in the test's hands.

    `shared` makes what stands for Redis, of clock and entropy; without, the process is alone."""

    def __init__(
        self,
        *script: Answer,
        access: Access = PASSTHROUGH,
        limit: int | None = None,
        forward: frozenset[bytes] = frozenset(),
        heeds_directives: bool = False,
        writes: bool = False,
        shared: Callable[[Clock, Callable[[], str]], SharedStore] = Ledger,
        tracer: Tracer | None = None,
        patience: float = 10.0,
    ) -> None:
        self.clock = FakeClock()
        self.shared = shared(self.clock, lambda: "0123456789abcdef")
        self.observer = RecordingObserver()
        self.upstream = ScriptedUpstream(*script)
        self.access_log = ListAccessLog()
        self.ready = True
        self.catalogue: Catalogue | None = None
        self.items: Counter[Outcome] = Counter()
        self.local = LocalStore(1_000_000, lambda: None)
        self.callers = Callers(access)
        self.serving = self._serving(limit)
        share = CallShare(self.clock, Rates(None), lambda: 1, is_divided=True)
        grants = Grants(self.clock, share) if heeds_directives else None
        versions = Versions(self.serving, self.clock, share)
        self.plane = DataPlane(
            self.serving,
            self.callers,
            self.clock,
            self.observer,
            self.access_log,
            tracer=tracer,
            gateway=Gateway(self.serving, self.modes, versions=versions, grants=grants),
            writing=self.writing if writes else None,
            max_body=1_000,
            lists=self.lists,
            patience=patience,
            count_items=self.items.update,
            forward_headers=forward,
            new_id=lambda: b"made-here",
            ready=lambda: self.ready,
        )
        self.application = self.plane.application()

    async def ask(
        self,
        path: str,
        method: str = "GET",
        headers: Fields | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Send the path as it is written, with a credential unless headers are given."""
        fields = AUTHORIZED if headers is None else headers
        return await ask(self.application, path, method, fields, content)

    def _serving(self, limit: int | None) -> Serving:
        clock, observer = self.clock, self.observer
        rules = ByPolicy(Windows(), vary=True)
        tiers = self.tiers = Tiers(
            self.local, self.shared, AloneBus(), clock, rules, l1_lifetime=5.0
        )
        budget = LocalBudget(clock, rules_of(limit, start=Start.FULL))
        modes = self.modes = Modes(AloneMode(), clock, observer)
        told = clock, observer
        outbound = Outbound(self.upstream, budget, *told, modes=modes, bus=AloneBus())
        credentials = Credentials(clock)
        under_way = UnderWay(tiers)
        invalidation = Invalidation(
            *(tiers, self.shared, AloneBus(), observer),
            under_way=under_way,
            credentials=credentials,
            outbound=outbound,
        )
        fetcher = Fetcher(
            tiers,
            outbound,
            clock,
            observer,
            AloneBus(),
            credentials=credentials,
            rules=rules,
            current=lambda caller: caller,
            refused=invalidation.refused,
        )
        backoffs = Backoffs(clock, rules.windows.believe_after)
        lease = AloneLease(self.shared)
        collapsing = Collapsing(tiers, fetcher, lease, clock, timeout=10.0, backoffs=backoffs)
        refresher = Refresher(8, self.local, clock)
        served = partial(Serving, refresher=refresher, cold_start=ColdStart(10.0, budget, observer))
        serving = served(tiers, collapsing, clock, observer, rules, under_way=under_way)
        self.invalidation = invalidation
        self.lists = Lists(
            serving,
            tiers,
            fetcher,
            lambda _: self.catalogue,
            kept=LocalStore(1_000_000, lambda: None),
            timeout=10.0,
        )
        self.writing = Writing(outbound, invalidation, credentials, clock, timeout=10.0)
        return serving


async def ask(
    application: ASGIApp,
    path: str,
    method: str = "GET",
    headers: Fields | None = None,
    content: bytes | None = None,
) -> httpx.Response:
    """One request through ASGI; what the application raises is raised."""
    fields = httpx.Headers(headers, encoding="latin-1")
    transport = httpx.ASGITransport(_verbatim(application, path))
    async with httpx.AsyncClient(transport=transport) as client:
        url = "http://127.0.0.1:8081/"
        return await client.request(method, url, headers=fields, content=content)


async def bytes_sent(application: ASGIApp, path: str, method: str) -> int:
    """How long a body the application itself sends: httpx hides what follows a HEAD."""
    bodies: list[bytes] = []

    async def overheard(scope: Scope, receive: Receive, send: Send) -> None:
        async def keep(message: Message) -> None:
            bodies.append(message.get("body", b""))
            await send(message)

        await application(scope, receive, keep)

    await ask(overheard, path, method, AUTHORIZED)
    return sum(map(len, bodies))


def _verbatim(application: ASGIApp, path: str) -> ASGIApp:
    """Let the path arrive as it is written: httpx resolves `..` and escapes what is odd."""
    raw, _, query = path.encode("ascii").partition(b"?")

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        decoded = unquote_to_bytes(raw).decode("utf-8", "replace")
        named = {"path": decoded, "raw_path": raw, "query_string": query}
        await application({**scope, **named}, receive, send)

    return asked


def problem_word(response: httpx.Response) -> str:
    """The word of a problem response that is one in every respect."""
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["title"]
    assert problem["detail"]
    return str(problem["type"].removeprefix("urn:gateway:problem:"))
