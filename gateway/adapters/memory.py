"""L1: entries in this process, on cachetools, bounded in bytes, least recently used out first.

Lives here: holding, finding and accounting. Whether what is held may be served is decided
elsewhere, and nothing here awaits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from sys import getsizeof

from cachetools import Cache, LRUCache

from gateway.core.entry import Key
from gateway.ports import Held

# What the tables of cachetools take for one item (two dicts and an OrderedDict) together with
# the allocator's rounding: measured by the growth of a process over 50,000 entries.
_TABLES = 350


def cost(key: Key, held: Held) -> int:
    """Bytes that holding it takes; an object that appears in it twice is counted once.

    Names in the head are not counted: they are constants of the code, shared by all entries.
    """
    sizes = {id(part): getsizeof(part) for part in _parts(key, held)}
    return _TABLES + sum(sizes.values())


def _parts(key: Key, held: Held) -> Iterator[object]:
    """All objects that it consists of."""
    entry = held.entry
    yield from (held, entry, key, *key, held.head, held.etag, held.checked_at)
    yield from (getattr(entry, slot) for slot in entry.__slots__)
    for pair in entry.headers:
        yield from (pair, *pair)
    for pair in held.head:
        yield from (pair, pair[1])


class _Sized(LRUCache[Key, tuple[Held, int]]):
    """An LRU of entries with their cost, which tells whenever one goes for want of space."""

    def __init__(self, max_bytes: int, on_evict: Callable[[], None]) -> None:
        super().__init__(max_bytes, getsizeof=lambda item: item[1])
        self._on_evict = on_evict

    def popitem(self) -> tuple[Key, tuple[Held, int]]:
        """Called by cachetools to make room, and by nobody else."""
        evicted = super().popitem()
        self._on_evict()
        return evicted


class MemoryStore:
    """LocalStore: at most `max_bytes`, all overhead counted; `on_evict` is called for each
    entry that had to go for space."""

    def __init__(self, max_bytes: int, on_evict: Callable[[], None]) -> None:
        self._items = _Sized(max_bytes, on_evict)

    def get(self, key: Key) -> Held | None:
        """What is held under the key, which becomes the most recently used."""
        item = self._items.get(key)
        return None if item is None else item[0]

    def peek(self, key: Key) -> Held | None:
        """What is held under the key, its place in the order untouched."""
        if key not in self._items:
            return None
        # LRUCache moves what is read; the plain cache below it does not.
        return Cache.__getitem__(self._items, key)[0]

    def put(self, key: Key, held: Held) -> None:
        """Hold it in place of what was held; what exceeds the bound alone is not held."""
        self.drop(key)
        size = cost(key, held)
        if size <= self._items.maxsize:
            self._items[key] = (held, size)

    def drop(self, key: Key) -> bool:
        """Forget the key; whether anything was held."""
        return self._items.pop(key, None) is not None

    def drop_partition(self, partition: str) -> int:
        """Forget all keys of a partition; how many were held."""
        return self._drop_all(self.keys(partition=partition))

    def keys(self, partition: str | None = None, training_id: str | None = None) -> list[Key]:
        """The keys held, narrowed down to a partition or a training; looks at all of them."""
        return [
            key
            for key in self._items
            if partition in (None, key.partition) and training_id in (None, key.training_id)
        ]

    @property
    def entries(self) -> int:
        """How many are held."""
        return len(self._items)

    @property
    def size(self) -> int:
        """How many bytes they take, keys, headers and object overhead counted."""
        return int(self._items.currsize)

    def _drop_all(self, keys: list[Key]) -> int:
        return sum(map(self.drop, keys))
