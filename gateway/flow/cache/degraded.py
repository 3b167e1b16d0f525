"""What a replica decides by what L1 holds or held: Redis is away, or knows nothing of it any more.

The verdict is core/cache/version_verdict.py's, with L1's entry as what is known. Doubts are
bounded: forgetting one puts off the belief, nothing else. Redis may lose what it knew, and then an
older version be stored there as its first: so the latest version that was answered of a key that L1
holds no more is remembered. A caller that was given the later one must not be given that.
"""

from __future__ import annotations

from typing import Final

from cachetools import LRUCache

from gateway.core.cache.entry import Entry, Floor, Key, era
from gateway.core.cache.version_verdict import Doubt, Known
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import Held, LocalStore, Stored

_MOST_VERSIONS: Final = 10_000


class Latest:
    """Entries without bodies, bounded: forgetting the oldest costs the promise, nothing else."""

    def __init__(self, most: int = _MOST_VERSIONS) -> None:
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


_MOST_DOUBTS: Final = 10_000


class Alone:
    """Judges offered entries by those in L1, or by what is remembered of them."""

    def __init__(self, local: LocalStore, believe_after: float) -> None:
        self._local = local
        self._believe_after = believe_after
        self._doubts: LRUCache[Key, Doubt] = LRUCache(_MOST_DOUBTS)
        self.latest = Latest()

    def known(self, key: Key) -> Entry | None:
        """What L1 holds, or held when it was answered last."""
        held = self._local.peek(key)
        return self.latest.of(key) if held is None else held.entry

    def refuses(self, key: Key, entry: Entry) -> Stored | None:
        """The refusal of what L1 overrules, so that Redis need not be asked."""
        known = self.known(key)
        if known is None or not overrules(known, entry) or self._believes(key, entry, known):
            return None
        return Stored(StoreVerdict.OLDER, _as_floor(known))

    def judge(self, key: Key, entry: Entry) -> Stored:
        """The verdict without Redis."""
        known = self.known(key)
        verdict = Known.of(known, None).verdict(entry)
        if verdict.is_refusal:
            if self._believes(key, entry, known):
                return Stored(StoreVerdict.BELIEVED, _as_floor(entry))
            return Stored(verdict, None if known is None else _as_floor(known))
        return Stored(verdict, None if known is None else _as_floor(entry))

    def gave(
        self,
        key: Key,
        held: Held,
        floor: Floor | None,
        *,
        may_hold: bool,
        is_left: bool = False,
    ) -> None:
        """An answer was given that Redis refused, with that floor; L1 goes on with none older.

        Where Redis lost what it knew, nobody else remembers the version: L1 does, if it may. Else
        an order ruled the answer out, and with it what is older, whatever Redis forgets then; a
        soft one left it for rescue (`is_left`)."""
        known = self._local.peek(key)
        if known is not None and not held.entry.supersedes(known.entry):
            return
        is_lost = floor is None or floor.epoch != held.entry.epoch
        if (is_lost or is_left) and may_hold:
            self._local.put(key, held)
        elif known is not None and (floor is None or known.entry.is_below(floor)):
            self._local.drop(key)
        if self._local.peek(key) is None:
            self.latest.note(key, held.entry)

    def took(self, key: Key, entry: Entry) -> None:
        """The entry was taken: what was doubted before it is not any more."""
        doubt = self._doubts.get(key)
        if doubt is not None and doubt.is_ended_by(entry):
            del self._doubts[key]

    def _believes(self, key: Key, entry: Entry, known: Entry | None) -> bool:
        """Note an answer that was refused; if it is believed now, L1 gives way."""
        noted = Known.of(known, self._doubts.pop(key, None))
        if noted.believes(entry, self._believe_after):
            self._local.drop(key)
            self.latest.forget(key)
            return True
        if noted.doubt is not None:
            self._doubts[key] = noted.doubt
        return False


def overrules(local: Entry, other: Entry) -> bool:
    """Whether L1's is the later one, and the floor of the other cannot know of it: it was
    fetched without Redis, or before Redis lost all it had."""
    return local.epoch != other.epoch and is_passed(other, local)


def is_passed(other: Entry, local: Entry) -> bool:
    """Whether L1's is the later one, and the floor read with the other cannot tell: Redis lost
    what it was told last, as a copy of it that takes over lacks that."""
    if other.epoch == local.epoch and other.generation != local.generation:
        return other.generation < local.generation or _is_proven_passed(other, local)
    return other.digest != local.digest and not other.supersedes(local)


def _is_proven_passed(other: Entry, local: Entry) -> bool:
    """Whether L1's, which an order ruled out since its fetch began, proves a later version."""
    if local.updated_at is None or local.is_ahead or other.updated_at == local.updated_at:
        return False
    return era(other.generation) == era(local.generation) and not other.supersedes(local)


def _as_floor(entry: Entry) -> Floor:
    """What is known of a key's versions where only this entry is."""
    return Floor(entry.epoch, entry.generation, entry.updated_at, entry.digest, entry.confirmed_at)
