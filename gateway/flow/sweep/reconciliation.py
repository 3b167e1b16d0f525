"""Applies a page of the list to the stored responses, and tells the other replicas.

If an item has a later version than the floor of its training, the floor is raised. A version far
in the future is doubtful, and raises no floor. A *single call* asks for one training. Its answer is
a *single answer*.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from cachetools import FIFOCache

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.policy import Rules
from gateway.core.errors import RedisUnavailable
from gateway.core.http.fields import Reply
from gateway.core.instant import to_seconds
from gateway.core.sweep.list_item import (
    Belief,
    Claims,
    Contradictions,
    Likeness,
    Listed,
    ListVerdict,
    listed,
)
from gateway.core.sweep.progress import Progress
from gateway.core.upstream.list_page import Page
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import Cause, NoticeKind, Purpose, StoreVerdict
from gateway.flow.answer import Ask
from gateway.flow.cache.tiers import Tiers
from gateway.flow.fill.collapse import Landed
from gateway.flow.sweep.refresh_queue import Errand, Following
from gateway.flow.sweep.store_from_list import Filling, Item, batches, give_way, is_later
from gateway.ports import Bus, Clock, ListStore, Notice, Observer, SharedStore

# The most items that Redis compares in one round trip.
_COMPARED_AT_ONCE: Final = 20
# At most this many items are handled without a pause for requests of callers. Ten take about a
# third of a millisecond.
_ITEMS_AT_ONCE: Final = 10
# If this number of single answers in a row contradict the list, the whole list is not believed.
_MOST_CONTRADICTIONS: Final = 5
# At most this many raised floors are remembered. If the whole list is not believed, these floors
# are lowered. A floor that is not remembered is lowered only if the single answer for its training
# has a version below the floor.
_MOST_CLAIMED: Final = 10_000
# If single calls show for this number of trainings that their items have other bytes than single
# answers, no more single calls are made to compare bytes.
_MOST_UNLIKE: Final = 10


@dataclass(frozen=True, slots=True)
class Brought:
    """A page of the list, and the time when it was requested.

    `asked_at`: on the clock that all replicas share. `asked_here`: monotonic.
    """

    caller: Caller
    reply: Reply
    page: Page
    asked_at: float
    asked_here: float


class Reconciliation:
    """Applies pages to the stored responses, one page at a time."""

    def __init__(
        self,
        lists: ListStore,
        tiers: Tiers,
        shared: SharedStore,
        clock: Clock,
        observer: Observer,
        *,
        bus: Bus,
        following: Following,
        filling: Filling,
        rules: Rules,
    ) -> None:
        self._lists = lists
        self._tiers = tiers
        self._shared = shared
        self._bus = bus
        self._clock = clock
        self._observer = observer
        self._following = following
        self._filling = filling
        self._rules = rules
        self._in_a_row = 0  # how many single answers in a row contradicted the list
        self._contradictions = Contradictions()
        self._claimed: FIFOCache[Key, Listed] = FIFOCache(_MOST_CLAIMED)
        # The floors to lower: the key, the item that raised the floor, and the single answer with a
        # version below the floor (None: the whole list is not believed).
        self._refuted: deque[tuple[Key, Listed, Entry | None]] = deque()
        # The trainings whose items had other bytes than the stored responses of the same version,
        # with a single call that has not ended, or that did not bring the bytes of the item.
        self._unlike: set[str] = set()
        # How many single calls this sweep may still make for checks, and how many of them only to
        # compare bytes.
        self._spare, self._spare_for_bytes = 0, 0
        self.warms = True  # False if the setting `sweep.warm` is `off`

    @property
    def is_contradicted(self) -> bool:
        """Whether the whole list is not believed."""
        return self._in_a_row >= _MOST_CONTRADICTIONS

    @property
    def contradictions(self) -> Contradictions:
        """Trainings about which the list is not believed."""
        return self._contradictions

    async def disbelieve(self) -> None:
        """Lower all raised floors that are remembered. Raises RedisUnavailable."""
        self._in_a_row = 0
        self._refuted.extend((key, item, None) for key, item in self._claimed.items())
        self._claimed.clear()
        await self.settle()

    async def settle(self) -> None:
        """Lower each floor in `_refuted`. If `_refuted` has a single answer for it, store this
        answer. While a floor is too high, each request for its training costs a call.

        Raises RedisUnavailable. The next `settle` then lowers the floors that are left.
        """
        while self._refuted:
            key, item, entry = self._refuted[0]
            asked_at = self._clock.monotonic()
            if await self._lists.take_back(key, item.updated_at) and entry is not None:
                await self._filling.deposit(key, entry, asked_at)
            self._refuted.popleft()

    async def apply(self, brought: Brought, progress: Progress, spare: int) -> Likeness:
        """Apply a page to the stored responses. Returns how far the bytes of items agree with the
        bytes of single answers.

        progress  how far the sweep had come before this page
        spare     how many single calls one sweep may make to check trainings

        Raises RedisUnavailable. A page that was applied in part can be applied again without harm.
        """
        filling = self._filling
        if progress.offset == 0:
            # If there is only one call, it is for bytes in every other sweep.
            self._spare, self._spare_for_bytes = spare, (spare + progress.sweeps % 2) // 2
        likeness = await filling.settle(progress.likeness)
        believed = self._believed(brought, progress.sweeps)
        seen: list[Item] = []
        for trainings in batches(believed, _COMPARED_AT_ONCE):
            found = await self._compare(brought, trainings)
            for some in batches(found, _ITEMS_AT_ONCE):
                for each in some:
                    likeness = filling.compare(each, likeness)
                    self._act_on(brought, each, progress.sweeps)
                await give_way()
            seen += found
        asked = (brought.asked_at, brought.asked_here)
        filled, likeness = await filling.fill(seen, brought.reply, asked, likeness)
        newer = [each.listed for each in seen if each.compared.verdict is ListVerdict.NEWER]
        await self._outdate(brought.caller, newer, filled, progress.sweeps)
        warming = self.warms and not progress.is_warm
        await filling.learn(progress, seen, likeness, warming=warming)
        return likeness

    def note_stored(self, likeness: Likeness) -> None:
        """As Filling.note_stored. Call this after the result of `apply` was stored."""
        self._filling.note_stored(likeness)

    async def _compare(self, brought: Brought, trainings: list[Training]) -> list[Item]:
        partition = brought.caller.partition
        items: list[Listed] = []
        for some in batches(trainings, _ITEMS_AT_ONCE):
            await give_way()
            items += [self._listed(brought, each) for each in some]
        compared = await self._lists.compare(partition, items, self._rules.windows.keep)
        return [
            Item(Key(partition, training.id), training, item, each)
            for training, item, each in zip(trainings, items, compared, strict=True)
        ]

    def _act_on(self, brought: Brought, found: Item, sweep: int) -> None:
        key, verdict, floor = found.key, found.compared.verdict, found.compared.floor
        if verdict is ListVerdict.CONFIRMED and floor is not None:
            last = found.listed.confirmation(floor.generation)
            self._tiers.confirming.renew(key, floor, last, brought.asked_here)
            self._check_bytes(brought, found, floor.digest)
        elif verdict is ListVerdict.DOUBTFUL:
            self._check(brought, key, frozenset((found.listed.updated_at,)), sweep)
        elif verdict is not ListVerdict.NEWER:
            return
        self._observer.swept(key, verdict)

    def _believed(self, brought: Brought, sweep: int) -> list[Training]:
        """The items that are believed, one for each training. If a training's items are not
        believed, a single call may check them."""
        rows: dict[str, list[Training]] = {}
        for training in brought.page.items:
            rows.setdefault(training.id, []).append(training)
        believed = []
        for training_id, same in rows.items():
            claims = frozenset(each.updated_at for each in same)
            belief = self._contradictions.belief(training_id, claims, sweep)
            key = Key(brought.caller.partition, training_id)
            if belief is Belief.BELIEVED:
                believed.append(same[0])
                continue
            self._observer.swept(key, ListVerdict.CONTRADICTED)
            if belief is Belief.ASKED:
                self._check(brought, key, claims, sweep)
        return believed

    @property
    def is_awaiting(self) -> bool:
        """Whether the next sweep has to wait for single answers."""
        return self._filling.is_awaiting

    async def prepare(self, progress: Progress) -> None:
        """Take tickets, as `Filling.prepare` does. Call this before the page is requested."""
        warming = self.warms and not progress.is_warm
        await self._filling.prepare(progress.offset, progress.likeness, warming=warming)

    async def look_for(self, caller: Caller, absent: Iterable[str]) -> None:
        """Make a single call for each training in `absent` that is stored. `absent`: trainings that
        are missing on the list. If this sweep has too few single calls left, only the trainings
        with the most reads are checked. A response that is not checked is no longer fresh
        once its age exceeds the staleness bound (see core/sweep/staleness_bound)."""
        missing = list(absent)
        self._unlike.difference_update(missing)
        if self._spare <= 0:
            return
        standings = await self._shared.confirm([Key(caller.partition, each) for each in missing])
        stored = [key for key, each in standings.items() if each and each.floor.digest]
        for key in sorted(stored, key=self._reads, reverse=True)[: self._spare]:
            self._verify(caller, key, lambda _: None)

    def _reads(self, key: Key) -> int:
        held = self._tiers.held(key)
        return 0 if held is None else held.reads

    def _listed(self, brought: Brought, training: Training) -> Listed:
        jitter = self._clock.jitter()
        return listed(training, brought.reply, brought.asked_at, self._rules.windows, jitter)

    async def _outdate(
        self, caller: Caller, newer: Sequence[Listed], filled: set[str], sweep: int
    ) -> None:
        """Tell the other replicas that the items `newer` have raised the floors of their trainings.
        Make a single call for each of these trainings that is not in `filled`. `filled`: the
        trainings that were stored from the page."""
        if not newer:
            return
        ids = tuple(item.training_id for item in newer)
        for item in newer:
            if item.training_id in filled:
                self._observer.invalidated(Cause.UPDATED_AT, item.training_id)
                self._observer.lagged(max(0.0, self._clock.now() - to_seconds(item.updated_at)))
            else:
                self._tiers.doubt(Key(caller.partition, item.training_id))
        with suppress(RedisUnavailable):
            await self._bus.announce(Notice(NoticeKind.CHANGED, ids, caller.partition))
        for item in newer:
            if item.training_id not in filled:
                self._fetch(caller, item, sweep)

    def _fetch(self, caller: Caller, item: Listed, sweep: int) -> None:
        key = Key(caller.partition, item.training_id)
        self._claimed[key] = item
        then = partial(self._note_fetched, key, item, sweep)
        self._following.send(Errand(Ask(key, caller), Purpose.REFRESH, then))

    def _note_fetched(self, key: Key, item: Listed, sweep: int, landed: Landed | None) -> None:
        """Note whether the single answer has the version of the item, or a later one. If the answer
        was refused because its version is below the floor, the next `settle` lowers the floor and
        stores the answer."""
        if not is_later(landed, item.confirmed_at):
            return
        claimed, entry = self._claimed.pop(key, item), landed.held.entry
        if entry.updated_at is not None and entry.updated_at >= item.updated_at:
            self._in_a_row = 0
            return
        self._note_contradiction(
            key, frozenset((item.updated_at,)), item.confirmed_at, sweep, landed
        )
        if landed.verdict is StoreVerdict.OLDER:
            self._refuted.append((key, claimed, entry))

    def _check(self, brought: Brought, key: Key, claims: Claims, sweep: int) -> None:
        """Make a single call to learn the true version, if this sweep has a call left."""
        if self._spare <= 0:
            return
        then = partial(self._note_contradiction, key, claims, brought.asked_at, sweep)
        self._verify(brought.caller, key, then)

    def _verify(self, caller: Caller, key: Key, then: Callable[[Landed | None], None]) -> None:
        """Make one of the single calls that this sweep has left."""
        self._spare -= 1
        self._following.send(Errand(Ask(key, caller), Purpose.VERIFY, then))

    def _note_contradiction(
        self, key: Key, claims: Claims, asked_at: float, sweep: int, landed: Landed | None
    ) -> None:
        """Note whether a single answer contradicts `claims`, the versions of the training on the
        page. `asked_at`: as in `Brought`."""
        if not is_later(landed, asked_at):
            return
        version = landed.held.entry.updated_at
        contradicts = self._contradictions.answered(key.training_id, claims, version, sweep)
        # An answer without a version does not count, because the training has perhaps been deleted.
        if version is not None:
            self._in_a_row = self._in_a_row + 1 if contradicts else 0

    def _check_bytes(self, brought: Brought, found: Item, stored: str) -> None:
        """Make a single call if the item has other bytes than the stored response of its version,
        whose digest is `stored`: the training was perhaps edited without a later `updated_at`."""
        training_id = found.listed.training_id
        if found.listed.digest == stored:
            self._unlike.discard(training_id)
            return
        is_open = training_id not in self._unlike and len(self._unlike) < _MOST_UNLIKE
        if is_open and min(self._spare, self._spare_for_bytes) > 0:
            self._spare_for_bytes -= 1
            self._unlike.add(training_id)
            self._verify(brought.caller, found.key, partial(self._note_bytes, found.listed))

    def _note_bytes(self, item: Listed, landed: Landed | None) -> None:
        """Keep the training in `_unlike` if the single answer has the version of the item, but
        other bytes. Otherwise a later page may ask about it again."""
        if is_later(landed, item.confirmed_at):
            entry = landed.held.entry
            if entry.updated_at == item.updated_at and entry.digest != item.digest:
                return
        self._unlike.discard(item.training_id)
