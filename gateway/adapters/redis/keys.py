"""The names of keys and channels in Redis."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from gateway.adapters.redis.records import SCHEMA
from gateway.core.cache.entry import Key

_FLOOR_NAME = re.compile(r"\{([^{}]+)\}:f:(.+)", re.DOTALL)
_GLOB = re.compile(r"([*?\[\]\\^-])")


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

    def body(self, key: Key) -> str:
        """The stored response. Its name has SCHEMA, because a release reads only one format."""
        return f"{self.prefix}:{{{key.training_id}}}:b{SCHEMA}:{key.partition}"

    def floor(self, key: Key) -> str:
        """The version floor. Its name is the same in all releases."""
        return f"{self.prefix}:{{{key.training_id}}}:f:{key.partition}"

    def doubt(self, key: Key) -> str:
        """The doubt: the answers that were refused for their version."""
        return f"{self.prefix}:{{{key.training_id}}}:d:{key.partition}"

    def touched(self, key: Key) -> tuple[str, str, str]:
        """The keys that a look-up reads: floor, event, body."""
        return self.floor(key), self.event(key.training_id), self.body(key)

    def judged(self, key: Key) -> tuple[str, str, str, str]:
        """The keys that the scripts `store`, `drop` and `compare` use: those of `touched`, and the
        doubt."""
        return *self.touched(key), self.doubt(key)

    def event(self, training_id: str) -> str:
        """The event: the last orders about this training, in all partitions."""
        return f"{self.prefix}:{{{training_id}}}:i"

    def floors(self, partition: str | None) -> str:
        """A pattern for the names of a partition's floors (None: of all floors)."""
        tail = "*" if partition is None else _escaped(partition)
        return f"{_escaped(self.prefix)}:{{*}}:f:{tail}"

    def key_of(self, floor: bytes | str) -> Key | None:
        """The key whose floor has this name. None if the name is not that of a floor."""
        name = floor if isinstance(floor, str) else floor.decode("utf-8", "replace")
        match = _FLOOR_NAME.fullmatch(name.removeprefix(f"{self.prefix}:"))
        return None if match is None else Key(match[2], match[1])


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


def ear(prefix: str, replica: str) -> str:
    """The channel of one replica: for answers to its notices, and for endings of fetches."""
    return f"{prefix}:bus:{replica}"


def _escaped(text: str) -> str:
    return _GLOB.sub(r"\\\1", text)
