"""Redis in the model of marks: each method is one script in one slot, so nothing comes between.

The rules of a slot are those of the gateway itself, in core/cache/marks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from gateway.core.cache import marks
from gateway.core.cache.marks import Mark, Refusal, Slot, Version
from gateway.core.sweep.list_item import Listed, ListVerdict, judge
from gateway.core.upstream.training import Training
from tests.model.marks.records import ALL, BELIEVE_AFTER, MEMBERS, Entry, Key, Members, Order, Place

Record = Mark | Entry | Refusal | Members | None


@dataclass(frozen=True, slots=True)
class Stated:
    """What the list states of a training."""

    updated_at: Version


def training_of(key: Key) -> Place:
    """The mark of its training."""
    return Place("training", key.training)


@dataclass(slots=True)
class Redis:
    """The records, its clock, and what a failover would undo."""

    now: Callable[[], float]
    offset: float = 0.0
    records: dict[Place, Record] = field(default_factory=dict)
    undo: list[tuple[float, Place, Record]] = field(default_factory=list)
    words: int = 0

    @property
    def clock(self) -> float:
        return self.now() + self.offset

    def word(self) -> str:
        """A word that was never used; it stands for a random one."""
        self.words += 1
        return str(self.words)

    def mark(self, place: Place) -> Mark | None:
        return cast("Mark | None", self.records.get(place))

    def entry(self, key: Key) -> Entry | None:
        return cast("Entry | None", self.records.get(Place("entry", key)))

    def put(self, place: Place, record: Record) -> None:
        """Write or delete a record."""
        if self.records.get(place) is not record:
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
        mark = marks.with_mark(Slot(self.mark(place)), self.word).mark
        self.put(place, mark)
        return cast("Mark", mark)

    def standing(self, key: Key) -> tuple[str | None, ...]:
        """The hard words that stand now; only the truth can see all three at once."""
        places = ALL, Place("partition", key.partition), training_of(key)
        return marks.Marks(*(self.mark(place) for place in places)).ticket.hard

    def look_up(self, key: Key) -> tuple[Mark, Entry | None, float]:
        """The mark and the entry of a training, and the time."""
        return self.make(training_of(key)), self.entry(key), self.clock

    def write(self, order: Order) -> None:
        """Replace the words of a mark, or raise its bounds."""
        mark = self.mark(order.place)
        mark = marks.ordered(mark, order.version, is_hard=order.is_hard, new_word=self.word)
        self.put(order.place, mark)

    def store(self, entry: Entry) -> Entry | None:
        """Store an answer if nothing speaks against it. Returns what is stored, None if refused."""
        slot = self._slot(entry.key)
        after = marks.store(slot, entry.facts, self.clock, self.word, BELIEVE_AFTER)
        self._write_slot(entry, after)
        is_refused = after is slot or after.refusal is not None
        return None if is_refused else self.entry(entry.key)

    def apply_item(self, item: Entry) -> None:
        """An item of a page: confirm what is stored, or store it as far as its marks allow."""
        key, facts = item.key, item.facts
        known = marks.Marks(self.mark(ALL), self.mark(Place("partition", key.partition)))
        slot = self._slot(key)
        stated = Listed(cast("Training", Stated(facts.version)), "", facts.started)
        known = known._replace(training=slot.mark)
        judged = judge(stated, known, slot, facts.ticket, self.word)
        self._write_slot(self.entry(key) or item, judged.slot)
        if judged.ticket and judged.verdict in {ListVerdict.NEWER, ListVerdict.UNKNOWN}:
            facts = replace(facts, ticket=judged.ticket)
            after = marks.store(judged.slot, facts, self.clock, self.word, None)
            self._write_slot(replace(item, facts=facts), after)

    def _slot(self, key: Key) -> Slot:
        entry, mark = self.entry(key), self.mark(training_of(key))
        refusal = cast("Refusal | None", self.records.get(Place("refusal", key)))
        return Slot(mark, entry.facts if entry else None, refusal)

    def _write_slot(self, entry: Entry, slot: Slot) -> None:
        """Write what changed; the body of new facts is that of the entry."""
        stored = self.entry(entry.key)
        self.put(training_of(entry.key), slot.mark)
        self.put(Place("refusal", entry.key), slot.refusal)
        if slot.stored is not (stored and stored.facts) and slot.stored:
            self.put(Place("entry", entry.key), replace(entry, facts=slot.stored))

    def members(self) -> Members:
        members = cast("Members | None", self.records.get(MEMBERS))
        return members or Members(self.word(), self.clock, self.word(), {})

    def beat(self, number: int, life: str) -> Members:
        """Note a heartbeat under a new word.

        life   the life that the replica knows as settled, "" if none
        """
        members = self.members()
        heartbeats = {**members.heartbeats, number: (self.word(), self.clock)}
        is_settled = members.is_settled or life == members.life
        members = replace(members, heartbeats=heartbeats, is_settled=is_settled)
        self.put(MEMBERS, members)
        return members

    def announce(self) -> tuple[str, Members]:
        """Put a new last notice. Returns the one before it."""
        members = self.members()
        self.put(MEMBERS, replace(members, last=self.word()))
        return members.last, self.members()
