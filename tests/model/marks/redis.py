"""Redis in the model of marks: each method is one script in one slot, so nothing comes between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from tests.model.marks.orders import Order
from tests.model.marks.records import (
    ALL,
    MEMBERS,
    Entry,
    Has,
    Key,
    Mark,
    Members,
    Note,
    Place,
    Ticket,
)
from tests.model.marks.rules import BELIEVE_AFTER, Rule

Record = Mark | Entry | Note | Members | None


@dataclass(slots=True)
class Redis:
    """The records, its clock, and what a failover would undo."""

    now: Callable[[], float]
    has: Has
    offset: float = 0.0
    records: dict[Place, Record] = field(default_factory=dict)
    undo: list[tuple[float, Place, Record]] = field(default_factory=list)
    words: int = 0

    @property
    def clock(self) -> float:
        return self.now() + self.offset

    def word(self) -> int:
        """A word that was never used; it stands for a random one."""
        self.words += 1
        return self.words

    def mark(self, place: Place) -> Mark | None:
        return cast("Mark | None", self.records.get(place))

    def entry(self, key: Key) -> Entry | None:
        return cast("Entry | None", self.records.get(Place("entry", key)))

    def put(self, place: Place, record: Record) -> None:
        """Write or delete a record."""
        self.undo.append((self.now(), place, self.records.get(place)))
        self.records[place] = record

    def fail_over(self, kind: str | None) -> None:
        """Undo the last second, of the whole Redis or of the nodes of one kind of slot."""
        kept = []
        for moment, place, record in reversed(self.undo):
            if moment > self.now() - 1 and kind in {None, place.slot[0]}:
                self.records[place] = record
            elif moment > self.now() - 1:
                kept.append((moment, place, record))
        self.undo = kept[::-1]

    def make(self, place: Place) -> Mark:
        """The mark, made if it is missing."""
        mark = self.mark(place)
        if mark is None:
            mark = Mark(self.word(), self.word(), self.word())
            self.put(place, mark)
        return mark

    def standing(self, key: Key) -> tuple[int | None, ...]:
        """The hard words that stand now; only the truth can see all three at once."""
        places = ALL, Place("partition", key.partition), Place("training", key.training)
        return Ticket(*(self.mark(place) for place in places)).hard

    def look_up(self, key: Key) -> tuple[Mark, Entry | None, float]:
        """The mark and the entry of a training, and the time."""
        return self.make(Place("training", key.training)), self.entry(key), self.clock

    def write(self, order: Order) -> Mark:
        """Replace the words of a mark, or raise its bounds."""
        mark = self.mark(order.place) or Mark(self.word(), self.word(), self.word())
        if order.version is not None:
            bound, hard_bound = max(mark.bound, order.version), mark.hard_bound
            hard_bound = max(hard_bound, order.version) if order.is_hard else hard_bound
            mark = replace(mark, named=self.word(), bound=bound, hard_bound=hard_bound)
        elif order.is_hard:
            mark = replace(mark, hard=self.word(), soft=self.word(), bound=0, hard_bound=0)
        else:
            mark = replace(mark, soft=self.word())
        self.put(order.place, mark)
        return mark

    def store(self, entry: Entry, *, is_page: bool = False) -> Entry | None:
        """Store an entry if nothing speaks against it. Returns what is stored, None if refused."""
        place = Place("training", entry.key.training)
        mark, ours = self.mark(place), entry.ticket.training
        if mark is None and not self.has(Rule.NEVER_MADE) and ours:
            mark = ours
            self.put(place, mark)
        if mark is None or ours is None:
            return None
        stored = self.entry(entry.key)
        if stored and self._is_later(stored, entry):
            return None
        floor = self._floor(stored, entry, mark)
        if entry.version is not None and entry.version < floor:
            return None if is_page else self._believe(entry, mark)
        is_same = stored and stored.ticket.hard == entry.ticket.hard
        seen = stored.seen if stored and is_same else 0
        return self._put(replace(entry, seen=seen))

    def _is_later(self, stored: Entry, entry: Entry) -> bool:
        """Whether the stored entry is of the same version, or one of them a 404, and the later."""
        if stored.ticket.hard != entry.ticket.hard or not self.has(Rule.EARLIER_START):
            return False
        is_future = stored.started > self.clock and self.has(Rule.FUTURE_START)
        is_equal = entry.version == stored.version or None in {entry.version, stored.version}
        return is_equal and stored.started > entry.started and not is_future

    def _floor(self, stored: Entry | None, entry: Entry, mark: Mark) -> int:
        """No version below this one is stored."""
        floor = mark.bound if self.has(Rule.BOUND_REFUSED) else 0
        if not stored or stored.ticket.hard != entry.ticket.hard:
            return floor
        older = (stored.version or 0) if self.has(Rule.OLDER_REFUSED) else 0
        return max(floor, older, stored.seen if self.has(Rule.SEEN_REFUSED) else 0)

    def _believe(self, entry: Entry, mark: Mark) -> Entry | None:
        """Note a refusal, or believe the version that came again."""
        ours, version, place = entry.ticket.training, entry.version or 0, Place("note", entry.key)
        if self.has(Rule.BELIEVE_STANDING) and (ours is None or ours.words != mark.words):
            return None
        note = cast("Note | None", self.records.get(place))
        is_future = note and note.first > self.clock and self.has(Rule.FUTURE_NOTE)
        if note and (note.version > version or is_future):
            note = None
        moment = entry.started if self.has(Rule.BELIEVE_STARTED) else self.clock
        is_due = note and moment - note.first >= BELIEVE_AFTER
        if not self.has(Rule.BELIEVE) or not (is_due or not self.has(Rule.BELIEVE_LATER)):
            self.put(place, note or Note(version, self.clock))
            return None
        soft = self.word() if self.has(Rule.BELIEVE_SOFT) else mark.soft
        is_hard = mark.hard_bound > version and self.has(Rule.BELIEVE_HARD)
        hard = self.word() if is_hard else mark.hard
        bound, hard_bound = min(mark.bound, version), min(mark.hard_bound, version)
        mark = replace(mark, hard=hard, soft=soft, bound=bound, hard_bound=hard_bound)
        self.put(self._place(entry), mark)
        return self._put(replace(entry, ticket=entry.ticket._replace(training=mark)))

    def _put(self, entry: Entry) -> Entry:
        self.put(Place("note", entry.key), None)
        self.put(Place("entry", entry.key), entry)
        return entry

    def _place(self, entry: Entry) -> Place:
        return Place("training", entry.key.training)

    def apply_item(self, item: Entry, *, has_age: bool) -> None:
        """An item of a page: renew, raise `seen`, or store it as far as its marks allow."""
        place, ours = self._place(item), item.ticket.training
        mark, stored, version = self.mark(place), self.entry(item.key), item.version or 0
        if mark is None:
            mark = self.make(place)
            ours = mark if not has_age and not self.has(Rule.PAGE_NEW) else None
        if stored and stored.version == item.version:
            confirmed = max(stored.confirmed, item.confirmed)
            self.put(Place("entry", item.key), replace(stored, confirmed=confirmed))
        elif stored and stored.version is not None and version > stored.version:
            self.put(Place("entry", item.key), replace(stored, seen=max(stored.seen, version)))
            if self.has(Rule.NOTE_ENDS):
                self.put(Place("note", item.key), None)
        if not self.has(Rule.PAGE_WORDS):
            ours = mark
        ticket = item.ticket._replace(training=ours)
        if None not in ticket:
            self.store(replace(item, ticket=ticket), is_page=True)

    def members(self) -> Members:
        members = cast("Members | None", self.records.get(MEMBERS))
        if members is None:
            members = Members(self.word(), self.clock, self.word(), {})
        return members

    def beat(self, number: int, life: int) -> tuple[int, Members]:
        """Note a heartbeat under a new word. Returns the word of the one before, 0 if lost.

        life   the life that the replica knows as settled, 0 if none
        """
        members = self.members()
        before, _ = members.heartbeats.get(number, (0, 0.0))
        heartbeats = {**members.heartbeats, number: (self.word(), self.clock)}
        is_settled = members.is_settled or life == members.life
        members = replace(members, heartbeats=heartbeats, is_settled=is_settled)
        self.put(MEMBERS, members)
        return before, members

    def announce(self) -> tuple[int, Members, float]:
        """Put a new last notice. Returns the one before it."""
        members = self.members()
        self.put(MEMBERS, replace(members, last=self.word()))
        return members.last, self.members(), self.clock
