"""L1: entries in this process, bounded in bytes, least recently used out first.

Lives here: holding, finding and accounting. Whether what is held may be served is decided
elsewhere, and nothing here awaits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from gateway.core.cache.entry import Key
from gateway.core.http.fields import ALIKE
from gateway.ports import Held

# What each entry takes beside its bytes and texts: the table's share, objects of one size, and
# what the allocator rounds up. Measured by the growth of a process over 50,000 entries.
_EACH = 970
_EACH_FIELD = 115
_EACH_CODED = 1_000


def cost(key: Key, held: Held) -> int:
    """Bytes that holding it takes.

    Names of header fields, fields that all answers have alike, and partitions are not counted:
    they are few, and entries share them.
    """
    entry = held.entry
    texts = len(key.training_id) + len(entry.updated_at_text) + len(entry.date)
    total = _EACH + texts + len(entry.digest) + len(entry.epoch) + len(held.head) + len(entry.body)
    for name, value in entry.headers:
        if name not in ALIKE:
            total += _EACH_FIELD + len(value)
    if held.coded is not None:
        total += _EACH_CODED + len(held.coded.head) + len(held.coded.entry.body)
    return total


class MemoryStore:
    """LocalStore: at most `max_bytes`, all overhead counted; `on_evict` is called for each
    entry that had to go for space."""

    def __init__(self, max_bytes: int, on_evict: Callable[[], None]) -> None:
        # Plain tuples as keys: the collector of cycles does not go through them.
        self._items: OrderedDict[tuple[str, str], Held] = OrderedDict()
        # What is held under a key, its place in the order untouched; each hit asks.
        self.peek: Callable[[tuple[str, str]], Held | None] = self._items.get
        self._max_bytes = max_bytes
        self._size = 0
        self._on_evict = on_evict

    def get(self, key: Key) -> Held | None:
        """What is held under the key, which becomes the most recently used."""
        held = self._items.get(key)
        if held is not None:
            self._items.move_to_end(key)
        return held

    def put(self, key: Key, held: Held) -> None:
        """Hold it in place of what was held; what exceeds the bound alone is not held."""
        before = self._items.pop(key, None)
        if before is not None:
            self._size -= before.cost
            held.follow(before)
        self._hold(key, held)

    def offer(self, key: Key, held: Held) -> bool:
        """Hold it where there is room, as the one to go first; whether it is held."""
        held.cost = cost(key, held)
        if key in self._items or self._size + held.cost > self._max_bytes:
            return False
        self._hold(key, held)
        self._items.move_to_end((key.partition, key.training_id), last=False)
        return True

    def replace(self, key: Key, held: Held) -> None:
        """Hold it in place of what is held, as recently used as that."""
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
        """Forget the key; whether anything was held."""
        held = self._items.pop(key, None)
        if held is None:
            return False
        self._size -= held.cost
        return True

    def drop_partition(self, partition: str) -> int:
        """Forget all keys of a partition; how many were held."""
        return sum(map(self.drop, self.keys(partition=partition)))

    def keys(self, partition: str | None = None, training_id: str | None = None) -> list[Key]:
        """The keys held, narrowed down to a partition or a training; looks at all of them."""
        return [
            Key(*key)
            for key in self._items
            if partition in (None, key[0]) and training_id in (None, key[1])
        ]

    def last_used(self, most: int) -> list[Key]:
        """So many keys, the most recently used first."""
        return [Key(*key) for key in islice(reversed(self._items), most)]

    @property
    def entries(self) -> int:
        """How many are held."""
        return len(self._items)

    @property
    def size(self) -> int:
        """How many bytes they take, keys, headers and object overhead counted."""
        return self._size
