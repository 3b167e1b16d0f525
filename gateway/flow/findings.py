"""What follows from a page of the list: what is stored is renewed or outdated, the others told.

Lives here: a page held against both tiers, and the single calls that it asks for. When the next
page is due is the sweep's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from gateway.core.access import Caller
from gateway.core.entry import Key
from gateway.core.errors import RedisUnavailable
from gateway.core.instant import Instant, to_seconds
from gateway.core.likeness import Likeness
from gateway.core.listed import Listed, ListVerdict, listed
from gateway.core.page import Page
from gateway.core.progress import Progress
from gateway.core.reply import Reply
from gateway.core.rules import Rules
from gateway.core.status import Cause, NoticeKind, Purpose, StoreVerdict
from gateway.flow.answer import Ask
from gateway.flow.collapsing import Landed
from gateway.flow.fetched import Filled
from gateway.flow.filling import Filling, Item
from gateway.flow.following import Errand, Following
from gateway.flow.tiers import Tiers
from gateway.ports import Bus, Clock, ListStore, Notice, Observer, SharedStore

# So many single answers in a row that contradict the list, and it is not believed any more.
_MOST_CONTRADICTIONS: Final = 5


@dataclass(frozen=True, slots=True)
class Brought:
    """A page, and the moment when it was asked for: on the shared clock, and here."""

    caller: Caller
    reply: Reply
    page: Page
    asked_at: float
    asked_here: float


class Findings:
    """Applies pages, one at a time."""

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
        self._contradictions = 0
        self._spare = 0  # single calls that this sweep may still make
        self.warms = True  # whether a cold start makes single calls of its own

    @property
    def is_contradicted(self) -> bool:
        """Whether single calls bring other versions than the list, again and again."""
        return self._contradictions >= _MOST_CONTRADICTIONS

    def forgive(self) -> None:
        """Begin to believe the list anew."""
        self._contradictions = 0

    async def apply(self, brought: Brought, progress: Progress, spare: int) -> Likeness:
        """Renew what the page confirms, outdate what it passed, store what may be stored; how
        alike the bytes are by now. `progress` is from before the page, `spare` how many single
        calls a sweep may make.

        Raises RedisUnavailable, and may then have done a part: doing it again does no harm.
        """
        partition, filling = brought.caller.partition, self._filling
        if progress.offset == 0:
            self._spare = spare
        likeness = await filling.settle(progress.likeness)
        items = [self._listed(brought, at) for at in range(len(brought.page.items))]
        compared = await self._lists.compare(partition, items, self._rules.windows.keep)
        newer: list[Listed] = []
        seen: list[Item] = []
        for training, item, each in zip(brought.page.items, items, compared, strict=True):
            key = Key(partition, item.training_id)
            seen.append(Item(key, training, item, each))
            likeness = filling.compare(seen[-1], likeness)
            match each.verdict:
                case ListVerdict.CONFIRMED if each.floor is not None:
                    last = item.confirmation(each.floor.generation)
                    self._tiers.confirming.renew(key, each.floor, last, brought.asked_here)
                case ListVerdict.NEWER:
                    newer.append(item)
                case ListVerdict.DOUBTFUL:
                    self._follow(brought.caller, item, Purpose.VERIFY)
                case _:
                    continue
            self._observer.swept(key, each.verdict)
        asked = (brought.asked_at, brought.asked_here)
        filled, likeness = await filling.fill(seen, brought.reply, asked, likeness)
        filling.learn(progress.offset, seen, likeness, warming=self.warms and not progress.is_warm)
        await self._outdate(brought.caller, newer, filled)
        return likeness

    @property
    def is_awaiting(self) -> bool:
        """Whether another sweep had better wait for single answers that are under way."""
        return self._filling.is_awaiting

    async def prepare(self, progress: Progress) -> None:
        """Before the page is asked for with which it goes on."""
        warming = self.warms and not progress.is_warm
        await self._filling.prepare(progress.offset, progress.likeness, warming=warming)

    async def look_for(self, caller: Caller, absent: Iterable[str]) -> None:
        """Known ones that are not on the page: those that are stored are asked about singly, the
        most read first, as far as the sweep has calls for it; the others are fresh no longer than
        the bound says."""
        if self._spare <= 0:
            return
        standings = await self._shared.confirm([Key(caller.partition, each) for each in absent])
        stored = [key for key, each in standings.items() if each and each.floor.digest]
        for key in sorted(stored, key=self._reads, reverse=True)[: self._spare]:
            self._spare -= 1
            self._following.send(Errand(Ask(key, caller), Purpose.VERIFY, lambda _: None))

    def _reads(self, key: Key) -> int:
        held = self._tiers.held(key)
        return 0 if held is None else held.reads

    def _listed(self, brought: Brought, at: int) -> Listed:
        training, jitter = brought.page.items[at], self._clock.jitter()
        return listed(training, brought.reply, brought.asked_at, self._rules.windows, jitter)

    async def _outdate(self, caller: Caller, newer: Sequence[Listed], filled: set[str]) -> None:
        """The floors are raised: here and elsewhere nothing below them is served unasked. What
        could not be stored from the page is asked for singly."""
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
                self._follow(caller, item, Purpose.REFRESH)

    def _follow(self, caller: Caller, item: Listed, purpose: Purpose) -> None:
        """Let a single call tell what the training is now."""
        ask = Ask(Key(caller.partition, item.training_id), caller)
        self._following.send(Errand(ask, purpose, lambda landed: self._weigh(item, landed)))

    def _weigh(self, item: Listed, landed: Landed | None) -> None:
        """Whether the single answer bears out that there was something to ask about."""
        if not isinstance(landed, Filled):
            return
        version = landed.held.entry.updated_at
        contradicts = landed.verdict is StoreVerdict.UNCHANGED or _is_before(version, item)
        self._contradictions = self._contradictions + 1 if contradicts else 0


def _is_before(version: Instant | None, item: Listed) -> bool:
    return version is not None and version < item.updated_at
