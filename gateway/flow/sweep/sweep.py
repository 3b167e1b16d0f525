"""The sweep of one partition: one replica reads page after page of the list, at an even pace."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from gateway.core.access.caller import Caller
from gateway.core.budget.breaker import backoff
from gateway.core.errors import (
    CallWithheld,
    Frozen,
    ListRefused,
    RedisUnavailable,
    ShuttingDown,
    UpstreamFailure,
)
from gateway.core.http.fields import Reply, delta_seconds
from gateway.core.sweep.list_item import Contradictions
from gateway.core.sweep.progress import Progress, is_last
from gateway.core.sweep.staleness_bound import Bound, Horizon, Pace
from gateway.core.upstream.classification import judge_page
from gateway.core.upstream.list_page import Page
from gateway.core.vocabulary import Purpose
from gateway.flow.fill.collapse import renewing
from gateway.flow.fill.upstream_call import Outbound
from gateway.flow.sweep.reconciliation import Brought, Reconciliation
from gateway.flow.sweep.store_from_list import give_way
from gateway.ports import Call, Clock, Observer, SweepLease, Turn

# Seconds between two calls of `SweepLease.take`, which takes or renews the lease, and returns how
# far the sweep has come.
_TAKE_EVERY: Final = 1.5
# The longest pause (seconds) between two pages of a cold start, if the budget allows the calls.
_HURRY: Final = 0.05
# Seconds for which the sweep is off after the list was refused or contradicted.
_OFF_FOR: Final = 3600.0
# The backoff (seconds) after the first failed call, and the longest backoff.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that all sweeps of a replica share."""

    lease: SweepLease
    listing: Listing
    reconciliation: Callable[[Caller], Reconciliation]
    clock: Clock
    observer: Observer


class Sweep:
    """The sweep of one partition, with the token of `caller`.

    pace   returns how fast the sweep may make calls; the clients file can change this
    reads  returns how many requests of the partition this replica has had
    warms  whether the cold start (the first two sweeps) runs even if no caller reads
    """

    def __init__(
        self,
        parts: Parts,
        caller: Caller,
        pace: Callable[[], Pace],
        reads: Callable[[], int],
        *,
        warms: bool,
    ) -> None:
        self._lease = parts.lease
        self._listing = parts.listing
        self._reconciliation = parts.reconciliation(caller)
        self._reconciliation.warms = warms
        self._clock = parts.clock
        self._observer = parts.observer
        self._caller = caller
        self._pace = pace
        self._reads = reads
        self._warms = warms
        self._reads_told = reads()  # what `reads` returned before the last `take`
        self._failures = 0  # how many calls in a row failed
        self._is_forbidden = False  # whether the mode forbade the last call
        # When the API last refused the list to this `Sweep` (shared clock). 0.0: it did not, or the
        # sweep was turned off for another reason since then.
        self._refused_at = 0.0
        self.turn: Turn | None = None
        self.horizon: Horizon | None = None  # None: no whole sweep is known

    @property
    def progress(self) -> Progress | None:
        """How far the sweep has come, as this replica last saw it. None before the first
        `take`, and while Redis is away."""
        return None if self.turn is None else self.turn.progress

    @property
    def age(self) -> float | None:
        """Age of the oldest confirmation by the list, in seconds. None if there is none."""
        oldest = None if self.turn is None else self.turn.progress.oldest
        return None if oldest is None else max(0.0, self._clock.now() - oldest)

    @property
    def state(self) -> str:
        """The state in one word."""
        if self.turn is None:
            return "unknown"
        if self._is_off(self.turn):
            return "off"
        if not self._may_go(self.turn):
            return "paused"
        return "warming" if self.bound is None else "on"

    @property
    def is_warming(self) -> bool:
        """Whether a cold start is still filling the cache. True also while the state of the sweep
        is unknown. False after two failed calls in a row, and after a call that the mode
        forbids."""
        turn = self.turn
        if not self._warms or self._failures > 1 or self._is_forbidden:
            return False
        return turn is None or not (turn.progress.is_warm or self._is_off(turn))

    @property
    def allowed(self) -> Bound | None:
        """The staleness bound that the settings allow. None while the number of trainings is
        unknown."""
        total = None if self.progress is None else self.progress.total
        return None if total is None else self._pace().bound(total)

    @property
    def bound(self) -> Bound | None:
        """The staleness bound that operators see. None while it is not proven, while the sweep
        pauses, and while the oldest confirmation is older than the bound."""
        turn, age, allowed = self.turn, self.age, self.allowed
        if turn is None or age is None or allowed is None:
            return None
        is_kept = turn.progress.is_proven and self._may_go(turn) and age <= allowed.seconds
        return allowed if is_kept else None

    @property
    def contradictions(self) -> Contradictions:
        """Trainings for which the list and the answers to single calls disagree, as far as this
        replica knows."""
        return self._reconciliation.contradictions

    async def run(self) -> None:
        """Sweep until cancelled."""
        try:
            while True:
                pause = await self._step()
                await self._clock.sleep(pause)
        finally:
            with suppress(RedisUnavailable):
                await self._lease.release(self._caller.partition)

    async def _step(self) -> float:
        """Read a page if one is due. Returns the seconds until the next step."""
        reads, told = self._reads(), self._reads_told
        try:
            turn = await self._lease.take(self._caller.partition, was_read=reads > told)
            self._reads_told = reads
            self._set_turn(turn)
            await self._reconciliation.settle()
            if not turn.leads or not self._may_go(turn):
                return _TAKE_EVERY
            wait = self._wait(turn)
            if wait > 0.0:
                return min(wait, _TAKE_EVERY)
            async with renewing(self._lease.lifetime, self._renew):
                return await self._page(turn)
        except RedisUnavailable:
            self._set_turn(None)
            return _TAKE_EVERY

    def _may_go(self, turn: Turn) -> bool:
        if self._is_off(turn):
            return False
        return turn.is_read or (self._warms and not turn.progress.is_warm)

    def _is_off(self, turn: Turn) -> bool:
        """Whether the sweep is switched off. Only the leader finds out whether a refused list may
        be allowed now. An `off_until` more than `_OFF_FOR` seconds ahead is ignored."""
        is_off = 0.0 < turn.progress.off_until - turn.now <= _OFF_FOR
        return is_off and not (turn.leads and self._may_be_allowed(turn.progress))

    def _may_be_allowed(self, progress: Progress) -> bool:
        """Whether the list was refused, but not to this `Sweep`, which perhaps has another
        token."""
        return 0.0 < progress.refused_at != self._refused_at

    def _wait(self, turn: Turn) -> float:
        """Seconds until the next page. A wait that is longer than a whole sweep takes counts as 0,
        because the clock or the pace has changed."""
        if turn.progress.offset == 0 and self._reconciliation.is_awaiting:
            return _HURRY
        wait = turn.progress.next_at - turn.now
        return wait if wait <= self._pace().interval_of(turn.progress.total) else 0.0

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(_TAKE_EVERY)
            with suppress(RedisUnavailable):  # perhaps Redis is back before the lease ends
                await self._lease.take(self._caller.partition, was_read=False)

    async def _page(self, turn: Turn) -> float:
        progress, here = turn.progress, self._clock.monotonic()
        await self._reconciliation.prepare(progress)
        purpose = Purpose.SWEEP if progress.is_warm else Purpose.WARM
        try:
            reply, page = await self._listing.page(self._caller, progress.offset, purpose)
        except ListRefused as refused:
            return await self._turn_off(progress, str(refused), turn.now, refused_at=turn.now)
        except CallWithheld as withheld:
            # If the mode forbids the call, readiness does not wait for a cold start (see
            # `is_warming`).
            self._is_forbidden = isinstance(withheld, Frozen)
            return min(withheld.retry_after, _TAKE_EVERY)
        except (UpstreamFailure, ShuttingDown):
            self._failures, self._is_forbidden = self._failures + 1, False
            return backoff(self._failures, _FIRST_PAUSE, _LONGEST_PAUSE, self._clock.jitter())
        self._failures, self._is_forbidden = 0, False
        brought = Brought(self._caller, reply, page, turn.now, here)
        likeness = await self._reconciliation.apply(
            brought, progress, self._pace().spare(page.total)
        )
        if self._reconciliation.is_contradicted:
            why = "single calls get other versions than the list has"
            pause = await self._turn_off(replace(progress, likeness=likeness), why, turn.now)
            # `disbelieve` comes last, because it makes `is_contradicted` false. If Redis fails in
            # `_turn_off`, `is_contradicted` stays true, and the sweep is turned off after the next
            # page.
            await self._reconciliation.disbelieve()
            return pause
        as_of = turn.now - delta_seconds(reply.header(b"age"))
        after = replace(progress.after(page, as_of), likeness=likeness)
        return await self._go_on(progress, self._paced(after, turn.now), page)

    def _paced(self, progress: Progress, now: float) -> Progress:
        """Set the time when the next page is due: one gap after this page was due, or sooner in a
        cold start. The sweep does not make up for a pause, because pages would then come in a
        burst."""
        gap = self._pace().gap(progress.total)
        if not progress.is_warm:
            return replace(progress, next_at=now + min(gap, _HURRY))
        return replace(progress, next_at=max(progress.next_at + gap, now))

    async def _go_on(self, before: Progress, after: Progress, page: Page) -> float:
        partition = self._caller.partition
        advanced = await self._lease.advance(partition, after, page, before)
        if advanced is None:
            return _TAKE_EVERY
        self._reconciliation.note_stored(after.likeness)
        self._set_progress(after)
        if is_last(page):
            complete = after.is_complete(advanced.distinct)
            ended = after.ended(complete=complete)
            await self._lease.finish(partition, ended, complete=complete)
            self._set_progress(ended)
            self._observer.sweep_ended(self._caller.tenant, complete, advanced.distinct)
        await self._reconciliation.look_for(self._caller, advanced.absent)
        return 0.0

    async def _turn_off(
        self, progress: Progress, why: str, now: float, refused_at: float = 0.0
    ) -> float:
        is_news = progress.off_why != why or self._may_be_allowed(progress)
        self._refused_at = refused_at
        off = progress.off(why, now + _OFF_FOR, refused_at)
        await self._lease.note(self._caller.partition, off)
        if is_news:
            self._observer.sweep_off(self._caller.tenant, why, _OFF_FOR)
        self._set_progress(off)
        return _TAKE_EVERY

    def _set_progress(self, progress: Progress) -> None:
        if self.turn is not None:
            self._set_turn(replace(self.turn, progress=progress))

    def _set_turn(self, turn: Turn | None) -> None:
        self.turn, self.horizon = turn, None
        allowed, progress = self.allowed, self.progress
        oldest = None if progress is None else progress.oldest
        if progress is None or allowed is None or oldest is None or not progress.before:
            return  # in the first sweep `oldest` does not cover the rows that were not read yet
        self.horizon = Horizon(oldest, allowed.seconds)


# Used instead of a training's id in events about a page.
THE_LIST = "(the list)"


class Listing:
    """Asks the upstream for pages."""

    def __init__(
        self, outbound: Outbound, clock: Clock, observer: Observer, *, timeout: float
    ) -> None:
        self._outbound = outbound
        self._clock = clock
        self._observer = observer
        self._timeout = timeout

    async def page(self, caller: Caller, offset: int, purpose: Purpose) -> tuple[Reply, Page]:
        """The page that begins at row `offset`. Raises UpstreamFailure, CallWithheld,
        ListRefused."""
        deadline = self._clock.monotonic() + self._timeout
        call = Call(THE_LIST, caller.token, purpose, deadline, offset=offset)
        try:
            reply = await self._outbound.ask(caller, call)
            page = await _in_pieces(judge_page(reply, offset, self._clock.now()))
        except UpstreamFailure as failure:
            failure.conceal(caller.token)
            await self._outbound.failed(caller, THE_LIST, failure)
            raise
        except ListRefused:
            await self._outbound.answered(caller)
            raise
        await self._outbound.answered(caller)
        self._observer.page_read(page.rows)
        for fault in page.rejected:
            fault.conceal(caller.token)
            self._observer.payload_rejected(fault.invalid, THE_LIST, fault.what)
        return reply, page


async def _in_pieces(reading: Generator[None, None, Page]) -> Page:
    """The page that `reading` returns. Requests of callers run while `reading` pauses."""
    while True:
        try:
            next(reading)
        except StopIteration as end:
            page: Page = end.value
            return page
        await give_way()
