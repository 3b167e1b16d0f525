"""The names of keys and channels in Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from gateway.core.cache.entry import Key

# Goes up when the format of stored entries or marks changes: a release reads only its own format.
_FORMAT: Final = "g2"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one gateway's keys in Redis. Some modules have further keys of their own.

    The part of a name in braces (the hash tag) decides which node of a cluster has the key. In a
    cluster, all keys of one script call have the same hash tag. (A `Key` is something else: a
    partition and the id of a training.)
    """

    prefix: str

    def __post_init__(self) -> None:
        if not self.prefix or set(self.prefix) & set("{}"):
            raise ValueError(f"the prefix of keys is empty or has braces: {self.prefix!r}")

    def mark(self, training_id: str | None, partition: str | None = None) -> str:
        """The mark of a training, of a partition, or of everything (both None)."""
        if training_id is not None:
            return f"{self.stem(training_id)}:m"
        whose = "all" if partition is None else f"p:{partition}"
        return f"{self.prefix}:{_FORMAT}:{whose}"

    def shared_marks(self, partition: str) -> tuple[str, str]:
        """The marks of everything and of a partition."""
        return self.mark(None), self.mark(None, partition)

    def slot(self, key: Key) -> tuple[str, str, str]:
        """The keys of a slot: mark, entry, refusal."""
        stem = self.stem(key.training_id)
        return f"{stem}:m", f"{stem}:e:{key.partition}", f"{stem}:r:{key.partition}"

    def stem(self, training_id: str) -> str:
        """The beginning of all names that concern a training."""
        return f"{self.prefix}:{_FORMAT}:{{{training_id}}}"


class AccountNames:
    """The keys of the budgets. All are in one slot, because one life is common to all scopes (for
    example tenants)."""

    def __init__(self, prefix: str) -> None:
        """Raises ValueError for a prefix that cannot be used."""
        self._root = f"{Names(prefix).prefix}:{{budget}}"

    def all(self, scope: str) -> tuple[str, str, str]:
        """The keys of one budget: the life, the state, and the log of its calls."""
        name = quote(scope, safe="")
        return f"{self._root}:life", f"{self._root}:state:{name}", f"{self._root}:calls:{name}"


def notices(prefix: str) -> str:
    """The channel of the notices to all replicas."""
    return f"{prefix}:bus:@all"  # no replica has this name


def ear(prefix: str, replica: str) -> str:
    """The channel of one replica: for answers to its notices, and for endings of fetches."""
    return f"{prefix}:bus:{replica}"
