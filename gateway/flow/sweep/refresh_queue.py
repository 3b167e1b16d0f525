"""The queue of calls that no caller waits for. Each call is for one training.

A call has one of three reasons:
- The list shows that the stored response is outdated or missing.
- The list may be wrong about the training, and the call checks this.
- A caller (here: a reader) got a stale response whose refresh could not start at once.

The call for the training that is wanted most comes first.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from gateway.core.budget.priority import Rank, rank_of
from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.policy import Plan, Rules
from gateway.core.errors import (
    AccessRefused,
    BackedOff,
    CallWithheld,
    ShuttingDown,
    UpstreamFailure,
)
from gateway.core.instant import to_seconds
from gateway.core.vocabulary import Purpose
from gateway.flow.answer import Ask
from gateway.flow.fill.background_limit import Background
from gateway.flow.fill.collapse import Landed
from gateway.flow.request.response_selection import Serving
from gateway.ports import Clock, LocalStore

# A lane is a scope (the name of a budget) and a rank (the priority of a call). The errands
# (waiting calls) of one lane compete for the same part of the budget.
Lane = tuple[str, Rank]

# At most this many errands wait. If a training is left out, the next sweep finds it again.
_MOST: Final = 2_000
# At most this many refreshes for readers wait in a lane. With the default limit, refreshes get at
# most 400 calls in five minutes, and after five minutes a refresh is of no use, because readers
# then wait for a fetch. If a refresh is left out, the next reader starts it.
_MOST_PUT_OFF: Final = 500
# Seconds after which the errands are compared again. Comparing 500 takes a millisecond.
_COMPARE_EVERY: Final = 0.25
# The longest pause (seconds) after an errand that got no call.
_PATIENCE: Final = 5.0


@dataclass(frozen=True, slots=True)
class Errand:
    """One training to fetch. `then` is called with the result, or with None if there is no result.

    `for_readers`: the errand refreshes a stale response that readers got. It may be dropped while
    no call is free (see `_forget_unasked`).
    """

    ask: Ask
    purpose: Purpose
    then: Callable[[Landed | None], None]
    for_readers: bool = False

    @property
    def refresh(self) -> bool:
        """Whether the errand is a refresh. A refresh ends without a call if the stored response is
        fresh."""
        return self.purpose is Purpose.REFRESH

    @property
    def lane(self) -> Lane:
        """The lane in which the errand waits."""
        return self.ask.caller.scope, rank_of(self.purpose)


class Following:
    """Runs the waiting errands, as many at once as `background` allows."""

    def __init__(
        self,
        serving: Serving,
        local: LocalStore,
        clock: Clock,
        rules: Rules,
        background: Background,
    ) -> None:
        self._serving = serving
        self._local = local
        self._clock = clock
        self._rules = rules
        self._background = background
        self._errands: dict[Key, Errand] = {}
        self._waiting: Counter[Lane] = Counter()
        self._short: set[Lane] = set()  # lanes in which a refresh was put off
        self._closed: set[Lane] = set()  # lanes from which no errand is taken
        self._any = asyncio.Event()
        self._ranking: list[Errand] = []  # the errand that is wanted most is the last
        self._ranked_at = -math.inf

    def place(self, key: Key) -> tuple[int, int] | None:
        """The place of the key in its lane (1: wanted most), and the number of errands in the lane.
        None if the key does not wait."""
        errand = self._errands.get(key)
        if errand is None:
            return None
        now = self._clock.now()
        rivals = [each for each in self._errands.values() if each.lane == errand.lane]
        own = self._worth(errand, now)
        return 1 + sum(self._worth(each, now) > own for each in rivals), len(rivals)

    def send(self, errand: Errand) -> None:
        """Let the errand wait for its turn. Two errands for one training become one fetch. If the
        queue is full, the errand ends without a result."""
        before = self._errands.get(errand.ask.key)
        if before is None and len(self._errands) >= _MOST:
            errand.then(None)
            return
        if before is not None and errand.for_readers:
            return
        self._waiting[errand.lane] += 1
        if before is not None:
            self._take(before)
            if not before.for_readers:
                errand = replace(errand, then=_both(before.then, errand.then))
        self._errands[errand.ask.key] = errand
        self._any.set()

    def waits(self, ask: Ask) -> bool:
        """Whether a reader's refresh has to wait. A refresh that has to wait is added to the queue,
        unless the queue is full."""
        lane = ask.caller.scope, Rank.REFRESH
        if not self._waiting[lane] and self._background.has_room:
            return False
        if ask.key not in self._errands:
            self._add(ask)
        return True

    def is_short(self, ask: Ask) -> bool:
        """Whether readers' refreshes wait because no call was free, not only because `background`
        has no place."""
        return (ask.caller.scope, Rank.REFRESH) in self._short

    def put_off(self, ask: Ask) -> bool:
        """Add a refresh for which no call was free. Returns False if the queue is full."""
        lane = self._add(ask)
        if self._waiting[lane]:
            self._short.add(lane)
        return ask.key in self._errands

    def _add(self, ask: Ask) -> Lane:
        errand = Errand(ask, Purpose.REFRESH, _tell_nobody, for_readers=True)
        if self._waiting[errand.lane] < _MOST_PUT_OFF:
            self.send(errand)
        return errand.lane

    async def run(self) -> None:
        """Run errands until cancelled by the owner."""
        async with asyncio.TaskGroup() as errands:
            while True:
                await self._any.wait()
                await self._background.room()
                errand = self._next()
                if errand is None:
                    self._any.clear()
                    continue
                self._background.begin()
                errands.create_task(self._go(errand))

    async def _go(self, errand: Errand) -> None:
        pause = await self._begun(errand)
        if pause > 0.0 and errand.lane not in self._closed:
            await self._wait_for_a_call(errand.lane, pause)

    async def _begun(self, errand: Errand) -> float:
        """Run an errand that has a place in `background`, and free the place."""
        try:
            return await self._run(errand)
        finally:
            self._background.end()

    async def _wait_for_a_call(self, lane: Lane, pause: float) -> None:
        """Wait until a call is free in the lane. Meanwhile only the errand that is wanted most asks
        for a call, because otherwise an errand that is wanted less could get the call."""
        self._closed.add(lane)
        while pause > 0.0:
            await self._clock.sleep(pause)
            await self._background.room()
            self._forget_unasked()
            errand = self._most_wanted(lambda each: each.lane == lane)
            if errand is None:
                break
            self._background.begin()
            pause = await self._begun(errand)
        self._closed.discard(lane)
        self._any.set()

    def _next(self) -> Errand | None:
        """The errand that was wanted most when the errands were last compared."""
        if self._clock.monotonic() - self._ranked_at < _COMPARE_EVERY:
            errand = self._best_ranked()
            if errand is not None:
                return errand
        self._rank()
        return self._best_ranked()

    def _rank(self) -> None:
        now, self._ranked_at = self._clock.now(), self._clock.monotonic()
        some = [each for each in self._errands.values() if each.lane not in self._closed]
        self._ranking = sorted(some, key=lambda each: self._worth(each, now), reverse=True)
        self._ranking.reverse()  # of equal errands, the one that came first is taken first

    def _best_ranked(self) -> Errand | None:
        while self._ranking:
            errand = self._ranking.pop()
            is_there = self._errands.get(errand.ask.key) is errand
            if is_there and errand.lane not in self._closed:
                return self._take(errand)
        return None

    def _most_wanted(self, among: Callable[[Errand], bool]) -> Errand | None:
        now, some = self._clock.now(), filter(among, self._errands.values())
        errand = max(some, key=lambda each: self._worth(each, now), default=None)
        return None if errand is None else self._take(errand)

    def _worth(self, errand: Errand, now: float) -> tuple[float, int]:
        """How much the callers of this replica want the errand."""
        held = self._local.peek(errand.ask.key)
        if held is None:
            return 0.0, 0
        measure = expected_staleness if errand.for_readers else reads_a_second
        return measure(held.entry, held.reads_since, now), held.reads

    def _take(self, errand: Errand) -> Errand:
        del self._errands[errand.ask.key]
        self._waiting[errand.lane] -= 1
        if not self._waiting[errand.lane]:
            del self._waiting[errand.lane]
            self._short.discard(errand.lane)
        return errand

    def _forget_unasked(self) -> None:
        """Forget readers' refreshes of responses that are fresh again, that are no longer in L1, or
        that may no longer be served without asking upstream. This also forgets the readers'
        credentials, which the errands contain."""
        now = self._clock.now()
        for errand in [each for each in self._errands.values() if each.for_readers]:
            held = self._local.peek(errand.ask.key)
            plan = None if held is None else self._rules.plan(held.entry, now)
            if plan is not Plan.SERVE_AND_REFRESH:
                self._take(errand)

    async def _run(self, errand: Errand) -> float:
        """Run the errand. Returns the seconds to wait before the next errand of its lane."""
        try:
            landed = await self._fetch(errand)
        except (BackedOff, UpstreamFailure, AccessRefused, ShuttingDown):
            landed = None  # this was logged; the next sweep or reader asks again
        except CallWithheld as withheld:
            self.send(errand)
            return min(withheld.retry_after, _PATIENCE)
        errand.then(landed)
        return 0.0

    async def _fetch(self, errand: Errand) -> Landed | None:
        """The result of the fetch. None if a fetch of the key has just failed, or if a refresh
        finds the response fresh."""
        ask, serving = errand.ask, self._serving
        # A refresh ends here if the last fetch of the key has just failed. An errand of the sweep
        # ends here also if no call was free for the last fetch, because the next sweep waits for
        # the errands of this one.
        is_left_alone = serving.has_failed if errand.refresh else serving.standing
        if is_left_alone(ask.key):
            return None
        seen = await serving.look_up(ask.key)
        if seen is not None and errand.refresh:
            now = self._clock.now()
            if self._rules.plan(seen.held.entry, now, below_floor=seen.below_floor) is Plan.SERVE:
                return None
        flight = serving.fills.under_way(ask.key)
        return await (flight or serving.start(ask, seen, errand.purpose)).join()


def _tell_nobody(_: Landed | None) -> None:
    """Do nothing: the reader already has its answer."""


def _both(
    one: Callable[[Landed | None], None], other: Callable[[Landed | None], None]
) -> Callable[[Landed | None], None]:
    def tell(landed: Landed | None) -> None:
        one(landed)
        other(landed)

    return tell


# Seconds. Shorter times count as this number.
_LEAST: Final = 1.0


def expected_staleness(entry: Entry, reads: int, now: float) -> float:
    """How many reads per second probably get an outdated response from this entry.

    `reads`: how often the entry was read after its last confirmation. A training that has not
    changed for a long time is expected to change seldom.
    """
    return reads_a_second(entry, reads, now) * _has_changed(entry, now)


def reads_a_second(entry: Entry, reads: int, now: float) -> float:
    """How many reads per second the entry answers."""
    return reads / max(entry.age(now), _LEAST)


def _has_changed(entry: Entry, now: float) -> float:
    """The probability that the training changed after the entry's last confirmation."""
    age = max(entry.age(now), _LEAST)
    if entry.updated_at is None:
        return 1.0
    unchanged_for = max(entry.confirmed_at - to_seconds(entry.updated_at), _LEAST)
    return 1.0 - math.exp(-age / unchanged_for)
