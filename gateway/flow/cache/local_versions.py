"""What this replica itself knows of versions, beside what Redis knows of them.

Lives here: the verdict on an answer while Redis is away, or has lost what it knew; the latest
version that was answered of a key; and the answers that the store refused for their version a
moment ago. All of them are bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from gateway.core.cache.entry import Entry, Floor, Key, era
from gateway.core.cache.version_verdict import Doubt, Known
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import Clock, Held, LocalStore, Stored

_MOST_VERSIONS: Final = 10_000
_MOST_DOUBTS: Final = 10_000
# Seconds for which a refused answer may be given again, at most.
_LONGEST: Final = 10.0
# Bytes of all refused answers, and of each one beside its body and its head.
_MOST_BYTES: Final = 4 * 1024 * 1024
_OVERHEAD: Final = 1_000


class Alone:
    """Judges offered entries by those in L1, or by what is remembered of them.

    The verdict is core/cache/version_verdict's, with L1's entry as what is known. Forgetting a
    doubt puts off the belief, nothing else.
    """

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


class Latest:
    """The latest version that was answered of each key that L1 holds no more: Redis may lose what
    it knew, and then an older version be stored there as its first. A caller that was given the
    later one must not be given that.

    Entries without bodies: forgetting the oldest costs the promise, nothing else.
    """

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


@dataclass(frozen=True, slots=True)
class _Refused:
    """An answer, the floor that refused it, and until when (monotonic) it may be given again."""

    held: Held
    floor: Floor | None
    until: float

    @property
    def size(self) -> int:
        return _OVERHEAD + len(self.held.body) + len(self.held.head)


class RefusedVersions:
    """The last answer of each key that the store refused for its version: what the upstream said a
    moment ago. It may be given again instead of another call; it is neither stored nor a rescue.
    Forgetting one costs a call, nothing else."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._refused: dict[Key, _Refused] = {}  # the oldest first
        self._size = 0

    def note(self, key: Key, held: Held, floor: Floor | None) -> None:
        """The upstream said this, and that floor refused it."""
        self.forget(key)
        now = self._clock.monotonic()
        refused = _Refused(held, floor, now + _LONGEST)
        self._refused[key] = refused
        self._size += refused.size
        while self._refused:
            oldest = next(iter(self._refused))
            if self._size <= _MOST_BYTES and self._refused[oldest].until > now:
                break
            self.forget(oldest)

    def judge(self, key: Key, floor: Floor | None) -> None:
        """Forget what was refused under another floor than the one that stands now (None: not
        known): something was learnt or ordered since."""
        refused = self._refused.get(key)
        if refused is not None and not _is_same(refused.floor, floor):
            self.forget(key)

    def of(self, key: Key) -> Held | None:
        """What may be given again."""
        refused = self._refused.get(key)
        if refused is None or refused.until <= self._clock.monotonic():
            return None
        return refused.held

    def forget(self, key: Key) -> None:
        """Give it no more."""
        refused = self._refused.pop(key, None)
        if refused is not None:
            self._size -= refused.size

    def forget_where(self, matches: Callable[[Key], bool]) -> None:
        """The same of each key that matches."""
        for key in [key for key in self._refused if matches(key)]:
            self.forget(key)


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


def _is_same(before: Floor | None, now: Floor | None) -> bool:
    """Whether it is the same life, generation, version and body that is known."""
    if before is None or now is None:
        return False
    return _known(before) == _known(now)


def _known(floor: Floor) -> tuple[object, ...]:
    return floor.epoch, floor.generation, floor.updated_at, floor.digest
