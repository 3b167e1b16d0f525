"""L1: what this process holds."""

from __future__ import annotations

from typing import Protocol

from gateway.core.cache.entry import Key
from gateway.ports.held import Held


class LocalStore(Protocol):
    """L1: bounded in bytes; the least recently used entry goes first; never awaits."""

    def get(self, key: Key) -> Held | None:
        """What is held under the key. It becomes the most recently used."""
        ...

    def peek(self, key: tuple[str, str], /) -> Held | None:
        """What is held under the key. That does not count as a use."""
        ...

    def put(self, key: Key, held: Held) -> None:
        """Hold it instead of what was held, as the most recently used. An entry that alone is
        larger than the bound is not held."""
        ...

    def offer(self, key: Key, held: Held) -> bool:
        """Hold it as the least recently used, if there is room and nothing is held under the key.
        Returns whether it is held."""
        ...

    def replace(self, key: Key, held: Held) -> None:
        """Hold it instead of what is held, which must be something. This does not count as a
        use."""
        ...

    def drop(self, key: Key) -> bool:
        """Forget the key. Returns whether anything was held."""
        ...

    def drop_partition(self, partition: str) -> int:
        """Forget all keys of a partition. Returns how many were held."""
        ...

    def keys(self, partition: str | None = None, training_id: str | None = None) -> list[Key]:
        """The keys held: all, or those of a partition, of a training, or of both."""
        ...

    def last_used(self, most: int) -> list[Key]:
        """The keys that were used last, at most `most` of them, the most recent first."""
        ...

    @property
    def entries(self) -> int:
        """How many entries are held."""
        ...

    @property
    def size(self) -> int:
        """How many bytes the entries take, with keys, headers and overhead."""
        ...
