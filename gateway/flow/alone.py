"""What a replica decides by what L1 holds: Redis is away, or knows nothing of it any more.

An older answer loses against L1, and a date far ahead is no version, unless enough answers
agree: the rule is core/doubt.py's. Bounded; forgetting a doubt puts off the belief, nothing else.
"""

from __future__ import annotations

from typing import Final

from gateway.core.doubt import Doubt, doubt_of
from gateway.core.entry import Entry, Floor, Key
from gateway.core.status import StoreVerdict
from gateway.flow.latest import Latest
from gateway.ports import Held, LocalStore, Stored

_MOST: Final = 10_000


class Alone:
    """Judges offered entries by those in L1, or by what is remembered of them."""

    def __init__(self, local: LocalStore, believe_after: float) -> None:
        self._local = local
        self._believe_after = believe_after
        self._doubts: dict[Key, Doubt] = {}
        self.latest = Latest()

    def known(self, key: Key) -> Entry | None:
        """What L1 holds, or held when it was answered last."""
        held = self._local.peek(key)
        return self.latest.of(key) if held is None else held.entry

    def refuses(self, key: Key, entry: Entry) -> Stored | None:
        """The refusal of what L1 overrules, so that Redis need not be asked."""
        known = self.known(key)
        if known is None or not overrules(known, entry):
            return None
        return None if self._believes(key, entry, known) else _older_than(known)

    def judge(self, key: Key, entry: Entry) -> Stored:
        """The verdict without Redis."""
        known = self.known(key)
        refused = _refused(entry, known)
        if refused is not None:
            if self._believes(key, entry, known):
                return Stored(StoreVerdict.BELIEVED, _as_floor(entry))
            return refused
        if known is None:
            return Stored(StoreVerdict.FIRST, None)
        # The words of a 404 may differ from one to the next; what they say does not.
        same = entry.digest == known.digest or (entry.is_negative and known.is_negative)
        return Stored(StoreVerdict.UNCHANGED if same else StoreVerdict.CHANGED, _as_floor(entry))

    def gave(self, key: Key, held: Held, floor: Floor | None, *, may_hold: bool) -> None:
        """An answer was given that Redis refused, with that floor; L1 goes on with none older.

        Where Redis lost what it knew, nobody else remembers the version: L1 does, if it may. Else
        an order ruled the answer out, and with it what is older, whatever Redis forgets then."""
        known = self._local.peek(key)
        if known is not None and not held.entry.supersedes(known.entry):
            return
        is_lost = floor is None or floor.epoch != held.entry.epoch
        if is_lost and may_hold:
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
        if not _is_doubtful(entry, known):
            return False
        before = self._doubts.pop(key, None)
        version = None if known is None else known.updated_at
        doubt = doubt_of(entry) if before is None else before.after(entry, version)
        if doubt.is_believed(self._believe_after):
            self._local.drop(key)
            self.latest.forget(key)
            return True
        self._doubts[key] = doubt
        if len(self._doubts) > _MOST:
            del self._doubts[next(iter(self._doubts))]
        return False


def overrules(local: Entry, other: Entry) -> bool:
    """Whether L1's is the later one, and the floor of the other cannot know of it: it was
    fetched without Redis, or before Redis lost all it had."""
    return local.epoch != other.epoch and is_passed(other, local)


def is_passed(other: Entry, local: Entry) -> bool:
    """Whether L1's is the later one, and the floor read with the other cannot tell: Redis lost
    what it was told last, as a copy of it that takes over lacks that."""
    if other.epoch == local.epoch and other.generation != local.generation:
        return other.generation < local.generation
    return other.digest != local.digest and not other.supersedes(local)


def _refused(entry: Entry, known: Entry | None) -> Stored | None:
    if _is_above(entry, known) and entry.is_ahead:
        return Stored(StoreVerdict.AHEAD, None if known is None else _as_floor(known))
    if known is not None and not entry.supersedes(known):
        return _older_than(known)
    return None


def _is_doubtful(entry: Entry, known: Entry | None) -> bool:
    """Whether it was refused for its version, not for its fetch, which another has overtaken."""
    if entry.updated_at is None:
        return False
    if known is None:
        return True
    return entry.updated_at != known.updated_at and entry.confirmed_at >= known.confirmed_at


def _is_above(entry: Entry, known: Entry | None) -> bool:
    if entry.updated_at is None:
        return False
    return known is None or known.updated_at is None or entry.updated_at > known.updated_at


def _older_than(known: Entry) -> Stored:
    return Stored(StoreVerdict.OLDER, _as_floor(known))


def _as_floor(entry: Entry) -> Floor:
    """What is known of a key's versions where only this entry is."""
    return Floor(entry.epoch, entry.generation, entry.updated_at, entry.digest, entry.confirmed_at)
