"""A replica with all its floors but the drivers, and the answers that its upstream gives."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from gateway.adapters.ledger import Ledger, LocalBudget
from gateway.core.access.caller import Caller
from gateway.core.budget.window_log import BudgetRules, Rate, Rates, Start
from gateway.core.cache.entry import Key
from gateway.core.cache.policy import ByPolicy, Rules, Windows
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Headers, Reply
from gateway.core.vocabulary import Outcome
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.cache.tiers import Tiers
from gateway.flow.fill.backoff import Backoffs
from gateway.flow.fill.cold_start import ColdStart
from gateway.flow.fill.collapse import Collapsing
from gateway.flow.fill.credentials import Credentials
from gateway.flow.fill.fetch import Fetcher, Filled, Passed, Want
from gateway.flow.fill.refresher import Refresher
from gateway.flow.fill.under_way import UnderWay
from gateway.flow.fill.upstream_call import Outbound
from gateway.flow.gateway import Gateway
from gateway.flow.mode import Modes
from gateway.flow.operations.invalidation import Invalidation
from gateway.flow.request.client_directives import CallShare, Grants
from gateway.flow.request.min_version import Versions
from gateway.flow.request.response_selection import Answer, Ask, Serving
from gateway.flow.singleflight import Course
from gateway.ports import (
    AloneBus,
    AloneLease,
    AloneMode,
    Budget,
    Bus,
    Held,
    Lease,
    Notice,
    SharedStore,
)
from tests.doubles.budgets import rules_of
from tests.doubles.bus import Hub, HubBus
from tests.doubles.clock import FakeClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.redis_away import (
    CommonBudget,
    Switch,
    SwitchedBudget,
    SwitchedMode,
    SwitchedStore,
)
from tests.doubles.shared import InMemoryShared
from tests.doubles.upstream import ScriptedUpstream

KEY = Key("p1", "trn_1")
CALLER = Caller("passthrough", "default", "p1", "default", "token-1", owns_token=True)
OURS = Caller("open", "default", "p1", "default", "our-token", owns_token=False)
WINDOWS = Windows(soft_wait=60.0)
IMPATIENT = Windows(soft_wait=0.0)

# Ages of an entry that was fetched with those windows.
STALE = 31.0
SOFT = 400.0
UNUSABLE = 90_000.0


def epochs() -> Callable[[], str]:
    """Entropy that never repeats, and is the same each time."""
    counter = itertools.count(0xABC0)
    return lambda: f"{next(counter):016x}"


def training(minute: int, training_id: str = "trn_1", title: str = "Refunds") -> bytes:
    """The version of that minute, as upstream writes it; the clock starts in the 13th."""
    written = f"2023-11-14T22:{minute:02d}:00Z"
    return json.dumps(
        {
            "id": training_id,
            "title": title,
            "content": "Refund within 30 days.",
            "draft_title": None,
            "draft_content": None,
            "type": "BEHAVIORAL",
            "is_draft": False,
            "directory_id": None,
            "restricted_to_channels": [],
            "restricted_to_segments": [],
            "current_version": minute,
            "published_at": written,
            "created_at": "2023-11-01T00:00:00Z",
            "updated_at": written,
        }
    ).encode()


def ok(minute: int, *headers: tuple[bytes, bytes], training_id: str = "trn_1") -> Reply:
    """A 200 with the version of that minute."""
    fields: Headers = ((b"content-type", b"application/json"), *headers)
    return Reply(200, fields, training(minute, training_id))


def says(status: int, *headers: tuple[bytes, bytes], message: str = "No") -> Reply:
    """An error in the API's own words."""
    body = json.dumps({"statusCode": status, "message": message}).encode()
    return Reply(status, ((b"content-type", b"application/json"), *headers), body)


def page(status: int) -> Reply:
    """The CDN's own page."""
    return Reply(status, ((b"content-type", b"text/html"),), b"<html>Attention</html>")


def share_of(clock: FakeClock, rate: Rate | None, *, is_divided: bool = False) -> CallShare:
    """A tenth of that, in a process alone."""
    return CallShare(clock, Rates(rate), lambda: 1, is_divided=is_divided)


def gateway_of(
    replica: Replica, share: CallShare | None = None, *, of_directives: CallShare | None = None
) -> Gateway:
    """Its answers, with these shares of the budget: without them, no budget limits the calls."""
    serving, clock = replica.serving, replica.clock
    versions = Versions(serving, clock, share or share_of(clock, None))
    grants = Grants(clock, of_directives or share_of(clock, None))
    return Gateway(serving, replica.modes, versions=versions, grants=grants)


class Redis:
    """What replicas share, with a switch."""

    def __init__(self, clock: FakeClock, limit: int | None = None) -> None:
        self.switch = Switch()
        self.memory = InMemoryShared(clock, epochs())
        self.store = SwitchedStore(self.memory, self.switch)
        self.mode = SwitchedMode(self.switch)
        self.budget = CommonBudget(clock, limit)


class Replica:
    """One process of the gateway; without `redis` it is alone."""

    def __init__(
        self,
        clock: FakeClock,
        redis: Redis | None = None,
        *,
        windows: Windows = WINDOWS,
        rules: Rules | None = None,
        limit: int | None = None,
        caller: Caller = CALLER,
        hub: Hub | None = None,
        lease: Lease | None = None,
        room: int = 4,
        budget_rules: BudgetRules | None = None,
    ) -> None:
        rules = rules or ByPolicy(windows, vary=True)
        self.clock, self.caller = clock, caller
        self.upstream, self.observer = ScriptedUpstream(), RecordingObserver()
        self.local = LocalStore(1_000_000, lambda: None)
        budget_rules = budget_rules or rules_of(limit, start=Start.FULL)
        self.local_budget = LocalBudget(clock, budget_rules, is_reserve=redis is not None)
        ledger = Ledger(clock, epochs(), believe_after=windows.believe_after)
        self.shared: SharedStore = ledger if redis is None else redis.store
        self.bus: Bus = AloneBus() if hub is None else HubBus(hub, self.apply)
        self.tiers = Tiers(self.local, self.shared, self.bus, clock, rules, l1_lifetime=5.0)
        self.modes = Modes(AloneMode() if redis is None else redis.mode, clock, self.observer)
        self.budget: Budget = self.local_budget
        if redis is not None:
            self.budget = SwitchedBudget(redis.budget, redis.switch, self.local_budget)
        self.outbound = self._outbound(self.budget)
        self.credentials = Credentials(clock)
        self.tokens: dict[str, str] = {}  # by tenant, those that were rotated
        self.under_way = UnderWay(self.tiers)
        self.invalidation = Invalidation(
            *(self.tiers, self.shared, self.bus, self.observer),
            under_way=self.under_way,
            credentials=self.credentials,
            outbound=self.outbound,
        )
        self.fetcher = self._fetcher(rules)
        lease = lease or AloneLease(self.shared)
        backoffs = Backoffs(clock, windows.believe_after)
        self.collapsing = Collapsing(
            self.tiers, self.fetcher, lease, clock, timeout=10.0, backoffs=backoffs
        )
        self.refresher = Refresher(2 * room, self.local, clock)
        parts = self.tiers, self.collapsing, clock, self.observer, rules
        serve = partial(Serving, *parts, under_way=self.under_way, refresher=self.refresher)
        self.serving = serve(cold_start=ColdStart(10.0, self.budget, self.observer))
        self.gateway = gateway_of(self)

    def _fetcher(self, rules: Rules) -> Fetcher:
        return Fetcher(
            self.tiers,
            self.outbound,
            self.clock,
            self.observer,
            self.bus,
            credentials=self.credentials,
            rules=rules,
            current=self._current,
            refused=self.invalidation.refused,
        )

    def _current(self, caller: Caller) -> Caller:
        return replace(caller, token=self.tokens.get(caller.tenant, caller.token))

    def _outbound(self, budget: Budget) -> Outbound:
        return Outbound(
            self.upstream,
            budget,
            self.clock,
            self.observer,
            modes=self.modes,
            bus=self.bus,
        )

    def apply(self, notice: Notice) -> None:
        """What the bus hands over."""
        self.invalidation.apply(notice)

    def peek(self, key: Key = KEY) -> Answer | None:
        """What is answered at once."""
        return self.serving.peek(Ask(key, self.caller))

    async def get(self, key: Key = KEY, *, only_if_cached: bool = False) -> Answer:
        """What is answered."""
        return await self.gateway.get(Ask(key, self.caller, only_if_cached))

    async def fill(self, minute: int, key: Key = KEY, *headers: tuple[bytes, bytes]) -> Answer:
        """Let the upstream give the version of that minute, and fetch it."""
        self.upstream.then(ok(minute, *headers, training_id=key.training_id))
        return await self.get(key)

    async def fetch(self, want: Want) -> Filled | Passed:
        """What a fetch brings by itself, whatever is stored."""
        start = await self.tiers.begin(want.key)
        return await self.fetcher.fetch(want, start, Course(), self.clock.monotonic() + 10.0)

    async def land(self) -> None:
        """Let background work end."""
        await self.under_way.land(5.0)


def minute_of(answer: Answer) -> int:
    """Which version an answer brings."""
    assert isinstance(answer.content, Held)
    text = answer.content.entry.updated_at_text
    return int(text[14:16])


async def settle() -> None:
    """Let everybody run who can."""
    for _ in range(60):
        await asyncio.sleep(0)


async def serve_stale(replica: Replica, age: float = STALE) -> None:
    """Store the version of the first minute, and let it become so old."""
    await replica.fill(1)
    replica.clock.advance(age)


def marks(answer: Answer) -> tuple[int, Outcome, Handling]:
    """The version, and how it is marked."""
    return minute_of(answer), answer.outcome, answer.handling
