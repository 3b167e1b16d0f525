"""Marks of a process without Redis: a dictionary. The rules are in core/cache/marks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cachetools import LRUCache

from gateway.core.cache import marks
from gateway.core.cache.entry import Key
from gateway.core.cache.marks import Facts, Mark, Marks, Refusal, Slot, Version


class Place(NamedTuple):
    """Whose mark it is: of a training, of a partition, or of everything (both None)."""

    training_id: str | None
    partition: str | None


class LedgerMarks:
    """The marks in memory, at most `most` of each kind. The least recently used is forgotten first,
    and a mark that is forgotten rules out what was read with it. The bodies are in L1.

    For `new_word` and `believe_after` see RedisMarks.
    """

    def __init__(
        self, *, new_word: Callable[[], str], most: int = 100_000, believe_after: float = 60.0
    ) -> None:
        self._new_word = new_word
        self._believe_after = believe_after
        self._marks: LRUCache[Place, Mark] = LRUCache(most)
        self._stored: LRUCache[Key, Facts] = LRUCache(most)
        self._refusals: LRUCache[Key, Refusal] = LRUCache(most)

    def look_up(self, key: Key) -> tuple[Marks, Slot]:
        """The three marks and the slot of a key."""
        found = Marks(*map(self._marks.get, _places(key)))
        return found, Slot(found.training, self._stored.get(key), self._refusals.get(key))

    def make(self, key: Key) -> Marks:
        """The marks for a fetch that begins now; those that are missing are made."""
        for place in _places(key):
            self._marks[place] = self._marks.get(place) or marks.new_mark(self._new_word)
        return Marks(*map(self._marks.get, _places(key)))

    def store(self, key: Key, new: Facts, now: float) -> Facts | None:
        """Note an answer. Returns what is stored, None if the answer is not to be stored."""
        _, slot = self.look_up(key)
        after = marks.store(slot, new, now, self._new_word, self._believe_after)
        self._write(key, after)
        return None if after is slot or after.refusal else after.stored

    def confirm(self, key: Key, item: Facts) -> Slot:
        """Confirm what is stored by an item of the list, or raise `seen`. Returns the slot."""
        after = marks.confirm(self.look_up(key)[1], item)
        self._write(key, after)
        return after

    def order(
        self, training_id: str | None, partition: str | None, version: Version, *, is_hard: bool
    ) -> None:
        """Apply an order to the mark of a training, of a partition, or of everything."""
        place = Place(training_id, partition)
        self._marks[place] = marks.ordered(
            self._marks.get(place), version, is_hard=is_hard, new_word=self._new_word
        )

    def _write(self, key: Key, slot: Slot) -> None:
        if slot.mark is not None:
            self._marks[Place(key.training_id, None)] = slot.mark
        if slot.stored is not None:
            self._stored[key] = slot.stored
        self._refusals.pop(key, None)
        if slot.refusal is not None:
            self._refusals[key] = slot.refusal


def _places(key: Key) -> tuple[Place, Place, Place]:
    return Place(None, None), Place(None, key.partition), Place(key.training_id, None)
