"""Says which of two answers is the later one, and compares the version of an answer with the
versions known of a training. store.lua has the same rule in Lua. This module serves the ledger of
a process without Redis, and a replica whose Redis is away; this replica knows only the entry in
L1.

The module also keeps the doubt: what it remembers of answers that were refused for their version,
and when it believes them. An upstream that was restored from a backup goes back to older versions,
and a wrong clock writes dates far ahead. The gateway does not believe such an answer at once, but
it must not refuse a training's answers for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Self

from gateway.core.cache.entry import Entry
from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict


def supersedes(entry: Entry, other: Entry) -> bool:
    """Whether the entry may replace `other`: it has the later version, or the same version and the
    later fetch. If one of them has no version, only the fetches count.
    """
    if entry.updated_at is None or other.updated_at is None:
        return entry.confirmed_at >= other.confirmed_at
    if entry.updated_at != other.updated_at:
        return entry.updated_at > other.updated_at
    return entry.confirmed_at >= other.confirmed_at


class Last(Enum):
    """The kind of the last answer that was accepted."""

    NONE = "-"
    VERSION = "v"
    NEGATIVE = "n"


@dataclass(slots=True)
class Known:
    """What is known of a training's versions.

    updated_at  the version below which no answer is accepted; None: there is none
    raised_from the stored version, if the list or a soft order claimed a later one
    digest      that of the last accepted answer, "" if it is not known
    started     an answer whose fetch was sent before this time (seconds) does not count as later
    doubt       about answers that were refused for their version; None: there is none
    trusts_next whether the next answer is accepted, even if its version is far ahead
    """

    updated_at: Instant | None = None
    last: Last = Last.NONE
    digest: str = ""
    started: float = 0.0
    doubt: Doubt | None = None
    trusts_next: bool = False
    raised_from: Instant | None = None

    @classmethod
    def of(cls, entry: Entry | None, doubt: Doubt | None) -> Self:
        """What is known from an entry alone. `entry` None: nothing is known."""
        if entry is None:
            return cls(doubt=doubt)
        return cls(entry.updated_at, _kind(entry), entry.digest, entry.confirmed_at, doubt)

    def verdict(self, entry: Entry) -> StoreVerdict:
        """Whether the entry is accepted, and what it changes.

        A negative entry has no version. It and the next answer are ordered by their fetches.
        """
        is_later = entry.confirmed_at >= self.started
        if entry.updated_at is None:
            return self._verdict_on_negative(is_later)
        if entry.is_ahead and before(self.updated_at, entry.updated_at) and not self.trusts_next:
            return StoreVerdict.AHEAD
        if before(entry.updated_at, self.updated_at):
            return StoreVerdict.OLDER
        if self.last is Last.NEGATIVE and not is_later:
            return StoreVerdict.OLDER
        is_known = entry.updated_at == self.updated_at and self.raised_from is None
        if self.last is Last.VERSION and is_known:
            if entry.digest == self.digest:
                return StoreVerdict.UNCHANGED
            return StoreVerdict.CHANGED if is_later else StoreVerdict.OLDER
        return self._news()

    def _verdict_on_negative(self, is_later: bool) -> StoreVerdict:
        if not is_later:
            return StoreVerdict.OLDER
        return StoreVerdict.UNCHANGED if self.last is Last.NEGATIVE else self._news()

    def _news(self) -> StoreVerdict:
        known_nothing = self.last is Last.NONE and self.updated_at is None
        return StoreVerdict.FIRST if known_nothing else StoreVerdict.CHANGED

    def take(self, entry: Entry) -> None:
        """Accept this answer."""
        self.last, self.digest, self.raised_from = _kind(entry), entry.digest, None
        if before(self.updated_at, entry.updated_at):
            self.updated_at = entry.updated_at
        self.started = max(self.started, entry.confirmed_at)
        self.trusts_next = False
        if self.doubt is not None and self.doubt.is_ended_by(entry):
            self.doubt = None

    def believes(self, entry: Entry, believe_after: float) -> bool:
        """Note an answer that was refused. Returns whether enough refused answers agreed, over at
        least `believe_after` seconds."""
        behind = before(entry.updated_at, self.updated_at)
        ahead = entry.is_ahead and not behind
        if entry.updated_at is None or not (behind or ahead) or entry.confirmed_at < self.started:
            return False  # refused because a later fetch was accepted, not for its version
        doubt = doubt_of(entry) if self.doubt is None else self.doubt.after(entry, self.updated_at)
        self.doubt, self.trusts_next = doubt, False
        return doubt.is_believed(believe_after)


def before(one: Instant | None, other: Instant | None) -> bool:
    """Whether a version precedes another; None precedes all of them."""
    return other is not None and (one is None or one < other)


def _kind(entry: Entry) -> Last:
    return Last.NEGATIVE if entry.updated_at is None else Last.VERSION


# Answers that have to agree, even if the time for it is short. One may be a passing fault, and a
# second one may repeat it.
ENOUGH: Final = 3


@dataclass(frozen=True, slots=True)
class Doubt:
    """The version and body in which refused answers in a row agree.

    `first` and `last` are the times when the fetches of the first and the last of them began.
    """

    updated_at: Instant
    digest: str
    answers: int
    first: float
    last: float

    def after(self, entry: Entry, known: Instant | None) -> Doubt:
        """The doubt after another refused answer. `known` is the latest known version.

        An answer agrees if it has the same version and bytes. It also agrees if its version is
        later, because the training was edited since, and on the same side of `known`. A fetch that
        did not begin later than the last one changes nothing.
        """
        assert entry.updated_at is not None, "a negative entry has no version to doubt"
        if entry.confirmed_at <= self.last:
            return self
        same_side = _is_above(entry.updated_at, known) == _is_above(self.updated_at, known)
        same = (entry.updated_at, entry.digest) == (self.updated_at, self.digest)
        if not same and not (same_side and entry.updated_at > self.updated_at):
            return doubt_of(entry)
        return replace(doubt_of(entry), answers=min(self.answers + 1, ENOUGH), first=self.first)

    def is_believed(self, believe_after: float) -> bool:
        """Whether enough answers agreed, over at least `believe_after` seconds."""
        over = round((self.last - self.first) * 1_000_000)  # in microseconds, as Redis counts
        return self.answers >= ENOUGH and over >= round(believe_after * 1_000_000)

    def is_ended_by(self, entry: Entry) -> bool:
        """Whether an accepted answer ends the doubt: its fetch began when the doubt's first did, or
        later."""
        return entry.confirmed_at >= self.first


def doubt_of(entry: Entry) -> Doubt:
    """The doubt after a first refused answer."""
    assert entry.updated_at is not None, "a negative entry has no version to doubt"
    return Doubt(entry.updated_at, entry.digest, 1, entry.confirmed_at, entry.confirmed_at)


def _is_above(updated_at: Instant, known: Instant | None) -> bool:
    return known is None or updated_at > known
