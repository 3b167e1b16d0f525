"""L1: the entries in the memory of this process. If L1 is full, the least recently used entry is
evicted.

This module does not decide whether an entry may be served.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Set
from itertools import islice

from gateway.core.cache.entry import Key
from gateway.core.http.fields import ALIKE
from gateway.ports import Held

# The bytes that an entry, a header field and a compressed form need in addition to their texts and
# bodies. They were measured as the growth of a process with 50,000 entries.
_EACH_ENTRY = 1_290
_EACH_FIELD = 115
_EACH_CODED = 1_000


def cost(key: Key, held: Held) -> int:
    """The bytes of memory that an entry takes while it is held.

    Texts that are in memory only once for all entries are not counted: names of partitions, names
    of header fields, and the values of the fields in `ALIKE`.
    """
    entry = held.entry
    texts = len(key.training_id) + len(entry.updated_at_text) + len(entry.date)
    total = _EACH_ENTRY + texts + len(entry.digest)
    total += len(held.head) + len(entry.body)
    for name, value in entry.headers:
        if name not in ALIKE:
            total += _EACH_FIELD + len(value)
    for _, value in entry.selecting:
        total += _EACH_FIELD + len(value)
    if held.coded is not None:
        total += _EACH_CODED + len(held.coded.head) + len(held.coded.entry.body)
    return total


class LocalStore:
    """Holds at most `max_bytes`, overhead included. It calls `on_evict` for each entry that it
    evicts."""

    def __init__(self, max_bytes: int, on_evict: Callable[[], None]) -> None:
        # The keys are plain tuples, not of the class `Key`. The garbage collector does not have to
        # visit plain tuples of texts.
        self._items: OrderedDict[tuple[str, str], Held] = OrderedDict()
        # `peek` returns the entry. Each hit calls it, and this does not count as a use. About once
        # a second, the hits of an entry also cause a call of `get` (by `Tiers.peek`). So an entry
        # with hits counts as used.
        self.peek: Callable[[tuple[str, str]], Held | None] = self._items.get
        self._max_bytes = max_bytes
        self._size = 0
        self._on_evict = on_evict

    def get(self, key: Key) -> Held | None:
        """The entry, which becomes the most recently used."""
        held = self._items.get(key)
        if held is not None:
            self._items.move_to_end(key)
        return held

    def put(self, key: Key, held: Held) -> None:
        """Hold the entry as the most recently used. An entry larger than L1 is not held."""
        before = self._items.pop(key, None)
        if before is not None:
            self._size -= before.cost
            held.follow(before)
        self._hold(key, held)

    def offer(self, key: Key, held: Held) -> bool:
        """Hold the entry as the least recently used, if there is room and the key has no entry.
        Returns whether the entry is held."""
        held.cost = cost(key, held)
        if key in self._items or self._size + held.cost > self._max_bytes:
            return False
        self._hold(key, held)
        self._items.move_to_end((key.partition, key.training_id), last=False)
        return True

    def replace(self, key: Key, held: Held) -> None:
        """Replace the entry that the key has, without counting this as a use."""
        before = self._items[key]
        held.follow(before)
        self._size -= before.cost
        self._hold(key, held)

    def _hold(self, key: Key, held: Held) -> None:
        held.cost = cost(key, held)
        if held.cost > self._max_bytes:
            self._items.pop(key, None)
            return
        self._items[key.partition, key.training_id] = held
        self._size += held.cost
        while self._size > self._max_bytes:
            _, evicted = self._items.popitem(last=False)
            self._size -= evicted.cost
            self._on_evict()

    def drop(self, key: Key) -> bool:
        """Drop the entry of the key. Returns whether there was one."""
        held = self._items.pop(key, None)
        if held is None:
            return False
        self._size -= held.cost
        return True

    def keys(self, partition: str | None = None, training_ids: Set[str] | None = None) -> list[Key]:
        """All keys, or those that match the partition and the training ids. Each call reads every
        key."""
        return [
            Key(*key)
            for key in self._items
            if partition in (None, key[0]) and (training_ids is None or key[1] in training_ids)
        ]

    def last_used(self, most: int) -> list[Key]:
        """At most `most` keys, the most recently used first."""
        return [Key(*key) for key in islice(reversed(self._items), most)]

    @property
    def entries(self) -> int:
        """How many entries are held."""
        return len(self._items)

    @property
    def size(self) -> int:
        """The bytes of the entries, with keys, headers and overhead."""
        return self._size
