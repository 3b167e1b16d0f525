"""Applies a page of the list to the stored responses, and tells the other replicas.

A *single call* asks for one training. Its answer is a *single answer*.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Entry, Floor, Key, Ticket
from gateway.core.cache.policy import Rules
from gateway.core.errors import RedisUnavailable
from gateway.core.http.fields import Reply, delta_seconds
from gateway.core.instant import Instant, from_seconds, parse_http_date, to_seconds
from gateway.core.sweep.list_item import Listed, ListVerdict, listed
from gateway.core.upstream.list_page import Page
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import Cause, NoticeKind
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.cache.tiers import Tiers
from gateway.flow.request.response_selection import Serving
from gateway.ports import Bus, Clock, Compared, ListStore, Notice, Observer, SharedStore

# At most this many items are handled without a pause for requests of callers. Ten take about a
# third of a millisecond.
_ITEMS_AT_ONCE: Final = 10
# Turns of the event loop between two pieces of a page.
_TURNS: Final = 3
# A page is never made into the headers of an entry with these fields: they are about the page.
_OF_THE_PAGE: Final = frozenset((b"age", b"etag", b"last-modified", b"link"))
# If a version is older than an earlier page without it by more than this (seconds), the list is
# behind. The API's clock is known to a second.
_TOLERANCE: Final = 2.0
# Takes the place of a training's id, in the list's ticket and in events. No training can have it.
THE_LIST: Final = "(the list)"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Brought:
    """A page of the list that begins at row `offset`, and the ticket that was taken before it was
    requested (see `Reconciliation.ticket`). `asked_here` is monotonic, `received_at` on the clock
    of the replicas."""

    caller: Caller
    reply: Reply
    page: Page
    offset: int
    ticket: Ticket
    asked_here: float
    received_at: float

    @property
    def age(self) -> float:
        """The age of the page, in seconds."""
        return delta_seconds(self.reply.header(b"age"))

    @property
    def as_of(self) -> float:
        """The moment for which the page speaks."""
        return self.ticket.started - self.age

    @property
    def ahead(self) -> float:
        """How many seconds the API's clock is ahead of ours, at least."""
        date = parse_http_date((self.reply.header(b"date") or b"").decode("latin-1"))
        return 0.0 if date is None else date - (self.received_at - self.age)

    @property
    def due(self) -> Instant:
        """Versions up to this one should be on the page."""
        return from_seconds(max(0.0, self.as_of + self.ahead - _TOLERANCE))


@dataclass(frozen=True, slots=True)
class Applied:
    """What an item of a page led to. `is_late`: an earlier answer or page should have had its
    version."""

    listed: Listed
    verdict: ListVerdict
    is_stored: bool
    is_late: bool


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Applies pages to the stored responses, one page at a time."""

    lists: ListStore
    tiers: Tiers
    local: LocalStore
    shared: SharedStore
    bus: Bus
    clock: Clock
    observer: Observer
    serving: Serving
    rules: Rules

    async def ticket(self, partition: str) -> Ticket:
        """The ticket of a page. A purge or a 401 makes it invalid, as it does for a training."""
        return await self.tiers.begin(Key(partition, THE_LIST))

    def purges(self, partition: str) -> int:
        """A number that changes with each purge of the partition that this replica sees."""
        return self.tiers.purges(partition)

    async def is_current(self, brought: Brought) -> bool:
        """Whether the page may still be applied: neither a purge nor a 401 came since it was asked
        for."""
        now, then = await self.ticket(brought.caller.partition), brought.ticket
        return bool(then.epoch) and (now.epoch, now.generation) == (then.epoch, then.generation)

    def listed(self, brought: Brought, training: Training) -> Listed:
        """What the page says about a training."""
        jitter = self.clock.jitter()
        return listed(training, brought.reply, brought.as_of, self.rules.windows, jitter)

    async def apply(self, brought: Brought, *, stores: bool) -> list[Applied]:
        """Apply a page. `stores`: items may be stored. Raises RedisUnavailable. A page that was
        applied in part can be applied again without harm."""
        partition = brought.caller.partition
        applied: list[Applied] = []
        for trainings in batches(_without_repeated(brought.page.items), _ITEMS_AT_ONCE):
            await give_way()
            items = [self.listed(brought, each) for each in trainings]
            known = await self.lists.compare(partition, items, brought.ticket, stores=stores)
            taken = partial(self._take, brought, stores=stores)
            applied += await asyncio.gather(*map(taken, items, known))
        await self._tell(partition, [each.listed.training_id for each in applied if each.is_stored])
        return applied

    async def drop_stored(self, partition: str) -> None:
        """Drop all that is stored in the partition, because items of the list had other bytes than
        single answers."""
        await self.shared.purge(partition, soft=False)
        self.serving.forget(lambda key: key.partition == partition)
        self.tiers.purge_local(partition, soft=False)
        with suppress(RedisUnavailable):
            await self.bus.announce(Notice(NoticeKind.PURGED, partition=partition))

    async def _take(
        self, brought: Brought, item: Listed, compared: Compared, *, stores: bool
    ) -> Applied:
        key, verdict = Key(brought.caller.partition, item.training_id), compared.verdict
        floor = compared.floor
        if floor is not None and verdict is ListVerdict.CONFIRMED:
            last = item.confirmation(floor.generation)
            self.tiers.confirming.renew(key, floor, last, brought.asked_here)
        self.observer.swept(key, verdict)
        is_stored = False
        if stores and floor is not None and self._is_missing(key, compared):
            entry = self._entry(brought, item, floor)
            is_stored = await self._store(brought, key, entry, verdict)
        is_late = verdict is ListVerdict.NEWER and _is_late(brought, item, floor)
        return Applied(item, verdict, is_stored, is_late)

    def _is_missing(self, key: Key, compared: Compared) -> bool:
        """Whether the body of the training is missing in the store."""
        if compared.verdict is ListVerdict.CONFIRMED:
            holds_bodies = self.shared.holds_bodies
            return not (compared.is_held if holds_bodies else self.local.peek(key))
        return compared.verdict in (ListVerdict.NEWER, ListVerdict.UNKNOWN)

    async def _store(self, brought: Brought, key: Key, entry: Entry, verdict: ListVerdict) -> bool:
        if self.rules.why_not_stored(entry, brought.reply) is not None:
            return False
        held, heard = self.tiers.render(entry, brought.asked_here), self.tiers.orders
        stored = await self.tiers.offer(key, held)
        if stored.verdict.is_refusal:
            return False
        if verdict is ListVerdict.NEWER and entry.updated_at is not None:
            self.observer.invalidated(Cause.UPDATED_AT, key.training_id)
            lag = self.clock.now() - to_seconds(entry.updated_at)
            self.observer.lagged(max(0.0, lag))
        self.observer.stored(key, stored.verdict)
        if self.tiers.orders > heard:
            # An order came during the offer. Redis perhaps judged the entry before the order. So
            # the next look-up asks Redis again.
            self.tiers.doubt(key)
            return True
        if self.local.peek(key) is None:
            if not self.shared.holds_bodies:
                self.local.offer(key, held)
        elif not self.tiers.holds_later(key, entry):
            self.local.replace(key, held)
        self.serving.bring(key, held)
        return True

    def _entry(self, brought: Brought, item: Listed, floor: Floor) -> Entry:
        """The entry that is made from the item, as if the item were a single answer. The entry has
        the header fields of the page."""
        fields = tuple(each for each in brought.reply.headers if each[0] not in _OF_THE_PAGE)
        ticket = Ticket(floor.epoch, floor.generation, item.confirmed_at)
        single = Reply(200, fields, item.training.body)
        entry = self.rules.admit(single, item.training, ticket, (), self.clock.jitter())
        return entry.but(date=item.date)

    async def _tell(self, partition: str, stored: list[str]) -> None:
        """Tell the other replicas which trainings were stored."""
        if stored:
            notice = Notice(NoticeKind.CHANGED, tuple(stored), partition)
            with suppress(RedisUnavailable):
                await self.bus.announce(notice)


def _is_late(brought: Brought, item: Listed, floor: Floor | None) -> bool:
    """Whether an earlier answer or page should have had the version of this item."""
    if floor is None or not floor.started or not floor.digest:
        return False
    edited_at = to_seconds(item.updated_at) - brought.ahead
    return edited_at + _TOLERANCE < floor.started


def _without_repeated(items: Iterable[Training]) -> list[Training]:
    """The trainings that stand on the page once. A page that has a training twice states perhaps
    two versions of it."""
    once: dict[str, Training | None] = {}
    for each in items:
        once[each.id] = None if each.id in once else each
    return [each for each in once.values() if each is not None]


async def give_way() -> None:
    """Let requests of callers run. An answer often takes more than one turn of the event loop."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def batches(items: list[T], most: int) -> Iterable[list[T]]:
    """The items in groups of at most `most`."""
    return (items[start : start + most] for start in range(0, len(items), most))
