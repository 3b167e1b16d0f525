"""What is known of each training in a process without Redis: a dictionary of facts and marks. The
rules are in core/cache/marks. The bodies are in L1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cachetools import LRUCache

from gateway.core.cache import marks
from gateway.core.cache.entry import Entry, FetchStart, Key
from gateway.core.cache.marks import Facts, Mark, Marks, Refusal, Slot, Version
from gateway.ports import Clock, Found, Stored


class Place(NamedTuple):
    """Whose mark it is: of a training, of a partition, or of everything (both None)."""

    training_id: str | None
    partition: str | None


class Ledger:
    """The SharedStore of a process without Redis. It has facts and marks, at most `most` of each
    kind. The least recently used is forgotten first, and a mark that is forgotten rules out what
    was read with it.

    new_word       makes a word that never comes again
    believe_after  seconds; see core/cache/marks
    """

    holds_bodies: Final = False
    is_up: Final = True  # an attribute: each hit reads it, and a property would be slower

    def __init__(
        self,
        clock: Clock,
        new_word: Callable[[], str],
        most: int = 100_000,
        *,
        believe_after: float = 60.0,
    ) -> None:
        self._clock = clock
        self.new_word = new_word
        self._believe_after = believe_after
        self._marks: LRUCache[Place, Mark] = LRUCache(most)
        self._stored: LRUCache[Key, Facts] = LRUCache(most)
        self._refusals: LRUCache[Key, Refusal] = LRUCache(most)

    async def lookup(self, key: Key) -> Found:
        """As SharedStore.lookup. There is never a body."""
        return self.found(key)

    def found(self, key: Key) -> Found:
        """The marks and the facts of a key."""
        return Found(Marks(*map(self._marks.get, _places(key))), self._stored.get(key))

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Found]:
        return {key: self.found(key) for key in keys}

    async def begin(self, key: Key) -> FetchStart:
        for place in _places(key):
            self._marks[place] = self._marks.get(place) or marks.new_mark(self.new_word)
        ticket = self.found(key).marks.ticket
        return FetchStart(self._clock.now(), ticket, self._clock.monotonic())

    async def store(
        self, key: Key, facts: Facts, entry: Entry | None, keep: float, *, is_item: bool = False
    ) -> Stored:
        """As SharedStore.store. `entry` and `keep` have no effect."""
        now, slot = self._clock.now(), self.slot(key)
        believe_after = None if is_item else self._believe_after
        after = marks.store(slot, facts, now, self.new_word, believe_after)
        self.write(key, after)
        return Stored(marks.told(slot, after, facts, now), after.stored)

    async def order(
        self, training_id: str | None, partition: str | None, version: Version, *, is_hard: bool
    ) -> bool:
        place = Place(training_id, partition)
        was = self._marks.get(place)
        self._marks[place] = marks.ordered(was, version, is_hard=is_hard, new_word=self.new_word)
        return was is not None

    def slot(self, key: Key) -> Slot:
        """What is known of a key, apart from the marks of everything and of its partition."""
        mark = self._marks.get(Place(key.training_id, None))
        return Slot(mark, self._stored.get(key), self._refusals.get(key))

    def write(self, key: Key, slot: Slot) -> None:
        """Write the slot."""
        if slot.mark is not None:
            self._marks[Place(key.training_id, None)] = slot.mark
        if slot.stored is not None:
            self._stored[key] = slot.stored
        self._refusals.pop(key, None)
        if slot.refusal is not None:
            self._refusals[key] = slot.refusal


def _places(key: Key) -> tuple[Place, Place, Place]:
    return Place(None, None), Place(None, key.partition), Place(key.training_id, None)
