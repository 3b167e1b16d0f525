"""The queue of calls to upstream for which no caller waits. Each call fetches one training.

Such a call is an *errand*. An errand is for the sweep, or it is a *refresh for readers*: a caller
got a stale response, and the refresh of this response could not start at once. The training that
callers of this replica want most is fetched first (see `_worth`).
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
    CallWithheld,
    Frozen,
    ShuttingDown,
    UpstreamFailure,
)
from gateway.core.instant import to_seconds
from gateway.core.vocabulary import Purpose
from gateway.flow.answer import Ask
from gateway.flow.fill.background_limit import Background
from gateway.flow.fill.collapse import Landed
from gateway.flow.request.response_selection import Serving, chosen
from gateway.ports import Clock, LocalStore

# The errands in a lane have the same scope (the name of a budget) and the same priority.
Lane = tuple[str, Rank]

# At most this many errands are in the queue. If an errand is left out because the queue is full,
# its training is fetched after the next sweep or the next read.
_MOST: Final = 2_000
# If a lane has this many errands, no refresh for readers is added to it. With the default settings,
# a refresh is of use for five minutes, and the limit allows 400 refreshes in this time. A refresh
# that was left out is tried again at the next read of its training.
_MOST_PUT_OFF: Final = 500
# Seconds until the errands are sorted again. Sorting 500 takes a millisecond.
_COMPARE_EVERY: Final = 0.25
# The longest pause (seconds) of a lane without a free call.
_PATIENCE: Final = 5.0


@dataclass(frozen=True, slots=True)
class Errand:
    """One training to fetch. `then` is called with the result, or with None if there is no result.

    for_readers  the errand is a refresh for readers. It may be removed from the queue (see
                 `_forget_unwanted`)
    was_denied   no call was free for the errand at its last try
    """

    ask: Ask
    purpose: Purpose
    then: Callable[[Landed | None], None]
    for_readers: bool = False
    was_denied: bool = False

    @property
    def is_refresh(self) -> bool:
        """Whether this is a refresh: it ends without a call if the stored response is fresh."""
        return self.purpose is Purpose.REFRESH

    @property
    def lane(self) -> Lane:
        """The lane in which the errand waits."""
        return self.ask.caller.scope, rank_of(self.purpose)


class Following:
    """Runs the waiting errands. `background` limits how many run at once."""

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
        self._short: set[Lane] = set()  # lanes with refreshes for which no call was free
        self._closed: set[Lane] = set()  # lanes that wait in `_wait_for_a_call`
        self._any = background.stirred  # set when an errand may have become able to run
        self._ranking: list[Errand] = []  # sorted; the last is wanted most
        self._ranked_at = -math.inf

    def place(self, key: Key) -> tuple[int, int] | None:
        """The place of the key in its lane (1: wanted most), and the number of errands in the lane.
        None if the key is not in the queue."""
        errand = self._errands.get(key)
        if errand is None:
            return None
        now = self._clock.now()
        rivals = [each for each in self._errands.values() if each.lane == errand.lane]
        own = self._worth(errand, now)
        return 1 + sum(self._worth(each, now) > own for each in rivals), len(rivals)

    def send(self, errand: Errand) -> None:
        """Add the errand to the queue. If the queue is full, the errand is left out, and `then` is
        called with None at once.

        If an errand for the training waits already, a refresh for readers is left out. Any other
        errand replaces the waiting one, and at the end `then` of both is called.
        """
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
        """Whether a refresh for readers has to wait. If so, it is added to the queue. If the queue
        or the lane is full, the refresh is left out."""
        lane = ask.caller.scope, Rank.REFRESH
        if not self._waiting[lane] and self._background.has_room(ask.key.partition):
            return False
        if ask.key not in self._errands:
            self._add(ask)
        return True

    def is_short(self, ask: Ask) -> bool:
        """Whether refreshes in the lane of `ask` wait because no call was free."""
        return (ask.caller.scope, Rank.REFRESH) in self._short

    def put_off(self, ask: Ask) -> bool:
        """Add a refresh for which no call was free. Returns False if the refresh was left out
        because the queue or the lane is full."""
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
        """Run errands until cancelled."""
        async with asyncio.TaskGroup() as errands:
            while True:
                await self._any.wait()
                errand = self._next()
                if errand is None:
                    self._any.clear()
                    continue
                self._background.begin(errand.ask.key.partition)
                errands.create_task(self._go(errand))

    async def _go(self, errand: Errand) -> None:
        pause = await self._run_counted(errand)
        if pause > 0.0 and errand.lane not in self._closed:
            await self._wait_for_a_call(errand.lane, pause)

    async def _run_counted(self, errand: Errand) -> float:
        """Run the errand, and tell `background` when it has ended. Call `background.begin` before.
        Returns the result of `_run`."""
        try:
            return await self._run(errand)
        finally:
            self._background.end(errand.ask.key.partition)

    async def _wait_for_a_call(self, lane: Lane, pause: float) -> None:
        """Wait for a free call in the lane. Only the errand that is wanted most asks for it.
        Otherwise the call could go to an errand that is wanted less."""
        self._closed.add(lane)
        while pause > 0.0:
            await self._clock.sleep(pause)
            self._forget_unwanted()
            errand = self._most_wanted(lambda each: each.lane == lane and self._has_room(each))
            if errand is None:
                break
            self._background.begin(errand.ask.key.partition)
            pause = await self._run_counted(errand)
        self._closed.discard(lane)
        self._any.set()

    def _next(self) -> Errand | None:
        if self._clock.monotonic() - self._ranked_at < _COMPARE_EVERY:
            errand = self._best_ranked()
            if errand is not None:
                return errand
        self._rank()
        return self._best_ranked()

    def _rank(self) -> None:
        now, self._ranked_at = self._clock.now(), self._clock.monotonic()
        some = filter(self._may_begin, self._errands.values())
        self._ranking = sorted(some, key=lambda each: self._worth(each, now), reverse=True)
        # Errands are taken from the end. Of equal errands, the one that came first is nearest to
        # the end.
        self._ranking.reverse()

    def _best_ranked(self) -> Errand | None:
        while self._ranking:
            errand = self._ranking.pop()
            is_there = self._errands.get(errand.ask.key) is errand
            if is_there and self._may_begin(errand):
                return self._take(errand)
        return None

    def _may_begin(self, errand: Errand) -> bool:
        return errand.lane not in self._closed and self._has_room(errand)

    def _has_room(self, errand: Errand) -> bool:
        return self._background.has_room(errand.ask.key.partition)

    def _most_wanted(self, among: Callable[[Errand], bool]) -> Errand | None:
        now, some = self._clock.now(), filter(among, self._errands.values())
        errand = max(some, key=lambda each: self._worth(each, now), default=None)
        return None if errand is None else self._take(errand)

    def _worth(self, errand: Errand, now: float) -> tuple[float, int]:
        """How much the callers of this replica want the errand, as two numbers. The first is the
        reads per second since the last confirmation. For a refresh for readers, it is multiplied by
        the probability that the training has changed. If the first numbers of two errands are
        equal, the second number (all reads) decides."""
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

    def _forget_unwanted(self) -> None:
        """Remove refreshes for readers that are of no use any more. They contain credentials, which
        must not stay in memory longer than needed."""
        now = self._clock.now()
        for errand in [each for each in self._errands.values() if each.for_readers]:
            held = self._local.peek(errand.ask.key)
            plan = None if held is None else self._rules.plan(held.entry, now)
            if plan is not Plan.SERVE_AND_REFRESH:
                self._take(errand)

    async def _run(self, errand: Errand) -> float:
        """Run the errand. Returns 0 if it ended. If no call was free, the errand is put back into
        the queue, and the result is the pause of its lane in seconds. An errand that is no refresh
        ends if no call was free twice: the next sweep, or the storing of items, perhaps waits for
        its end."""
        try:
            landed = await self._fetch(errand)
        except (UpstreamFailure, AccessRefused, ShuttingDown):
            landed = None  # the next sweep or the next read of the training asks again
        except CallWithheld as withheld:
            if errand.was_denied and not errand.is_refresh:
                errand.then(None)
                return 0.0
            self.send(replace(errand, was_denied=not isinstance(withheld, Frozen)))
            return min(withheld.retry_after, _PATIENCE)
        errand.then(landed)
        return 0.0

    async def _fetch(self, errand: Errand) -> Landed | None:
        """The result of the fetch. None if no fetch is made."""
        ask, serving = errand.ask, self._serving
        # A refresh is tried again if no call was free for the last one. Any other errand ends then:
        # the next sweep, or the storing of items, perhaps waits for its end.
        is_left_alone = serving.has_failed if errand.is_refresh else serving.standing
        if is_left_alone(ask.key):
            return None
        found = await serving.look_up(ask.key)
        if found is not None and errand.is_refresh:
            now = self._clock.now()
            if self._rules.plan(found.held.entry, now, below_floor=found.below_floor) is Plan.SERVE:
                return None
        seen = chosen(self._rules, ask, found)
        flight = serving.fills.under_way(ask.key)
        return await (flight or serving.start(ask, seen, errand.purpose)).join()


def _tell_nobody(_: Landed | None) -> None:
    """Do nothing, because the caller already has its answer."""


def _both(
    one: Callable[[Landed | None], None], other: Callable[[Landed | None], None]
) -> Callable[[Landed | None], None]:
    def tell(landed: Landed | None) -> None:
        one(landed)
        other(landed)

    return tell


# Times below this (in seconds) count as this, because zero cannot be a divisor.
_LEAST: Final = 1.0


def expected_staleness(entry: Entry, reads: int, now: float) -> float:
    """How many reads per second probably get an outdated response from this entry. `reads`: since
    its last confirmation."""
    return reads_a_second(entry, reads, now) * _chance_of_change(entry, now)


def reads_a_second(entry: Entry, reads: int, now: float) -> float:
    """How many reads per second the entry has had."""
    return reads / max(entry.age(now), _LEAST)


def _chance_of_change(entry: Entry, now: float) -> float:
    """The probability that the training changed after the last confirmation. It is low if the
    training had not changed for a long time before this confirmation."""
    age = max(entry.age(now), _LEAST)
    if entry.updated_at is None:
        return 1.0
    unchanged_for = max(entry.confirmed_at - to_seconds(entry.updated_at), _LEAST)
    return 1.0 - math.exp(-age / unchanged_for)
