"""A replica that sweeps an upstream with a list, on a clock that goes as told."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

import pytest

from gateway.adapters.ledger import Ledger, LedgerSweep
from gateway.core.access.caller import Caller
from gateway.core.budget.window_log import BudgetRules, Rate
from gateway.core.cache.entry import Key
from gateway.core.errors import RedisUnavailable
from gateway.core.http.fields import Reply
from gateway.core.sweep.belief import Belief, SweepStore
from gateway.core.sweep.staleness_bound import Pace
from gateway.flow.sweep.reconciliation import Reconciliation
from gateway.flow.sweep.sweep import Sweep
from gateway.ports import AloneBus, Bus, Call, SharedSweep
from tests.doubles.clock import FakeClock
from tests.doubles.shared import InMemorySweep
from tests.unit.flow.house import OURS, Redis, Replica, minute_of, ok, says, settle, training

# Ten pages a minute and no margin to speak of: a page each 6.1 s.
PACE = Pace(Rate(10, 60.0), 1.0, None, 30.0, 0.0)
PAUSE_AFTER = 300.0


async def _nothing(_: Call) -> None:
    """Nothing happens during a call."""


async def _refused(_caller: Caller, _status: int) -> None:
    """Nothing follows."""


class Catalogue:
    """An upstream with a list: ids and the minutes of their versions, newest first."""

    def __init__(self, *ids: str) -> None:
        self.minutes = dict.fromkeys(ids, 1)
        self.page_size = 100
        self.date: bytes | None = None
        self.during: Callable[[Call], Awaitable[None]] = _nothing
        self.instead: Callable[[Call], Reply | None] = lambda _: None
        self.asked: list[str | int] = []

    async def answer(self, call: Call) -> Reply:
        """What the API says."""
        if call.query is not None:
            self.asked.append(f"?{call.query.decode()}")
        else:
            self.asked.append(call.training_id if call.offset is None else call.offset)
        await self.during(call)
        instead = self.instead(call)
        if instead is not None:
            return instead
        if call.offset is not None:
            limit = parse_qs((call.query or b"limit=100").decode())["limit"][0]
            return self.page(call.offset, int(limit))
        minute = self.minutes.get(call.training_id)
        return says(404) if minute is None else ok(minute, training_id=call.training_id)

    def page(self, offset: int, limit: int = 100) -> Reply:
        """The page from that row on."""
        rows = list(self.minutes.items())
        shown = rows[offset : offset + min(limit, self.page_size)]
        items = b",".join(training(minute, each) for each, minute in shown)
        more = offset + len(shown) < len(rows)
        told = {"total": len(rows), "limit": limit, "offset": offset, "has_more": more}
        rest = json.dumps(told, separators=(",", ":"))[1:]
        body = b'{"items":[' + items + b"]," + rest.encode()
        # The API's clock stands at the hour, before all versions: none of them was missed.
        date = b"Tue, 14 Nov 2023 22:00:00 GMT" if self.date is None else self.date
        fields = (b"content-type", b"application/json"), (b"link", b"</2>; rel=next")
        return Reply(200, (*fields, (b"date", date)), body)

    @property
    def pages_asked(self) -> list[int]:
        """From which rows pages were asked for."""
        return [each for each in self.asked if isinstance(each, int)]


class Swept:
    """A replica and its sweep; steps are taken by hand."""

    def __init__(
        self,
        clock: FakeClock,
        catalogue: Catalogue,
        redis: Redis | None = None,
        *,
        limit: int | None = None,
        bus: Bus | None = None,
        warms: bool = True,
        pace: Pace = PACE,
        store: SweepStore = SweepStore.AUTO,
        room: int = 50,
        budget_rules: BudgetRules | None = None,
    ) -> None:
        self.clock = clock
        self.catalogue = catalogue
        self.replica = Replica(
            clock, redis, caller=OURS, limit=limit, room=room, budget_rules=budget_rules
        )
        self.replica.upstream.always = catalogue.answer
        self.shared = self._shared(redis)
        self.pages = self._pages(self.shared, bus or AloneBus())
        self.reads = 0
        self.sweep = Sweep(
            self.pages,
            OURS,
            lambda: pace,
            lambda: self.reads,
            store=store,
            warms=warms,
        )

    def _pages(self, shared: SharedSweep, bus: Bus) -> Reconciliation:
        replica = self.replica
        return Reconciliation(
            sweeps=shared,
            outbound=replica.outbound,
            tiers=replica.tiers,
            local=replica.local,
            shared=replica.shared,
            bus=bus,
            serving=replica.serving,
            rules=replica.serving._rules,
            clock=self.clock,
            observer=replica.observer,
            timeout=10.0,
            refused=_refused,
        )

    def _shared(self, redis: Redis | None) -> SharedSweep:
        if redis is not None:
            return InMemorySweep(redis.memory, self.clock, pause_after=PAUSE_AFTER)
        assert isinstance(self.replica.shared, Ledger)
        return LedgerSweep(self.replica.shared, self.clock, pause_after=PAUSE_AFTER)

    @property
    def belief(self) -> Belief:
        """How far the list is believed."""
        assert self.sweep.progress is not None
        return self.sweep.progress.belief

    async def step(self) -> float:
        """One step of the sweep, and its single calls; somebody read meanwhile."""
        self.reads += 1
        pause = await self.sweep._step()
        await settle()
        return pause

    async def run(self, seconds: float) -> None:
        """Sweep for so long."""
        until = self.clock.now() + seconds
        while (left := until - self.clock.now()) > 0.0:
            self.clock.advance(min(max(await self.step(), 0.001), left))

    async def sweeps(self, count: int = 1) -> None:
        """Go on until so many more sweeps have ended."""
        wanted = self._ended() + count
        while self._ended() < wanted:
            self.clock.advance(max(await self.step(), 0.001))

    def _ended(self) -> int:
        return 0 if self.sweep.progress is None else self.sweep.progress.sweeps

    async def read(self, training_id: str) -> str:
        """What a caller gets: version and detail."""
        answer = await self.replica.get(Key("p1", training_id))
        return f"{minute_of(answer)} {answer.handling.detail}"


def of_list(call: Call) -> bool:
    """Whether it asks for a page."""
    return call.offset is not None


def fails(monkeypatch: pytest.MonkeyPatch, of: object, name: str, times: int) -> None:
    """That method gets no answer in time, so many times."""
    method, left = getattr(of, name), [times]

    async def late(*args: object, **named: object) -> object:
        if left[0] > 0:
            left[0] -= 1
            raise RedisUnavailable(name, "no answer in time")
        return await method(*args, **named)

    monkeypatch.setattr(of, name, late)
