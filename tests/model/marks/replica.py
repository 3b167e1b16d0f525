"""A replica in the model of marks. Each `yield` is an await: anything may happen there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.core.cache.marks import Facts, Mark, Marks, State, Ticket, better, is_later
from tests.model.marks.membership import Membership, Receipt
from tests.model.marks.records import (
    ALL,
    CONFIRM_WITHIN,
    FRESH,
    L1_LIFETIME,
    REWRITE_FOR,
    STALE,
    Entry,
    Key,
    Members,
    Notice,
    Order,
    Place,
)
from tests.model.marks.truth import Answer, Kind

if TYPE_CHECKING:
    from tests.model.marks.world import World

Value = TypeVar("Value")
Steps = Generator[None, None, Value]
Readings = list[tuple[Mark | None, float]]  # a mark, and when it was read; the last one first


class Away(Exception):
    """Redis could not be asked, or its reply was lost."""


@dataclass(eq=False, slots=True)
class Operation:
    """Something in flight that an order can overtake."""

    key: Key
    is_overtaken: bool = field(default=False, kw_only=True)


@dataclass(eq=False, slots=True)
class Flight(Operation):
    """A fetch, and what those that wait for it get. Status 0: it is not over."""

    ticket: Ticket
    started: float
    read: float
    status: int = 0
    entry: Entry | None = None


@dataclass(slots=True)
class Held(Generic[Value]):
    """A mark in memory, or an entry in L1: read at this moment, after this gap."""

    value: Value
    read: float
    gap: int
    is_demoted: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up saw."""

    ticket: Ticket
    best: Entry | None
    state: State
    clock: float
    read: float


@dataclass(eq=False)
class Replica:
    """One process: its L1, held marks, operations in flight, pending orders, subscription."""

    number: int
    world: World
    l1: dict[Key, Held[Entry]] = field(default_factory=dict)
    held: dict[Place, Held[Mark]] = field(default_factory=dict)
    in_flight: list[Operation] = field(default_factory=list)
    flights: dict[Key, Flight] = field(default_factory=dict)
    pending: list[Order] = field(default_factory=list)
    recent: list[Order] = field(default_factory=list)
    page_words: dict[Place, Readings] = field(default_factory=dict)
    inbox: deque[Notice | None] = field(default_factory=deque)
    is_open: bool = False  # as Redis sees the subscription
    is_subscribed: bool = False  # as the replica sees it
    lost_connection: bool = False
    last: str = ""
    gaps: int = 0
    is_unknown: bool = False  # a failover has undone its last heartbeat
    is_cut: bool = False
    cut_at: float = -1.0
    stopped_until: float = 0.0

    def __post_init__(self) -> None:
        self.membership = Membership(self.number, self.world)

    @property
    def now(self) -> float:
        return self.world.now

    @property
    def is_listed(self) -> bool:
        return self.membership.is_listed

    def _ask(self, script: Callable[..., Value], *arguments: object) -> Steps[Value]:
        """Run a script of Redis; the way there and the way back take time."""
        yield
        if self.is_cut:
            raise Away
        value = script(*arguments)
        yield
        if self.is_cut:
            raise Away
        return value

    # Requests.

    def request(self, key: Key) -> Steps[None]:
        """Answer from L1, from Redis, by a fetch, or by a rescue."""
        began = self.now
        kept = self.l1.get(key)
        if kept and self._may_serve(kept) and self.now - kept.read <= L1_LIFETIME:
            return self._answer(key, began, kept.value, Kind.STORED)
        operation = Operation(key)
        self.in_flight.append(operation)
        found = None
        try:
            found = yield from self._look_up(operation)
            best = found.best if found.state is State.CURRENT else None
        except Away:
            kept = self.l1.get(key)
            best = kept.value if kept and self._may_serve(kept) else None
        self.in_flight.remove(operation)
        if best and 0 <= self._age(best) <= FRESH:
            return self._answer(key, began, best, Kind.STORED)
        flight = self.flights.get(key)
        if flight is None or not self._may_join(flight):
            flight = self._start_fetch(operation, found)
        while not flight.status:
            yield
        if flight.entry:
            return self._answer(key, began, flight.entry, Kind.FETCHED)
        if flight.status == 503:
            self._rescue(key, began, found)
        return None

    def _may_serve(self, kept: Held[Entry]) -> bool:
        """Whether L1 may be used without asking Redis."""
        is_fresh = 0 <= self._age(kept.value) <= FRESH
        return kept.gap == self.gaps and self.is_listed and is_fresh and not kept.is_demoted

    def _may_join(self, flight: Flight) -> bool:
        return self.is_listed and not flight.is_overtaken

    def _look_up(self, operation: Operation) -> Steps[Found]:
        """Read marks and entry; the better of Redis' and L1's entry is found, and kept in L1."""
        sent, key = self.now, operation.key
        yield from self._write_pending()
        everything = yield from self._mark(operation, ALL)
        partition = yield from self._mark(operation, Place("partition", key.partition))
        mark, stored, clock = yield from self._ask(self.world.redis.look_up, key)
        marks = Marks(everything, partition, mark)
        kept = self.l1.get(key)
        best, state = _better(marks, stored, kept.value if kept else None)
        if _may_keep(operation):
            self.l1.pop(key, None)
            if best:
                self.l1[key] = Held(best, sent, self.gaps, state is not State.CURRENT)
        return Found(marks.ticket, best, state, clock, sent)

    def _mark(self, operation: Operation, place: Place) -> Steps[Mark]:
        """A mark of everything or of a partition: from memory, or from Redis."""
        held = self.held.get(place)
        if held and self._may_use_held(held):
            return held.value
        sent = self.now
        mark = yield from self._ask(self.world.redis.make, place)
        if _may_keep(operation):
            self.held[place] = Held(mark, sent, self.gaps)
        return mark

    def _may_use_held(self, held: Held[Mark]) -> bool:
        is_young = self.now - held.read <= L1_LIFETIME
        return self.is_listed and is_young and held.gap == self.gaps

    def _start_fetch(self, operation: Operation, found: Found | None) -> Flight:
        ticket = found.ticket if found else Ticket()
        started = found.clock if found else self.world.redis.clock
        read, is_overtaken = found.read if found else self.now, operation.is_overtaken
        flight = Flight(operation.key, ticket, started, read, is_overtaken=is_overtaken)
        self.flights[flight.key] = flight
        self.in_flight.append(flight)
        self.world.start("fetch", self, self._fetch(flight))
        return flight

    def _fetch(self, flight: Flight) -> Steps[None]:
        """Call the API, store the answer, keep it in L1; those that wait get it in any case."""
        yield
        reply = self.world.api.read(flight.key)
        yield
        if reply.status in {401, 503}:
            self._end(flight, reply.status, None)
            if reply.status == 401:
                self._lose_token(flight.key.partition, reply.moment)
            return
        facts = Facts(reply.version, flight.ticket, flight.started, flight.started)
        entry = Entry(flight.key, facts, reply.moment)
        try:
            stored = yield from self._ask(self.world.store, entry)
        except Away:
            kept = self.l1.get(flight.key)
            is_refused = kept and not kept.is_demoted and not is_later(facts, kept.value.facts)
            alone = replace(entry, facts=replace(facts, ticket=Ticket()))
            stored = None if is_refused else alone
        if stored and _may_keep(flight):
            self.l1[flight.key] = Held(stored, flight.read, self.gaps)
        self._end(flight, reply.status, entry)

    def _lose_token(self, partition: str, moment: float) -> None:
        """After a 401: a hard order that nobody waits for."""
        order = Order(True, moment, partition=partition)
        self.world.start("order", self, self.order(order))

    def _end(self, flight: Flight, status: int, entry: Entry | None) -> None:
        flight.status, flight.entry = status, entry
        self.in_flight.remove(flight)
        if self.flights.get(flight.key) is flight:
            del self.flights[flight.key]

    def _rescue(self, key: Key, began: float, found: Found | None) -> None:
        """After a failed fetch: what the request's own look-up found, or L1 if Redis is away."""
        kept, is_vouched = self.l1.get(key), True
        if found:
            best = found.best
        else:
            best = kept.value if kept else None
            is_vouched = self.is_listed and kept is not None and kept.gap == self.gaps
        if best and best.version is not None and self._age(best) <= STALE:
            self._answer(key, began, best, Kind.RESCUED if is_vouched else Kind.UNCONFIRMED)

    def _age(self, entry: Entry) -> float:
        return self.world.redis.clock - entry.facts.confirmed

    def _answer(self, key: Key, began: float, entry: Entry, kind: Kind) -> None:
        self.world.truth.check(Answer(self.number, key, began, entry, kind, self._age(entry)))

    # Orders, notices and heartbeats.

    def order(self, order: Order) -> Steps[None]:
        """Apply, write, announce, and wait for those that are listed: 200, 202 or 503."""
        order.received = min(order.received, self.now)
        self.world.truth.give(order, self.number)
        self.recent.append(order)
        try:
            receipt = yield from self._write(order)
        except Away:
            self._keep_pending(order)
            return
        deadline = self.now + CONFIRM_WITHIN
        while self.now < deadline and not receipt.is_confirmed:
            yield
        since = self.now if receipt.is_confirmed else receipt.until
        self.world.truth.promise(order, since, receipt.written)

    def _keep_pending(self, order: Order) -> None:
        """503: the order holds in this process, and is written before anything is read."""
        self.pending.append(order)
        self.apply(order)
        self.world.truth.refused(order)

    def _write_pending(self) -> Steps[None]:
        for order in list(self.pending):
            receipt = yield from self._write(order)
            self.world.truth.promise(order, receipt.until, receipt.written)

    def _write(self, order: Order) -> Steps[Receipt]:
        yield from self._ask(self.world.write, order)
        self.apply(order)
        notice, receipt = yield from self._ask(self._announce, order)
        if notice.previous == self.last:
            self.last = notice.last
        if order in self.pending:
            self.pending.remove(order)
        return receipt

    def _announce(self, order: Order) -> tuple[Notice, Receipt]:
        previous, members = self.world.redis.announce()
        notice = Notice(order, previous, members.last)
        for replica in self.world.replicas:
            if replica.is_open:
                replica.inbox.append(notice)
        return notice, self.membership.receipt(notice, members)

    def apply(self, order: Order) -> None:
        """What an order does in this process."""
        self.held.pop(order.place, None)
        for key, kept in list(self.l1.items()):
            if order.rules_out(kept.value) and order.is_hard:
                del self.l1[key]
            elif order.rules_out(kept.value):
                kept.is_demoted = True
        for operation in self.in_flight:
            if order.concerns(operation.key):
                operation.is_overtaken = True

    def hear(self) -> None:
        """The next notice of the inbox, or the end of the subscription."""
        notice = self.inbox.popleft()
        if notice is None:
            self.is_subscribed = False
            return
        if self.last not in {notice.previous, notice.last}:
            self._gap()
        self.last = notice.last
        self.apply(notice.order)
        notice.confirmed.add(self.number)

    def _gap(self) -> None:
        """Whatever is held counts as unconfirmed, and whatever is in flight as overtaken."""
        self.gaps += 1
        for each in self.in_flight:
            each.is_overtaken = True

    def _write_again(self) -> None:
        """A failover may have undone the orders of the last second; a minute is soon enough."""
        self.recent = [each for each in self.recent if self.now - each.received < REWRITE_FOR]
        self.pending += [each for each in self.recent if each not in self.pending]

    def beat(self) -> Steps[None]:
        """Subscribe if needed, write what is pending, and send a heartbeat."""
        is_new = self.lost_connection or not self.is_subscribed
        self.lost_connection = False
        try:
            yield from self._beat(is_new)
        except Away:
            self.lost_connection |= is_new

    def _beat(self, is_new: bool) -> Steps[None]:
        began = self.now
        if not self.is_subscribed:
            yield from self._ask(self._subscribe)
        if is_new:
            self._write_again()
        yield from self._write_pending()
        sent = self.now
        members = yield from self._ask(self._send_heartbeat)
        self.membership.note(members, sent)
        self.is_unknown = False
        if is_new or members.last != self.last:
            self._gap()
        self.last = members.last
        self.world.truth.has_looked(self.number, began)

    def _send_heartbeat(self) -> Members:
        return self.world.redis.beat(self.number, self.membership.settled_life)

    def _subscribe(self) -> None:
        self.inbox.clear()
        self.is_open = self.is_subscribed = True

    # The list.

    def read_page(self, partition: str, age: float) -> Steps[None]:
        """Read a page of the list that is `age` old, and apply its items."""
        try:
            yield from self._read_page(partition, age)
        except Away:
            return

    def _read_page(self, partition: str, age: float) -> Steps[None]:
        world, shared = self.world, (ALL, Place("partition", partition))
        words: dict[Place, Readings] = {}
        for place in shared:
            mark = yield from self._ask(world.redis.make, place)
            words[place] = [(mark, self.now), *self.page_words.get(place, [])[:1]]
        at, started = self.now - age, world.redis.clock - age
        yield
        page = {each: world.api.at(each, self.now - age) for each in world.api.states}
        moment = self.now - age
        if world.api.is_down or partition in world.api.refused:
            return
        yield
        ticket = Marks(*(_read_before(at, words[each]) for each in shared)).ticket
        for training, version in page.items():
            facts = Facts(version, ticket, started, started)
            if version is not None:
                item = Entry(Key(partition, training), facts, moment)
                yield from self._ask(world.apply_item, item)
        self.page_words |= words


def _may_keep(operation: Operation) -> bool:
    return not operation.is_overtaken


def _better(marks: Marks, stored: Entry | None, kept: Entry | None) -> tuple[Entry | None, State]:
    """Of the entries of Redis and of L1 the one in the better state; at equal states the later."""
    facts, ours = stored.facts if stored else None, kept.facts if kept else None
    best, state = better(marks, facts, ours)
    if best is None:
        return None, state
    if kept and best is ours:
        is_same = facts and (facts.version, facts.started) == (ours.version, ours.started)
        return (stored if is_same else kept), state  # the list has perhaps confirmed it
    return stored, state


def _read_before(moment: float, readings: Readings) -> Mark | None:
    """The mark that was read at that moment or before."""
    return next((mark for mark, read in readings if read <= moment), None)
