"""The sweep of one partition: one replica reads page after page of the list, at an even pace."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.core.errors import (
    BudgetExhausted,
    CallWithheld,
    ListRefused,
    RedisUnavailable,
    ShuttingDown,
    UpstreamFailure,
)
from gateway.core.instant import Instant
from gateway.core.sweep.belief import ListState, SweepStore
from gateway.core.sweep.catalogue import Catalogue, Leaf, News, Spoke, rows_of
from gateway.core.sweep.list_item import ListVerdict
from gateway.core.sweep.progress import (
    LONGEST_PAUSE,
    Progress,
    SweepEnd,
    SweepState,
)
from gateway.core.sweep.staleness_bound import Bound, Pace
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import Purpose
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.fill.collapse import renewing
from gateway.flow.sweep.looks import ANY, Looks
from gateway.flow.sweep.reconciliation import Applied, Brought, Reconciliation
from gateway.ports import NEVER, Turn

# Seconds between two calls of `SharedSweep.take`, which takes or renews the lease, and returns how
# far the sweep has come.
_TAKE_EVERY: Final = 1.5
# The longest pause (seconds) between two pages of a cold start, if the budget allows the calls.
_HURRY: Final = 0.05
# For this time (seconds) a page waits for looks that no call was free for.
_PENDING: Final = 15.0
# After so many steps without an answer of Redis, the state of the sweep is unknown. The pause
# (seconds) between these steps, and between steps while a look is under way.
_MISSED: Final = 5
_ASK_AGAIN: Final = 0.5
# For this time (seconds) after a request for the list, a replica copies the catalogue.
_COPIES: Final = 60.0


class Sweep:
    """The sweep of one partition, with the token of `caller`.

    pace   returns how fast the sweep may make calls; the clients file can change this
    reads  returns how many requests of the partition this replica has had
    warms  whether the first sweep runs even if no caller reads, and as fast as calls are free
    """

    def __init__(
        self,
        pages: Reconciliation,
        caller: Caller,
        pace: Callable[[], Pace],
        reads: Callable[[], int],
        *,
        store: SweepStore,
        warms: bool,
    ) -> None:
        self._pages, self._shared = pages, pages.sweeps
        self._clock, self._observer = pages.clock, pages.observer.sweeps
        self._cold_start, self._looks = pages.serving.cold_start, Looks(caller, pages.serving)
        self.caller = caller
        self._pace = pace
        self._reads = reads
        self._purges_seen = pages.tiers.purges(caller.partition)
        self._store = store
        self._warms = warms
        self._is_bound_told = False
        self._reads_told = reads()  # what `reads` returned before the last `take`
        self._was_in_vain = False  # whether the last page that this `Sweep` asked for did not come
        self._missed = 0  # how many steps in a row got no answer of Redis
        self._target = _Target(pages.local, caller.partition)
        self._catalogue = Catalogue()
        self._copies_until = NEVER  # monotonic
        self.turn: Turn | None = None

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
    def state(self) -> SweepState:
        """What the sweep does now."""
        if self.turn is None:
            return SweepState.UNKNOWN
        if self.turn.progress.off_why:
            return SweepState.OFF
        if not self._is_wanted(self.turn):
            return SweepState.PAUSED
        if self.turn.progress.belief.is_behind:
            return SweepState.BEHIND
        return SweepState.WARMING if self.bound is None else SweepState.ON

    @property
    def list_state(self) -> ListState | None:
        """How far the list is believed. None while this is unknown."""
        return None if self.progress is None else self.progress.belief.state(self._store)

    @property
    def is_filling(self) -> bool:
        """Whether the first sweep is filling the cache, so that misses and readiness wait for it.
        True also while the state is unknown. False after two failed calls in a row."""
        turn = self.turn
        if turn is None:
            return self._warms
        progress = turn.progress
        is_storing = self._store is not SweepStore.NEVER and not progress.belief.is_different
        is_first = self._warms and progress.is_first
        return is_first and is_storing and progress.failures <= 1 and not progress.off_why

    @property
    def bound(self) -> Bound | None:
        """The staleness bound that operators see. None until a whole sweep has ended, while the
        sweep pauses, while the list is behind, and while the oldest confirmation is older than the
        bound."""
        turn, age = self.turn, self.age
        if turn is None or age is None:
            return None
        progress, bound = turn.progress, self._pace().bound(turn.progress.total)
        is_sound = progress.is_complete and not progress.belief.is_behind
        is_kept = is_sound and self._is_wanted(turn) and age <= bound.seconds
        return bound if is_kept else None

    @property
    def catalogue(self) -> Catalogue | None:
        """The catalogue, which is copied for some time after each call. None if it may not
        answer."""
        self._copies_until = self._clock.monotonic() + _COPIES
        return None if self.listed is None else self._catalogue

    @property
    def listed(self) -> int | None:
        """How many trainings the catalogue has. None if it may not answer."""
        bound = self.bound
        if bound is None:
            return None
        # The leader is perhaps of a release that notes no catalogue.
        return self._catalogue.total(self._clock.now() - bound.seconds)

    async def run(self) -> None:
        """Sweep until cancelled."""
        try:
            while True:
                pause = await self._step()
                await self._clock.sleep(pause)
        finally:
            self._cold_start.note(self.caller.partition, is_filling=False)

    async def _step(self) -> float:
        """Read a page if one is due. Returns the seconds until the next step. If Redis gives no
        answer, the state is kept for the first steps."""
        reads, partition, before = self._reads(), self.caller.partition, self.progress
        try:
            self.turn = await self._shared.take(partition, was_read=reads > self._reads_told)
            self._reads_told = reads
            self._cold_start.note(partition, is_filling=self.is_filling)
            if not self.turn.leads or self.turn.progress != before:
                await self._copy(begins=self.turn.leads)  # another replica leads, or led meanwhile
            pause = await self._lead(self.turn)
            self._missed = 0
            self._tell_bound(self.turn.progress)
            return pause
        except RedisUnavailable:
            self._missed += 1
            if self._missed < _MISSED:
                return _ASK_AGAIN
            self.turn = None
            self._cold_start.note(partition, is_filling=False)
            return _TAKE_EVERY

    def _tell_bound(self, progress: Progress) -> None:
        """Log the staleness bound once, as soon as it is kept."""
        bound = self.bound
        if bound is not None and not self._is_bound_told:
            self._is_bound_told = True
            tenant, trainings = self.caller.tenant, progress.total
            self._observer.bound_stated(tenant, bound.seconds, trainings=trainings)

    async def _lead(self, turn: Turn) -> float:
        """Read a page if one is due, and if this replica leads."""
        if not turn.leads or not self._is_wanted(turn):
            return _TAKE_EVERY
        wait = self._wait(turn)
        if wait > 0.0:
            if self._looks.results:
                await self._folded(turn.progress)
            return min(wait, _ASK_AGAIN if self._looks.under_way else _TAKE_EVERY)
        async with renewing(self._shared.lifetime, self._renew):
            return await self._page(turn)

    async def _copy(self, *, begins: bool) -> None:
        """Take over the catalogue of the leader, or of the last one if this replica `begins` to
        lead."""
        catalogue, copy = self._catalogue, None
        if begins:
            catalogue.forget()
        with suppress(RedisUnavailable):
            if begins or self._clock.monotonic() < self._copies_until:
                copy = await self._shared.catalogue(self.caller.partition, catalogue.leaves)
            if copy is None:
                catalogue.forget()
            else:
                catalogue.copy(*copy, self._clock.now() - self._clock.monotonic())

    def _is_wanted(self, turn: Turn) -> bool:
        return turn.is_read or (self._warms and turn.progress.is_first)

    def _wait(self, turn: Turn) -> float:
        """Seconds until the next page. 0.0 if the API refused the list to another replica, which
        perhaps had another token. Also 0.0 if the clock or the pace has changed, so that the wait
        is too long."""
        wait, progress = turn.progress.next_at - turn.now, turn.progress
        interval = self._pace().interval_of(progress.total)
        is_too_long = wait > (LONGEST_PAUSE if progress.failures else interval)
        is_new = progress.off_why != "" and not self._was_in_vain
        return 0.0 if is_too_long or is_new else wait

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(_TAKE_EVERY)
            with suppress(RedisUnavailable):  # perhaps Redis is back before the lease ends
                await self._shared.take(self.caller.partition, was_read=False)

    async def _page(self, turn: Turn) -> float:
        """Read a page, let looks judge it if they have to, and apply it."""
        purpose = Purpose.WARM if turn.progress.is_first else Purpose.SWEEP
        try:
            brought = await self._pages.read(self.caller, turn.progress.offset, purpose)
        except ListRefused as refused:
            return await self._turn_off(turn, str(refused))
        except BudgetExhausted as exhausted:
            return min(exhausted.retry_after, _TAKE_EVERY)
        except (CallWithheld, UpstreamFailure, ShuttingDown):
            self._was_in_vain = True
            await self._save(turn.progress.failed(turn.now))
            return 0.0
        self._was_in_vain = False
        progress = await self._judged(brought, turn.progress)
        if not await self._pages.is_current(brought):
            return _HURRY
        return await self._apply(brought, progress, turn.now)

    async def _judged(self, brought: Brought, progress: Progress) -> Progress:
        """The progress after the looks that have ended. If looks are missing, they are made at this
        page, which waits for them."""
        until = self._clock.monotonic() + _PENDING
        progress = await self._folded(progress)
        while (missing := progress.belief.missing(self._store)) and self._clock.monotonic() < until:
            if self._looks.under_way == 0:
                for each in brought.page.items[:missing]:
                    item = self._pages.listed(brought, each)
                    self._looks.send(item, Purpose.WARM, brought.due)
            if self._looks.under_way == 0:
                break
            await self._clock.sleep(_HURRY)
            progress = await self._folded(progress)
        return progress

    async def _folded(self, progress: Progress) -> Progress:
        """The progress after the looks that have ended."""
        before, results = progress.belief, list(self._looks.results)
        belief = before
        for look, training_id in results:
            belief = belief.after(look, training_id)
        if belief.is_different and belief.stored:
            await self._pages.drop_stored(self.caller.partition)
        purges = self._pages.tiers.purges(self.caller.partition)
        if purges != self._purges_seen:
            self._purges_seen, belief = purges, belief.purged()
        folded = replace(progress, belief=belief)
        if belief != before:
            await self._save(folded)
        del self._looks.results[: len(results)]
        state = belief.state(self._store)
        if state is not before.state(self._store):
            self._observer.list_moved(self.caller.tenant, state, belief.about)
        return folded

    async def _apply(self, brought: Brought, progress: Progress, now: float) -> float:
        belief, page = progress.belief, brought.page
        repeats = self._target.meet(brought, progress)
        stores = belief.may_store(self._store)
        if not stores:
            self._catalogue.forget()
        if not belief.is_behind:
            applied = await self._pages.apply(brought, stores=stores)
            self._follow_up(brought, applied)
            is_stored = any(each.is_stored for each in applied)
            belief = replace(belief, stored=belief.stored or is_stored)
        if stores:
            spoke = Spoke(brought.spoke_at, brought.as_of)
            self._catalogue.meet(page, brought.reply, brought.offset, spoke)
        after = replace(progress.after(page, brought.as_of, repeats=repeats), belief=belief)
        after = self._paced(after, now)
        end, rows = after.end(page), after.offset
        if end is not None:
            self._catalogue.end(page.total if end is SweepEnd.COMPLETE else None)
            after = self._ended(after, end)
        leaf = Leaf(brought.as_of, rows_of(page))
        if not await self._save(after, News(brought.offset, leaf, self._catalogue.head())):
            return _TAKE_EVERY
        if end is not None:
            self._observer.sweep_ended(self.caller.tenant, end, rows)
            self._look_at_target(progress)
        return 0.0

    def _follow_up(self, brought: Brought, applied: list[Applied]) -> None:
        """Make the single calls that a page led to, but only one of those about doubtful items."""
        doubtful = [each for each in applied if each.verdict is ListVerdict.DOUBTFUL]
        for each in doubtful[:1]:
            self._looks.send(each.listed, Purpose.VERIFY, ANY)
        newer = [each for each in applied if each.verdict is ListVerdict.NEWER]
        newer = [each for each in newer if not self._looks.is_refuted(each.listed)]
        late = next((each for each in newer if each.is_late), None)
        for each in newer:
            if each is late or not each.is_stored:
                is_late = each is late
                self._looks.send(each.listed, Purpose.VERIFY, brought.due, is_late=is_late)

    def _look_at_target(self, progress: Progress) -> None:
        """Make the one look of a sweep. The first sweep began with looks."""
        target = None if progress.is_first else self._target.take()
        if target is not None:
            brought, training = target
            due = ANY if progress.belief.is_behind else brought.due
            self._looks.send(self._pages.listed(brought, training), Purpose.VERIFY, due)

    def _ended(self, progress: Progress, end: SweepEnd) -> Progress:
        about = progress.belief.about
        if about and not self._target.has_met(about):  # the list has lost it, so it is not behind
            progress = replace(progress, belief=replace(progress.belief, about=""))
        return progress.ended(end)

    def _paced(self, progress: Progress, now: float) -> Progress:
        """Set the time when the next page is due: one gap after this page was due, or sooner in a
        cold start. The sweep does not make up for a pause, because pages would then come in a
        burst."""
        gap = self._pace().gap(progress.total)
        if progress.is_first and self._warms:
            return replace(progress, next_at=now + min(gap, _HURRY))
        return replace(progress, next_at=max(progress.next_at + gap, now))

    async def _turn_off(self, turn: Turn, why: str) -> float:
        self._was_in_vain = True
        off = turn.progress.failed(turn.now, why)
        await self._save(off)
        self._observer.sweep_ended(self.caller.tenant, SweepEnd.REFUSED, turn.progress.offset)
        self._observer.sweep_off(self.caller.tenant, why, off.next_at - turn.now)
        return _TAKE_EVERY

    async def _save(self, progress: Progress, news: News | None = None) -> bool:
        """Store the progress, if this replica still leads."""
        is_stored = await self._shared.note(self.caller.partition, progress, news)
        if is_stored and self.turn is not None:
            self.turn = replace(self.turn, progress=progress)
        return is_stored


class _Target:
    """Chooses the item of the look that ends a sweep, while the pages of the sweep come: the one
    that showed that the list is behind, or the one that changed last, or, if none changed since the
    last look, the one that was read most."""

    def __init__(self, local: LocalStore, partition: str) -> None:
        self._local = local
        self._partition = partition
        self._sweep = -1
        self._met: dict[str, int] = {}  # for each training of this sweep: the first row of its page
        self._looked_at = Instant(0)  # the latest version of all looks
        self._rank = (False, Instant(0), -1)
        self._item: tuple[Brought, Training] | None = None

    def has_met(self, training_id: str) -> bool:
        """Whether this sweep has met the training."""
        return training_id in self._met

    def meet(self, brought: Brought, progress: Progress) -> bool:
        """Note the trainings of the page. Returns whether this replica has met one of them twice in
        this sweep. A page can be noted again."""
        first, items = brought.offset, brought.page.items
        if first == 0 or progress.sweeps != self._sweep:
            self._sweep, self._met, self._item = progress.sweeps, {}, None
            self._rank = False, Instant(0), -1
        for each in items:
            self._met.setdefault(each.id, first)
            held = self._local.peek(Key(self._partition, each.id))
            version = each.updated_at if each.updated_at > self._looked_at else Instant(0)
            reads = 0 if held is None else held.reads
            rank = each.id == progress.belief.about, version, reads
            if rank >= self._rank:
                self._rank, self._item = rank, (brought, each)
        return len({each.id for each in items if self._met[each.id] == first}) < len(items)

    def take(self) -> tuple[Brought, Training] | None:
        """The item, and its page."""
        if self._item is not None:
            self._looked_at = max(self._looked_at, self._item[1].updated_at)
        return self._item
