"""The latest version that was answered of a key that L1 holds no more.

Redis may lose what it knew, and then an older version be stored there as its first. A caller that
was given the later one must not be given that. What an order ruled out is known nowhere else by
then.
"""

from __future__ import annotations

from typing import Final

from gateway.core.cache.entry import Entry, Key

_MOST: Final = 10_000


class Latest:
    """Entries without bodies, bounded: forgetting the oldest costs the promise, nothing else."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        # Not a cache of cachetools: each look-up in Redis asks here, and its `get` is three calls.
        self._entries: dict[Key, Entry] = {}

    def of(self, key: Key) -> Entry | None:
        """What was answered last, as far as it is remembered."""
        return self._entries.get(key)

    def note(self, key: Key, entry: Entry) -> None:
        """This was answered, and is held no more."""
        before = self._entries.pop(key, None)
        if before is None or entry.supersedes(before):
            before = entry.but(body=b"", headers=())
        self._entries[key] = before
        if len(self._entries) > self._most:
            del self._entries[next(iter(self._entries))]

    def forget(self, key: Key) -> None:
        """Anything may come after it."""
        self._entries.pop(key, None)

    def forget_all(self, partition: str | None) -> None:
        """The same of a partition, or of all."""
        for key in [key for key in self._entries if partition in (None, key.partition)]:
            del self._entries[key]
