"""Stores trainings from the list, after enough items had the same bytes as single answers.

A *single answer* is the answer to a call for one training. An item is *proven* if it had the same
bytes as the single answer of its training. An item is stored only if both conditions hold:
- Its JSON members have the same names, in the same order, as those of a proven item.
- Its ticket (epoch and generation of the floor) was read before the page was requested. So any
  later order rules the item out.

If a later check finds a difference, all entries from the list are dropped.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeGuard, TypeVar

from cachetools import FIFOCache

from gateway.core.access.caller import Caller
from gateway.core.cache.content_coding import NO_TRANSFORM, forbids_transforming
from gateway.core.cache.entry import Entry, Key, Ticket
from gateway.core.cache.policy import Rules
from gateway.core.http.fields import Headers, Reply
from gateway.core.sweep.list_item import ENOUGH, Likeness, Listed, ListVerdict
from gateway.core.sweep.progress import Progress
from gateway.core.upstream.training import Training, names_digest
from gateway.core.vocabulary import Purpose
from gateway.flow.answer import Ask
from gateway.flow.cache.tiers import Tiers
from gateway.flow.fill.collapse import Elsewhere, Landed
from gateway.flow.fill.fetch import Filled
from gateway.flow.sweep.refresh_queue import Errand, Following
from gateway.ports import Clock, Compared, LocalStore, Observer, Stored, SweepLease

# If single answers have one of these fields, nothing is stored: a page cannot have the field for
# each item.
_VALIDATORS: Final = frozenset({b"etag", b"last-modified"})
T = TypeVar("T")

# The largest sizes of `Filling._names` and `Filling._due`.
_MOST_NAMES: Final = 100
_MOST_DUE: Final = 100
# If a check fails more than so many seconds after the page of its item, it is not made again.
_OLD: Final = 600.0
# At most this many items are handled in one turn of the event loop, or changed in Redis at once.
_AT_ONCE: Final = 8
# `settle` reads at most this many ids from Redis at once.
_READ_AT_ONCE: Final = 200
# `_forget_the_unmet` handles at most this many trainings in one turn of the event loop.
_FORGOTTEN_AT_ONCE: Final = 500
# Turns of the event loop between two pieces of a page.
_TURNS: Final = 3


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a page, and what is known of its training."""

    key: Key
    training: Training
    listed: Listed
    compared: Compared


class Filling:
    """Stores items of the list. `caller` has the token for the list. `bodies_here`: only L1 holds
    bodies, because there is no Redis."""

    def __init__(
        self,
        caller: Caller,
        tiers: Tiers,
        local: LocalStore,
        lease: SweepLease,
        clock: Clock,
        *,
        observer: Observer,
        following: Following,
        rules: Rules,
        bodies_here: bool,
    ) -> None:
        self._caller = caller
        self._tiers = tiers
        self._local = local
        self._lease = lease
        self._clock = clock
        self._observer = observer
        self._following = following
        self._rules = rules
        self._bodies_here = bodies_here
        self._tickets: dict[str, Ticket] = {}  # for each training
        # The trainings without a floor, by the first row of their page.
        self._unknown: dict[int, list[str]] = defaultdict(list)
        # The names of the header fields of single answers. None: not known yet.
        self._fields: frozenset[bytes] | None = None
        self._forbids_transforming = False  # whether single answers have `no-transform`
        self._counted: dict[str, str] = {}  # for each training: the digest of its proven item
        self._met: set[str] = set()  # the trainings that this sweep has met
        self._sweep: int | None = None  # the sweep that `_met` is about
        # The `names_digest` of proven items.
        self._names: FIFOCache[str, None] = FIFOCache(_MOST_NAMES)
        self._due: deque[Item] = deque(maxlen=_MOST_DUE)  # items that were stored, to be checked
        self._awaited = 0  # how many single calls for a cold start have not ended
        self._checking = 0  # how many checks have not ended
        self._differed = False  # whether a check found a difference
        self._taken_back = 0  # how many items `settle` has dropped for the last difference

    async def prepare(self, row: int, likeness: Likeness, *, warming: bool) -> None:
        """Take tickets for trainings that had no floor when the previous sweep met them on the page
        at `row`."""
        unknown = self._unknown.pop(row, [])
        if likeness.stopped or not (likeness.is_proven or warming):
            return
        for training_id in unknown:
            ticket = await self._tiers.begin(Key(self._caller.partition, training_id))
            self._tickets[training_id] = ticket

    def compare(self, item: Item, likeness: Likeness) -> Likeness:
        """Compare the item with the stored single answer of the same version, if there is one."""
        floor, training_id = item.compared.floor, item.listed.training_id
        if item.compared.verdict is not ListVerdict.CONFIRMED or floor is None:
            return likeness
        if floor.digest == item.listed.digest == self._counted.get(training_id):
            return likeness  # these bytes were counted before
        if (fields := self._fields_of(item)) is None:
            return likeness
        names = frozenset(name for name, _ in fields)
        same = floor.digest == item.listed.digest and names.isdisjoint(_VALIDATORS)
        if same:
            self._fields = names
            self._forbids_transforming = forbids_transforming(fields)
            self._counted[training_id] = floor.digest
            self._names[names_digest(item.training.body)] = None
        elif likeness.is_proven:
            # The bytes have perhaps changed after the stored answer came. Only a new single answer
            # can prove a difference.
            self._check(item, self._note_checked)
            return likeness
        else:
            self._counted.pop(training_id, None)
        return likeness.compared(same=same)

    async def settle(self, likeness: Likeness) -> Likeness:
        """If a check found a difference, drop all entries that were stored from the list, and fetch
        their trainings again. Returns the new likeness.

        If Redis fails before the new likeness is stored, the next `settle` continues with the
        entries that are left.
        """
        self.note_stored(likeness)  # another replica has perhaps stored it
        if not self._differed:
            return likeness
        partition = self._caller.partition
        while ids := await self._lease.filled(partition, _READ_AT_ONCE):
            for some in batches(ids, _AT_ONCE):
                await self._take_back(some)
        self._observer.filling_stopped(self._caller.tenant, self._taken_back)
        return replace(likeness, same=0, stopped=True)

    def note_stored(self, likeness: Likeness) -> None:
        """Forget the difference if the likeness that was just stored says that there was one."""
        if likeness.stopped:
            self._differed, self._taken_back = False, 0

    async def _take_back(self, ids: list[str]) -> None:
        keys = [Key(self._caller.partition, each) for each in ids]
        await asyncio.gather(*map(self._tiers.drop, keys))
        for key in keys:
            self._following.send(Errand(Ask(key, self._caller), Purpose.REFRESH, lambda _: None))
        await self._lease.forget_filled(self._caller.partition, ids)
        self._taken_back += len(ids)

    async def fill(
        self, items: list[Item], reply: Reply, asked: tuple[float, float], likeness: Likeness
    ) -> tuple[set[str], Likeness]:
        """Store the items whose stored responses are outdated or missing. Returns the ids of the
        items that were stored, and the new likeness.

        `asked`: when the page was requested, by two clocks: the clock that all replicas share, and
        the monotonic clock.
        """
        filled: list[Item] = []
        is_in_doubt = self._checking or self._differed
        if likeness.is_proven and self._fields is not None and not is_in_doubt:
            wanted: list[Item] = []
            for some in batches(items, _AT_ONCE):
                wanted += filter(self._is_wanted, some)
                await give_way()
            if wanted:
                # The ids are noted first: `settle` has to find each stored item, even if Redis
                # fails in between.
                ids = [item.listed.training_id for item in wanted]
                await self._lease.note_filled(self._caller.partition, ids)
            for some in batches(wanted, _AT_ONCE):
                stored = await asyncio.gather(*(self._store(each, reply, asked) for each in some))
                filled += [each for each, took in zip(some, stored, strict=True) if took]
        likeness, due = likeness.after_filling(len(filled))
        self._due.extend(filled[:due])
        return {item.listed.training_id for item in filled}, likeness

    async def learn(
        self, progress: Progress, items: list[Item], likeness: Likeness, *, warming: bool
    ) -> None:
        """Remember a ticket for each training that has a floor, and the ids of the other trainings.
        The next sweep needs them to store items. On the first page, also make single calls: for a
        check that is due, and for a cold start.

        `progress`: how far the sweep had come before this page.
        """
        row = progress.offset
        self._met.update(item.listed.training_id for item in items)
        # The first page can be applied twice, but it begins a new sweep only once.
        if row == 0 and progress.sweeps != self._sweep:
            self._sweep = progress.sweeps
            await self._forget_the_unmet(items)
        if row == 0 and self._due:
            # Each sweep checks only one item of `_due`, so that the checks do not delay the pages.
            self._check(self._due.popleft(), self._note_due)
        for item in items:
            floor, training_id = item.compared.floor, item.listed.training_id
            self._tickets.pop(training_id, None)
            if floor is not None:
                self._tickets[training_id] = Ticket(floor.epoch, floor.generation, 0.0)
            else:
                self._unknown[row].append(training_id)
        if warming and row == 0 and likeness.same < ENOUGH:
            # Too few items are proven. So trainings without a floor are fetched, and the next sweep
            # compares their items with the single answers.
            for item in [each for each in items if each.compared.floor is None][:ENOUGH]:
                ask = Ask(item.key, self._caller)
                self._awaited += 1
                self._following.send(Errand(ask, Purpose.WARM, self._note_warmed))

    async def _forget_the_unmet(self, items: list[Item]) -> None:
        """Forget trainings that the last sweep did not meet. `items`: the items of the new sweep's
        first page."""
        for table in (self._tickets, self._counted):
            for some in batches(list(table), _FORGOTTEN_AT_ONCE):
                for training_id in set(some) - self._met:
                    del table[training_id]
                await give_way()
        self._met = {item.listed.training_id for item in items}

    @property
    def is_awaiting(self) -> bool:
        """Whether single calls for a cold start have not ended yet."""
        return self._awaited > 0

    def _note_warmed(self, _: Landed | None) -> None:
        self._awaited -= 1

    def _is_wanted(self, item: Item) -> bool:
        if item.listed.training_id not in self._tickets:
            return False
        is_wanted = item.compared.verdict in (ListVerdict.NEWER, ListVerdict.UNKNOWN)
        if item.compared.verdict is ListVerdict.CONFIRMED:
            lacks = self._bodies_here and self._local.peek(item.key) is None
            is_wanted = lacks or not item.compared.is_held
        # Only an item with the member names of a proven item is stored.
        return is_wanted and names_digest(item.training.body) in self._names

    async def _store(self, item: Item, reply: Reply, asked: tuple[float, float]) -> bool:
        known = self._tickets[item.listed.training_id]
        entry = self._entry(item, reply, Ticket(known.epoch, known.generation, asked[0]))
        if self._rules.why_not_stored(entry, reply) is not None:
            return False
        stored = await self.deposit(item.key, entry, asked[1])
        if not stored.verdict.is_refusal:
            self._observer.stored(item.key, stored.verdict)
        return not stored.verdict.is_refusal

    async def deposit(self, key: Key, entry: Entry, asked_at: float) -> Stored:
        """Store an entry that no caller asked for. It is put into L1 only in place of an earlier
        entry of the key. Without Redis, it is also put there if L1 has room."""
        held, heard = self._tiers.render(entry, asked_at), self._tiers.orders
        stored = await self._tiers.offer(key, held)
        if stored.verdict.is_refusal:
            return stored
        if self._local.peek(key) is None:
            if self._bodies_here:
                self._local.offer(key, held)
        elif self._tiers.orders > heard:
            # An order came during the offer. Redis perhaps judged the entry before the order. So
            # the next look-up asks Redis again.
            self._tiers.doubt(key)
        elif not self._tiers.holds_later(key, entry):
            self._local.replace(key, held)
        return stored

    def _entry(self, item: Item, reply: Reply, ticket: Ticket) -> Entry:
        """The entry that is made from the item, as if the item were a single answer. The entry has
        those header fields of the page that single answers have too, and the page's age and date.
        """
        names = self._fields or frozenset()
        fields: Headers = tuple(field for field in reply.headers if field[0] in names)
        if self._forbids_transforming:
            fields = (*fields, NO_TRANSFORM)
        single = Reply(200, fields, item.training.body)
        jitter, listed = self._clock.jitter(), item.listed
        entry = self._rules.admit(single, item.training, ticket, (), jitter)
        return entry.but(initial_age=listed.initial_age, date=listed.date)

    def _fields_of(self, item: Item) -> Headers | None:
        """The header fields of the stored single answer, or None."""
        last = item.compared.last()
        if last is not None and last.headers is not None:
            return last.headers
        return held.entry.headers if (held := self._local.peek(item.key)) else None

    def _check(self, item: Item, note: Callable[[Item, Landed | None], None]) -> None:
        """Make a single call to check the item. Until the answer comes, no items are stored."""
        self._checking += 1
        ask = Ask(item.key, self._caller)
        self._following.send(Errand(ask, Purpose.VERIFY, partial(note, item)))

    def _note_due(self, item: Item, landed: Landed | None) -> None:
        """As `_note_checked`, for an item of `_due`. A later sweep checks the item again in two
        cases: there was no call or no answer, or another replica made the call. In the second case,
        the stored response does not say when: a page has perhaps confirmed it since. But an item
        that is old is not checked again, because its body has perhaps changed since."""
        is_old = self._clock.now() - item.listed.confirmed_at > _OLD
        if not is_old and (landed is None or isinstance(landed, Elsewhere)):
            self._due.append(item)
        self._note_checked(item, landed)

    def _note_checked(self, item: Item, landed: Landed | None) -> None:
        self._checking -= 1
        if not is_later(landed, item.listed.confirmed_at):
            return
        entry = landed.held.entry
        names = {name for name, _ in entry.headers}
        differs = entry.digest != item.listed.digest or not names.isdisjoint(_VALIDATORS)
        self._differed |= differs and entry.updated_at == item.listed.updated_at


def is_later(landed: Landed | None, asked_at: float) -> TypeGuard[Filled]:
    """Whether this is a single answer whose fetch began after the page was requested. The single
    call may have joined an earlier fetch, whose answer says nothing about the page."""
    return isinstance(landed, Filled) and landed.held.entry.confirmed_at >= asked_at


async def give_way() -> None:
    """Let requests of callers run. An answer often takes more than one turn of the event loop."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def batches(items: list[T], most: int) -> Iterable[list[T]]:
    """The items in groups of at most `most`."""
    return (items[start : start + most] for start in range(0, len(items), most))
