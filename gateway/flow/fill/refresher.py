"""Runs the fetches that no caller waits for: refreshes of stale responses, and the calls for single
trainings that the sweep needs. These go first, and then the training that had most reads since its
last confirmation."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from gateway.core.budget.priority import Rank, rank_of
from gateway.core.cache.entry import Key
from gateway.core.errors import AccessRefused, CallWithheld, Frozen, ShuttingDown, UpstreamFailure
from gateway.core.vocabulary import Purpose
from gateway.flow.answer import Ask
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.fill.collapse import Landed
from gateway.ports import Clock

# Seconds of pause after each fetch. A fetch takes 2.5 ms of work, and hits wait meanwhile. Without
# the pause, eight fetches at a time (the default) could take a large part of a core.
REST: Final = 0.25
# At most this many errands wait, half of them for one partition. One that is left out comes again
# with the next sweep, or with the next read of its training.
_MOST: Final = 1_000
# An errand waits for these seconds at most: it contains a credential. With the default settings, a
# refresh is of use for so long.
_LONGEST: Final = 300.0
# The longest pause (seconds) of a lane without a free call.
_PATIENCE: Final = 5.0

# The budget and the rank of calls.
Lane = tuple[str, Rank]
Fetch = Callable[[], Awaitable[Landed | None]]


@dataclass(slots=True, eq=False)
class Errand:
    """One training to fetch. Each function in `then` is called with the result, or with None if
    there is none. `since` is set when the errand begins to wait (monotonic)."""

    ask: Ask
    purpose: Purpose
    fetch: Fetch
    then: list[Callable[[Landed | None], None]] = field(default_factory=list)
    since: float | None = None

    @property
    def lane(self) -> Lane:
        """The budget and the rank of the call."""
        return self.ask.caller.scope, rank_of(self.purpose)

    def end(self, landed: Landed | None) -> None:
        """Tell the result."""
        for tell in self.then:
            tell(landed)


class Refresher:
    """Runs at most `most` errands at once, and half of them for one partition, so that a tenant
    whose calls hang leaves places to the others. A place becomes free `rest` seconds after its
    errand has ended."""

    def __init__(self, most: int, local: LocalStore, clock: Clock, rest: float = 0.0) -> None:
        self._most, self._half = most, (most + 1) // 2
        self._local = local
        self._clock = clock
        self._rest = rest
        self._waiting: dict[Key, Errand] = {}
        self._taken: Counter[str] = Counter()  # places, by partition
        # The lanes without a free call, and when each asks again (monotonic). Only the errand that
        # is wanted most asks then. Otherwise one that is wanted less could get the call.
        self._short: dict[Lane, float] = {}
        self._stirred = asyncio.Event()  # set when a waiting errand can perhaps begin
        self._tasks: set[asyncio.Future[Landed | None]] = set()

    def is_short(self, ask: Ask) -> bool:
        """Whether no call was free for the last refresh with the budget of `ask`."""
        return (ask.caller.scope, Rank.REFRESH) in self._short

    def place(self, key: Key) -> tuple[int, int] | None:
        """The place of the key among those that wait in its lane (1: wanted most), and how many
        wait. None: the key does not wait."""
        errand = self._waiting.get(key)
        if errand is None:
            return None
        rivals = [each for each in self._waiting.values() if each.lane == errand.lane]
        own = self._weight(errand)
        return 1 + sum(self._weight(each) > own for each in rivals), len(rivals)

    def want(self, errand: Errand, at_once: Fetch | None = None) -> None:
        """Run the errand. If it need not wait, `at_once` takes the place of its `fetch`. If an
        errand for the training waits already, both are one."""
        before = self._waiting.get(errand.ask.key)
        if before is None and not self._waiting and self._may_begin(errand):
            self._begin(errand, at_once or errand.fetch)
        else:
            self._wait(errand, before)

    def _wait(self, errand: Errand, before: Errand | None) -> None:
        """Let the errand wait. One that the sweep needs takes the place of a refresh `before`."""
        if before is not None and not errand.then:
            return
        if before is not None:
            errand.then[:0] = before.then
        elif self._is_full(errand.ask.key.partition):
            errand.end(None)
            return
        errand.since = self._clock.monotonic() if errand.since is None else errand.since
        self._waiting[errand.ask.key] = errand
        self._stirred.set()

    def _is_full(self, partition: str) -> bool:
        own = sum(key.partition == partition for key in self._waiting)
        return len(self._waiting) >= _MOST or own >= _MOST // 2

    async def run(self) -> None:
        """Begin errands that wait, until cancelled."""
        try:
            while True:
                self._begin_waiting()
                await self._until_stirred()
        finally:
            for task in self._tasks:
                task.cancel()

    def _begin_waiting(self) -> None:
        now = self._clock.monotonic()
        for errand in list(self._waiting.values()):
            if errand.since is not None and now - errand.since > _LONGEST:
                del self._waiting[errand.ask.key]
                errand.end(None)
        lanes = {each.lane for each in self._waiting.values()}
        for lane in [each for each, until in self._short.items() if until <= now]:
            if lane not in lanes:
                del self._short[lane]
        while some := [each for each in self._waiting.values() if self._may_begin(each)]:
            errand = max(some, key=self._weight)
            del self._waiting[errand.ask.key]
            self._begin(errand, errand.fetch)

    async def _until_stirred(self) -> None:
        now = self._clock.monotonic()
        pause = min(
            (until - now for until in self._short.values() if until > now), default=_PATIENCE
        )
        ends = [
            asyncio.ensure_future(self._clock.sleep(min(pause, _PATIENCE))),
            asyncio.ensure_future(self._stirred.wait()),
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in ends:
                each.cancel()
        self._stirred.clear()

    def _weight(self, errand: Errand) -> float:
        """How much the errand is wanted."""
        held = self._local.peek(errand.ask.key)
        return math.inf if errand.then else 0.0 if held is None else held.reads_since

    def _may_begin(self, errand: Errand) -> bool:
        has_place = self._taken[errand.ask.key.partition] < self._half
        is_open = self._short.get(errand.lane, 0.0) <= self._clock.monotonic()
        return has_place and is_open and self._taken.total() < self._most

    def _begin(self, errand: Errand, fetch: Fetch) -> None:
        self._taken[errand.ask.key.partition] += 1
        if errand.lane in self._short:
            self._short[errand.lane] = math.inf  # until this errand has asked for a call
        task = asyncio.ensure_future(fetch())
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, errand))

    def _ended(self, errand: Errand, task: asyncio.Future[Landed | None]) -> None:
        self._tasks.discard(task)
        self._short.pop(errand.lane, None)
        self._leave(errand.ask.key.partition)
        if task.cancelled():
            return
        match task.exception():
            case None:
                errand.end(task.result())
            case UpstreamFailure() | AccessRefused() | Frozen() | ShuttingDown():
                errand.end(None)  # the next sweep, or the next read of the training, asks again
            case CallWithheld() as denied:
                pause = min(denied.retry_after, _PATIENCE)
                self._short[errand.lane] = self._clock.monotonic() + pause
                self._wait(errand, self._waiting.get(errand.ask.key))
            case fault:
                raise fault

    def _leave(self, partition: str) -> None:
        if self._rest > 0.0:
            asyncio.get_running_loop().call_later(self._rest, self._free, partition)
        else:
            self._free(partition)

    def _free(self, partition: str) -> None:
        self._taken[partition] -= 1
        if not self._taken[partition]:
            del self._taken[partition]
        self._stirred.set()
