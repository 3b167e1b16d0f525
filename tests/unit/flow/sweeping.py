"""A replica that sweeps an upstream with a list, on a clock that goes as told."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from gateway.adapters.ledger import Ledger, LedgerLists, LedgerSweepLease
from gateway.core.budget.window_log import Rate
from gateway.core.cache.entry import Key
from gateway.core.errors import RedisUnavailable
from gateway.core.http.fields import Reply
from gateway.core.sweep.staleness_bound import Pace
from gateway.flow.sweep.reconciliation import Reconciliation
from gateway.flow.sweep.refresh_queue import Following
from gateway.flow.sweep.store_from_list import Filling
from gateway.flow.sweep.sweep import Listing, Parts, Sweep
from gateway.ports import AloneBus, Bus, Call, ListStore, SweepLease
from tests.doubles.clock import FakeClock
from tests.doubles.shared import InMemoryLists
from tests.unit.flow.house import OURS, Redis, Replica, ok, says, settle, training

# Ten pages a minute and no margin to speak of: a page each 6.1 s.
PACE = Pace(Rate(10, 60.0), 1.0, None, 30.0, 0.0)
PAUSE_AFTER = 300.0


class Catalogue:
    """An upstream with a list: ids and the minutes of their versions, newest first."""

    def __init__(self, *ids: str) -> None:
        self.minutes = dict.fromkeys(ids, 1)
        self.page_size = 100
        self.instead: Callable[[Call], Reply | None] = lambda _: None
        self.asked: list[str | int] = []

    async def answer(self, call: Call) -> Reply:
        """What the API says."""
        self.asked.append(call.training_id if call.offset is None else call.offset)
        instead = self.instead(call)
        if instead is not None:
            return instead
        if call.offset is not None:
            return self.page(call.offset)
        minute = self.minutes.get(call.training_id)
        return says(404) if minute is None else ok(minute, training_id=call.training_id)

    def page(self, offset: int) -> Reply:
        """The page from that row on."""
        rows = list(self.minutes.items())
        shown = rows[offset : offset + self.page_size]
        items = b",".join(training(minute, each) for each, minute in shown)
        more = offset + len(shown) < len(rows)
        told = json.dumps({"total": len(rows), "limit": 100, "offset": offset, "has_more": more})
        body = b'{"items":[' + items + b"]," + told[1:].encode()
        return Reply(200, ((b"content-type", b"application/json"),), body)

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
        lease: SweepLease | None = None,
        limit: int | None = None,
        bus: Bus | None = None,
        warms: bool = True,
        pace: Pace = PACE,
        cold: bool = False,
        room: int = 4,
    ) -> None:
        """`cold`: nothing was ever swept; else two sweeps were, of which nothing is known here."""
        self._cold = cold
        self.clock = clock
        self.catalogue = catalogue
        self.replica = Replica(clock, redis, caller=OURS, limit=limit, room=room)
        self.replica.upstream.always, observer = catalogue.answer, self.replica.observer
        self.lease = lease or LedgerSweepLease(clock, pause_after=PAUSE_AFTER)
        self.following = following_of(self.replica)
        filling = Filling(
            OURS,
            self.replica.tiers,
            self.replica.local,
            self.lease,
            clock,
            observer=observer,
            following=self.following,
            rules=self.replica.serving._rules,
            bodies_here=redis is None,
        )
        self.reconciliation = Reconciliation(
            self._lists(redis),
            self.replica.tiers,
            self.replica.shared,
            clock,
            observer,
            bus=bus or AloneBus(),
            following=self.following,
            filling=filling,
            rules=self.replica.serving._rules,
        )
        listing = Listing(self.replica.outbound, clock, observer, timeout=10.0)
        parts = Parts(self.lease, listing, lambda _: self.reconciliation, clock, observer)
        self.reads = 0
        self.sweep = Sweep(parts, OURS, lambda: pace, lambda: self.reads, warms=warms)
        self.replica.tiers.horizon_of = lambda _: self.sweep.horizon

    def _lists(self, redis: Redis | None) -> ListStore:
        if redis is not None:
            return InMemoryLists(redis.memory)
        assert isinstance(self.replica.shared, Ledger)
        return LedgerLists(self.replica.shared)

    async def step(self) -> float:
        """One look of the sweep; somebody read meanwhile."""
        self.reads += 1
        if not self._cold:
            self._cold = True
            turn = await self.lease.take("p1", was_read=True)
            await self.lease.note("p1", replace(turn.progress, sweeps=2))
        return await self.sweep._step()

    async def pages(self, count: int) -> None:
        """Go on until so many more pages were asked for."""
        wanted = len(self.catalogue.pages_asked) + count
        while len(self.catalogue.pages_asked) < wanted:
            self.clock.advance(await self.step())

    async def errand(self) -> None:
        """Run the most wanted of the single calls that wait."""
        errand = self.following._next()
        assert errand is not None
        await self.following._run(errand)

    async def errands(self) -> None:
        """Run all single calls that wait, in their order."""
        while (errand := self.following._next()) is not None:
            with suppress(Exception):
                await self.following._run(errand)
        await settle()

    async def read(self, training_id: str) -> str:
        """What a caller gets: version and detail."""
        from tests.unit.flow.house import minute_of

        answer = await self.replica.get(Key("p1", training_id))
        return f"{minute_of(answer)} {answer.handling.detail}"


def following_of(replica: Replica) -> Following:
    """What runs its single calls, and lets its refreshes wait."""
    serving = replica.serving
    following = Following(serving, replica.local, replica.clock, serving._rules, replica.background)
    serving.waits, serving.put_off = following.waits, following.put_off
    serving.is_short = following.is_short
    return following


def of_list(call: Call) -> bool:
    """Whether it asks for a page."""
    return call.offset is not None


def fails_once(monkeypatch: pytest.MonkeyPatch, of: object, name: str, after: int = 0) -> None:
    """That method is answered too late, once, after so many times in time."""
    method, times = getattr(of, name), itertools.count()

    async def late(*args: object) -> object:
        if next(times) == after:
            raise RedisUnavailable(name, "no answer in time")
        return await method(*args)

    monkeypatch.setattr(of, name, late)
