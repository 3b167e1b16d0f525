"""L1: what this process holds."""

from __future__ import annotations

from typing import Protocol

from gateway.core.cache.entry import Key
from gateway.ports.held import Held


class LocalStore(Protocol):
    """L1: bounded in bytes, least recently used goes first; never awaits."""

    def get(self, key: Key) -> Held | None:
        """What is held under the key, which becomes the most recently used."""
        ...

    def peek(self, key: tuple[str, str], /) -> Held | None:
        """What is held under the key, its place in the order untouched."""
        ...

    def put(self, key: Key, held: Held) -> None:
        """Hold it; what exceeds the bound alone is not held."""
        ...

    def offer(self, key: Key, held: Held) -> bool:
        """Hold it where there is room, as the one to go first; whether it is held."""
        ...

    def replace(self, key: Key, held: Held) -> None:
        """Hold it in place of what is held, which must be something, as recently used as that."""
        ...

    def drop(self, key: Key) -> bool:
        """Forget the key; whether anything was held."""
        ...

    def drop_partition(self, partition: str) -> int:
        """Forget all keys of a partition; how many were held."""
        ...

    def keys(self, partition: str | None = None, training_id: str | None = None) -> list[Key]:
        """The keys held, narrowed down to a partition or a training."""
        ...

    def last_used(self, most: int) -> list[Key]:
        """So many keys, the most recently used first."""
        ...

    @property
    def entries(self) -> int:
        """How many are held."""
        ...

    @property
    def size(self) -> int:
        """How many bytes they take, keys, headers and object overhead counted."""
        ...
