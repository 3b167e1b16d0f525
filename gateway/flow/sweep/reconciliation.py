"""Reads pages of the list, applies them to the stored responses, and tells the other replicas.

A *single call* asks for one training. Its answer is a *single answer*.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from cachetools import LRUCache

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Entry, FetchStart, Key
from gateway.core.cache.marks import Facts, Ticket, Words
from gateway.core.cache.policy import Rules, date_of
from gateway.core.errors import ListRefused, RedisUnavailable
from gateway.core.http.fields import Reply, delta_seconds
from gateway.core.instant import Instant, from_seconds, parse_http_date, to_seconds
from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.core.upstream.list_page import THE_LIST, Page, fields_of_items
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import Cause, NoticeKind, Purpose
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.cache.tiers import Tiers
from gateway.flow.fill.page_call import ask_for_page, give_way
from gateway.flow.fill.upstream_call import Outbound
from gateway.flow.request.response_selection import Serving
from gateway.ports import (
    Bus,
    Call,
    Clock,
    Compared,
    Notice,
    Observer,
    SharedStore,
    SharedSweep,
)

# At most this many items are handled without a pause for requests of callers. Ten take about a
# third of a millisecond.
_ITEMS_AT_ONCE: Final = 10
# If a version is older than an earlier page without it by more than this (seconds), the list is
# behind. The API's clock is known to a second.
_TOLERANCE: Final = 2.0
# The words of marks, and since when they are known (shared clock).
_Since = tuple[tuple[Words | None, ...], float]
_NEVER_READ: Final[_Since] = (), 0.0
_MOST_PARTITIONS: Final = 1_000  # whose words are remembered


@dataclass(frozen=True, slots=True)
class Brought:
    """A page of the list that begins at row `offset`.

    start       was taken before the page was requested. A purge or a 401 rules the page out, as it
                does a training
    asked_here  when the page was requested (monotonic)
    as_of       the moment for which the page speaks: when it was requested, minus its `Age`
    ahead       how many seconds the API's clock is ahead of ours, at least
    """

    caller: Caller
    reply: Reply
    page: Page
    offset: int
    start: FetchStart
    asked_here: float
    as_of: float
    ahead: float

    @property
    def spoke_at(self) -> float:
        """As `as_of`, but monotonic."""
        return self.asked_here - (self.start.started - self.as_of)

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
    """Reads pages, and applies them to the stored responses, one page at a time.

    timeout  the longest time for a page, in seconds
    refused  is called with the status if the API refuses the list to the caller's own token
    """

    sweeps: SharedSweep
    outbound: Outbound
    tiers: Tiers
    local: LocalStore
    shared: SharedStore
    bus: Bus
    serving: Serving
    rules: Rules
    clock: Clock
    observer: Observer
    timeout: float
    refused: Callable[[Caller, int], Awaitable[None]]
    # For each partition the words of the marks that its pages have in common.
    words_since: LRUCache[str, _Since] = field(default_factory=lambda: LRUCache(_MOST_PARTITIONS))

    async def read(self, caller: Caller, offset: int, purpose: Purpose) -> Brought:
        """Ask for the page that begins at row `offset`. Raises UpstreamFailure, CallWithheld,
        ListRefused."""
        start, began = await self._begin(caller.partition), self.clock.monotonic()
        deadline = began + self.timeout
        call = Call(THE_LIST, caller.token, purpose, deadline, offset=offset)
        try:
            reply, page = await ask_for_page(self.outbound, caller, call, self.clock)
        except ListRefused as refused:
            if caller.owns_token:
                await self.refused(caller, refused.reply.status)
            raise
        self.observer.sweeps.page_read(page.rows)
        for fault in page.rejected:
            fault.conceal(caller.token)
            self.observer.payload_rejected(fault.invalid, THE_LIST, fault.what)
        age = delta_seconds(reply.header(b"age"))
        date = parse_http_date((reply.header(b"date") or b"").decode("latin-1"))
        ahead = 0.0 if date is None else date - (self.clock.now() - age)
        return Brought(caller, reply, page, offset, start, began, start.started - age, ahead)

    async def _begin(self, partition: str) -> FetchStart:
        start = await self.tiers.begin(Key(partition, THE_LIST))
        words = start.ticket[:2]
        if words != self.words_since.get(partition, _NEVER_READ)[0]:
            self.words_since[partition] = words, start.started
        return start

    def _ticket(self, brought: Brought) -> Ticket:
        """The words for items of the page, if they were read before the moment of the page.
        Otherwise none: perhaps an order came after that moment."""
        words, since = self.words_since.get(brought.caller.partition, _NEVER_READ)
        is_early = words == brought.start.ticket[:2] and since <= brought.as_of
        return brought.start.ticket if is_early else Ticket()

    async def is_current(self, brought: Brought) -> bool:
        """Whether the page may still be applied: neither a purge nor a 401 came since it was asked
        for."""
        now, then = await self._begin(brought.caller.partition), brought.start
        return None not in then.ticket and now.ticket[:2] == then.ticket[:2]

    def listed(self, brought: Brought, training: Training) -> Listed:
        """What the page says about a training."""
        return Listed(training, date_of(brought.reply, brought.as_of), brought.as_of)

    async def apply(self, brought: Brought, *, stores: bool) -> list[Applied]:
        """Apply a page. `stores`: items may be stored. Raises RedisUnavailable. A page that was
        applied in part can be applied again without harm."""
        partition, page = brought.caller.partition, self._ticket(brought)
        applied: list[Applied] = []
        times = Counter(each.id for each in brought.page.items)
        # A page that has a training twice states perhaps two versions of it.
        once = [each for each in brought.page.items if times[each.id] == 1]
        for first in range(0, len(once), _ITEMS_AT_ONCE):
            await give_way()
            trainings = once[first : first + _ITEMS_AT_ONCE]
            items = [self.listed(brought, each) for each in trainings]
            heard = self.tiers.orders
            known = await self.sweeps.compare(partition, items, page, stores=stores)
            taken = partial(self._take, brought, heard=heard, stores=stores)
            applied += await asyncio.gather(*map(taken, items, known))
        stored = tuple(each.listed.training_id for each in applied if each.is_stored)
        if stored:
            await self._tell(Notice(NoticeKind.CHANGED, stored, partition))
        return applied

    async def drop_stored(self, partition: str) -> None:
        """Drop all that is stored in the partition, because items of the list had other bytes than
        single answers."""
        await self.shared.order(None, partition, None, is_hard=True)
        self.serving.under_way.forget(lambda key: key.partition == partition)
        self.tiers.purge_local(partition, soft=False)
        await self._tell(Notice(NoticeKind.PURGED, partition=partition))

    async def _take(
        self, brought: Brought, item: Listed, compared: Compared, *, heard: int, stores: bool
    ) -> Applied:
        """Apply an item. `heard`: how many orders had come before it was compared."""
        key, verdict = Key(brought.caller.partition, item.training_id), compared.verdict
        if verdict is ListVerdict.CONFIRMED:
            self.tiers.confirming.renew(key, compared.found, brought.asked_here)
        self.observer.sweeps.swept(key, verdict)
        is_stored = False
        if stores and compared.ticket is not None and self._is_missing(key, compared):
            entry = self._entry(brought, item, compared.ticket)
            is_stored = await self._store(brought, key, entry, verdict, heard)
        is_late = verdict is ListVerdict.NEWER and _is_late(brought, item, compared.found.stored)
        return Applied(item, verdict, is_stored, is_late)

    def _is_missing(self, key: Key, compared: Compared) -> bool:
        """Whether the body of the training is missing in the store."""
        if compared.verdict is ListVerdict.CONFIRMED:
            holds_bodies = self.shared.holds_bodies
            return not (compared.is_held if holds_bodies else self.local.peek(key))
        return compared.verdict in (ListVerdict.NEWER, ListVerdict.UNKNOWN)

    async def _store(
        self, brought: Brought, key: Key, entry: Entry, verdict: ListVerdict, heard: int
    ) -> bool:
        if self.rules.why_not_stored(entry, brought.reply) is not None:
            return False
        held = self.tiers.render(entry, brought.asked_here)
        stored = await self.tiers.store_item(key, entry)
        if stored.verdict.is_refusal:
            return False
        if verdict is ListVerdict.NEWER and entry.updated_at is not None:
            self.observer.invalidated(Cause.UPDATED_AT, key.training_id)
            lag = self.clock.now() - to_seconds(entry.updated_at)
            self.observer.lagged(max(0.0, lag))
        self.observer.stored(key, stored.verdict)
        if self.tiers.orders > heard:
            # An order came meanwhile. Redis perhaps judged the entry before the order. So
            # the next look-up asks Redis again.
            self.tiers.doubt(key)
            return True
        if self.local.peek(key) is None:
            if not self.shared.holds_bodies:
                self.local.offer(key, held)
        elif not self.tiers.holds_later(key, entry):
            self.local.replace(key, held)
        self.serving.under_way.bring(key, held)
        return True

    def _entry(self, brought: Brought, item: Listed, ticket: Ticket) -> Entry:
        """The entry that is made from the item, as if the item were a single answer. The entry has
        the header fields of the page."""
        start = FetchStart(item.confirmed_at, ticket)
        single = Reply(200, fields_of_items(brought.reply), item.training.body)
        entry = self.rules.admit(single, item.training, start, (), self.clock.jitter())
        return entry.but(date=item.date)

    async def _tell(self, notice: Notice) -> None:
        """Tell the other replicas."""
        with suppress(RedisUnavailable):
            await self.bus.announce(notice)


def _is_late(brought: Brought, item: Listed, stored: Facts | None) -> bool:
    """Whether an earlier answer or page should have had the version of this item."""
    if stored is None:
        return False
    edited_at = to_seconds(item.updated_at) - brought.ahead
    return edited_at + _TOLERANCE < stored.confirmed
