"""Remembers the versions that this replica knows.

They are used while Redis is away, and after Redis has lost the floor of a key.
"""

from __future__ import annotations

from typing import Final

from cachetools import LRUCache

from gateway.core.cache.entry import Entry, Floor, Key, era
from gateway.core.cache.version_verdict import Doubt, Known, supersedes
from gateway.core.vocabulary import StoreVerdict
from gateway.flow.cache.local_store import LocalStore
from gateway.ports import Held, Stored

_MOST_VERSIONS: Final = 10_000
_MOST_DOUBTS: Final = 10_000


class Alone:
    """Judges a new entry without Redis, by the rule in core/cache/version_verdict."""

    def __init__(self, local: LocalStore, believe_after: float) -> None:
        self._local = local
        self._believe_after = believe_after
        self._doubts: LRUCache[Key, Doubt] = LRUCache(_MOST_DOUBTS)
        self.latest = Latest()

    def known(self, key: Key) -> Entry | None:
        """The entry with which a new entry is compared: the entry in L1, or the entry in `latest`
        if L1 has none."""
        held = self._local.peek(key)
        return self.latest.of(key) if held is None else held.entry

    def refuses(self, key: Key, entry: Entry) -> Stored | None:
        """Refuse the entry if this replica knows a later version that Redis does not know. None if
        the entry is not refused."""
        known = self.known(key)
        if known is None or not overrules(known, entry) or self._believes(key, entry, known):
            return None
        return Stored(StoreVerdict.OLDER, _as_floor(known))

    def judge(self, key: Key, entry: Entry) -> Stored:
        """Judge the entry while Redis is away."""
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
        """Note an answer that a request gets although it was not stored. Without this, another
        request could get an older version from L1.

        floor     the floor that refused the answer (None: unknown)
        may_hold  whether the answer may be put into L1
        is_left   whether the answer may be used for rescue

        If L1 has a later entry, nothing is noted. Otherwise the answer is put into L1 if `may_hold`
        is True and one of these conditions holds:

        - `is_left` is True.
        - `floor` is unknown, or has another epoch than the answer. Perhaps only this replica knows
          the answer's version.

        If the answer is not put into L1, an older entry stays in L1 only if `floor` is known and
        does not rule it out. If L1 then has no entry, `latest` notes the version of the answer.
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
        """Note that the store accepted the entry. The entry perhaps ends a doubt (a series of
        refused answers)."""
        doubt = self._doubts.get(key)
        if doubt is not None and doubt.is_ended_by(entry):
            del self._doubts[key]

    def _believes(self, key: Key, entry: Entry, known: Entry | None) -> bool:
        """Note a refused answer. Returns whether it is believed now, because enough refused answers
        in a row agree with each other. If so, the `known` version is forgotten."""
        noted = Known.of(known, self._doubts.pop(key, None))
        if noted.believes(entry, self._believe_after):
            self._local.drop(key)
            self.latest.forget(key)
            return True
        if noted.doubt is not None:
            self._doubts[key] = noted.doubt
        return False


class Latest:
    """For each key, the latest version that was served but not put into L1, or that an invalidation
    removed from L1.

    Redis can lose the floor of a key, and then accept an older version. The noted version shows
    that the version in Redis is older. If a noted version is forgotten, callers perhaps get an
    older one.
    """

    def __init__(self, most: int = _MOST_VERSIONS) -> None:
        self._most = most
        # Many look-ups call `get`, which is slower in a cachetools cache.
        self._entries: dict[Key, Entry] = {}

    def of(self, key: Key) -> Entry | None:
        """The noted entry of this key, without body and header fields, or None."""
        return self._entries.get(key)

    def note(self, key: Key, entry: Entry) -> None:
        """Note the version of the entry, if no later version is noted already."""
        before = self._entries.pop(key, None)
        if before is None or supersedes(entry, before):
            before = entry.but(body=b"", headers=())
        self._entries[key] = before
        if len(self._entries) > self._most:
            del self._entries[next(iter(self._entries))]

    def forget(self, key: Key) -> None:
        """Forget the version of this key."""
        self._entries.pop(key, None)

    def forget_all(self, partition: str | None) -> None:
        """Forget the versions of a partition (None: of all partitions)."""
        for key in [key for key in self._entries if partition in (None, key.partition)]:
            del self._entries[key]


def overrules(local: Entry, other: Entry) -> bool:
    """Whether `local` is later than `other`, and has another epoch: `local` was fetched without
    Redis, or before Redis lost the floor."""
    return local.epoch != other.epoch and is_passed(other, local)


def is_passed(other: Entry, local: Entry) -> bool:
    """Whether `local` is later than `other`. `local` can be later than an entry from Redis, because
    Redis can lose entries (for example in a failover)."""
    if other.epoch == local.epoch and other.generation != local.generation:
        return other.generation < local.generation or _is_proven_passed(other, local)
    return other.digest != local.digest and not supersedes(other, local)


def _is_proven_passed(other: Entry, local: Entry) -> bool:
    """Whether `local` is later than `other`, although `other` has the higher generation.

    After an order has raised the generation, the upstream can still send a version that is older
    than `local`. So the versions are compared. But the result is False in these cases:

    - `local` has no version, or both have the same version.
    - The version of `local` is far in the future. It is perhaps a mistake.
    - The eras differ: after a purge, or after the gateway has believed an older version, a new era
      begins.
    """
    if local.updated_at is None or local.is_ahead or other.updated_at == local.updated_at:
        return False
    return era(other.generation) == era(local.generation) and not supersedes(other, local)


def _as_floor(entry: Entry) -> Floor:
    """The floor that a store would have if it knew only this entry."""
    return Floor(entry.epoch, entry.generation, entry.updated_at, entry.digest, entry.confirmed_at)
