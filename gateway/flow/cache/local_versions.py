"""The versions that this replica knows by itself, in addition to those in Redis.

- `Alone` judges an answer while Redis is away, or has lost a floor (the record of a key's
  versions).
- `Latest` remembers the latest version that was served, for keys that L1 does not hold.
- `RefusedVersions` has the answers that the store refused a moment ago because of their version.

Each of them remembers a bounded number of keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from gateway.core.cache.entry import Entry, Floor, Key, era
from gateway.core.cache.version_verdict import Doubt, Known, supersedes
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import Clock, Held, LocalStore, Stored

_MOST_VERSIONS: Final = 10_000
_MOST_DOUBTS: Final = 10_000
# The most seconds for which a refused answer may be served again.
_LONGEST: Final = 10.0
# The most bytes of all refused answers together: body, head and _OVERHEAD of each.
_MOST_BYTES: Final = 4 * 1024 * 1024
_OVERHEAD: Final = 1_000


class Alone:
    """Judges a new entry without Redis: compares it with the entry in L1 or, if there is none, with
    the latest version that was served.

    The rule is in core/cache/version_verdict. A `Doubt` counts answers that were refused for their
    version. If enough of them agree, they are believed. If a doubt is forgotten, such answers are
    only believed later.
    """

    def __init__(self, local: LocalStore, believe_after: float) -> None:
        self._local = local
        self._believe_after = believe_after
        self._doubts: LRUCache[Key, Doubt] = LRUCache(_MOST_DOUBTS)
        self.latest = Latest()

    def known(self, key: Key) -> Entry | None:
        """The entry with which a new entry of this key is compared."""
        held = self._local.peek(key)
        return self.latest.of(key) if held is None else held.entry

    def refuses(self, key: Key, entry: Entry) -> Stored | None:
        """The refusal of the entry, if this replica knows a later version that Redis does not know.
        None if the entry is not refused."""
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
        """Note an answer that a request gets although it was not stored. After that L1 must not
        serve an older answer. `floor` is the floor that refused the answer (None: unknown).
        `may_hold` says whether L1 may hold the answer.

        If L1 has an entry that is later than the answer, nothing changes. Otherwise:

        - If `may_hold`, and the floor is lost or unknown, L1 holds the answer, because perhaps only
          this replica knows its version.
        - If `may_hold`, and only soft orders ruled the answer out (`is_left`), L1 holds the answer
          for rescue.
        - If neither is so, L1 drops its entry of the key, unless the floor allows that entry.
        """
        known = self._local.peek(key)
        if known is not None and not supersedes(held.entry, known.entry):
            return
        is_lost = floor is None or floor.epoch != held.entry.epoch
        if (is_lost or is_left) and may_hold:
            self._local.put(key, held)
        elif known is not None and (floor is None or known.entry.is_below(floor)):
            self._local.drop(key)
        if self._local.peek(key) is None:
            self.latest.note(key, held.entry)

    def took(self, key: Key, entry: Entry) -> None:
        """Note that the store accepted the entry. This may end a doubt about earlier answers."""
        doubt = self._doubts.get(key)
        if doubt is not None and doubt.is_ended_by(entry):
            del self._doubts[key]

    def _believes(self, key: Key, entry: Entry, known: Entry | None) -> bool:
        """Note a refused answer. Returns whether the answer is believed now. If so, L1 drops the
        entry that it holds."""
        noted = Known.of(known, self._doubts.pop(key, None))
        if noted.believes(entry, self._believe_after):
            self._local.drop(key)
            self.latest.forget(key)
            return True
        if noted.doubt is not None:
            self._doubts[key] = noted.doubt
        return False


class Latest:
    """The latest versions of responses that this replica has served but not put into L1, or has
    dropped from L1. An eviction for space is not noted here. These versions are remembered, because
    Redis may lose the floor of the key, and accept an older version. Callers must not get it.

    The entries have no bodies. If there are too many, the entry that was noted the longest time ago
    is forgotten. After that, callers may get an older version.
    """

    def __init__(self, most: int = _MOST_VERSIONS) -> None:
        self._most = most
        # A dict, because its `get` is faster than that of a cachetools cache, and each look-up of a
        # key that L1 does not hold uses it.
        self._entries: dict[Key, Entry] = {}

    def of(self, key: Key) -> Entry | None:
        """The latest version that was served. None if it is not remembered."""
        return self._entries.get(key)

    def note(self, key: Key, entry: Entry) -> None:
        """Remember the version of an entry that was served."""
        before = self._entries.pop(key, None)
        if before is None or supersedes(entry, before):
            before = entry.but(body=b"", headers=())
        self._entries[key] = before
        if len(self._entries) > self._most:
            del self._entries[next(iter(self._entries))]

    def forget(self, key: Key) -> None:
        """Forget the version, so that any version may follow."""
        self._entries.pop(key, None)

    def forget_all(self, partition: str | None) -> None:
        """Forget the versions of a partition (None: of all partitions)."""
        for key in [key for key in self._entries if partition in (None, key.partition)]:
            del self._entries[key]


@dataclass(frozen=True, slots=True)
class _Refused:
    """An answer, and the floor that refused it. Until `until` (monotonic) the answer may be served
    again."""

    held: Held
    floor: Floor | None
    until: float

    @property
    def size(self) -> int:
        return _OVERHEAD + len(self.held.body) + len(self.held.head)


class RefusedVersions:
    """For each key, the last answer that the store refused for its version. To save a call, it may
    be served again for a short time. It is neither stored nor used for rescue (serving a stale
    response because the upstream failed). If an answer is forgotten, the next request for its key
    may need a call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._refused: dict[Key, _Refused] = {}  # the oldest first
        self._size = 0

    def note(self, key: Key, held: Held, floor: Floor | None) -> None:
        """Remember an answer of the upstream, and the floor that refused it."""
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
        """Forget the refused answer if `floor` (None: unknown) is not the floor that refused it."""
        refused = self._refused.get(key)
        if refused is not None and not _is_same(refused.floor, floor):
            self.forget(key)

    def of(self, key: Key) -> Held | None:
        """The refused answer that may be served again, or None."""
        refused = self._refused.get(key)
        if refused is None or refused.until <= self._clock.monotonic():
            return None
        return refused.held

    def forget(self, key: Key) -> None:
        """Forget the refused answer of this key."""
        refused = self._refused.pop(key, None)
        if refused is not None:
            self._size -= refused.size

    def forget_where(self, matches: Callable[[Key], bool]) -> None:
        """Forget the refused answers of all keys that match."""
        for key in [key for key in self._refused if matches(key)]:
            self.forget(key)


def overrules(local: Entry, other: Entry) -> bool:
    """Whether `local` is the later entry, although it has another epoch (a random text, which is
    different in each new floor). This happens if `local` was fetched without Redis, or before Redis
    lost the floor."""
    return local.epoch != other.epoch and is_passed(other, local)


def is_passed(other: Entry, local: Entry) -> bool:
    """Whether `local` is another entry than `other`, and a later one. If so, and if `other` came
    from Redis, Redis does not know `local`. This happens, for example, if a replica of Redis became
    the master without the last writes."""
    if other.epoch == local.epoch and other.generation != local.generation:
        return other.generation < local.generation or _is_proven_passed(other, local)
    return other.digest != local.digest and not supersedes(other, local)


def _is_proven_passed(other: Entry, local: Entry) -> bool:
    """Whether `other` is certainly older than `local`, although `other` has the higher generation.
    An example: the fetch of `local` began, then an order raised the generation, and a later fetch
    brought `other`, because the upstream sent an older version."""
    if local.updated_at is None or local.is_ahead or other.updated_at == local.updated_at:
        return False
    return era(other.generation) == era(local.generation) and not supersedes(other, local)


def _as_floor(entry: Entry) -> Floor:
    """The floor of a key if only this entry is known."""
    return Floor(entry.epoch, entry.generation, entry.updated_at, entry.digest, entry.confirmed_at)


def _is_same(before: Floor | None, now: Floor | None) -> bool:
    if before is None or now is None:
        return False
    return _known(before) == _known(now)


def _known(floor: Floor) -> tuple[object, ...]:
    return floor.epoch, floor.generation, floor.updated_at, floor.digest
