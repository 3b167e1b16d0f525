"""What an answer is, given what is known of a training: the rule that store.lua has in Lua. Both
follow it: the ledger of a process alone, and a replica whose Redis is away, for which L1's entry is
what is known.

Also here: what is remembered of answers that were refused for their version, and when they are
believed. An upstream restored from a backup goes back behind versions that were seen; a wrong clock
writes dates far ahead. Neither is taken at its word, and neither may freeze a training for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Self

from gateway.core.cache.entry import Entry
from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict


class Last(Enum):
    """What the last answer taken was."""

    NONE = "-"
    VERSION = "v"
    NEGATIVE = "n"


@dataclass(slots=True)
class Known:
    """What is known of a training's versions.

    updated_at  the version below which no answer is taken, None where there is none
    raised_from the version stored, where the list or a soft order claimed a later one
    digest      of the last answer taken, "" where it is not known
    started     seconds: when the last fetch that counts was sent
    doubt       of answers that were refused for their version
    trusts_next whether the next answer is taken, however far ahead its version
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
        """What an entry alone tells; None: nothing is known."""
        if entry is None:
            return cls(doubt=doubt)
        return cls(entry.updated_at, _kind(entry), entry.digest, entry.confirmed_at, doubt)

    def verdict(self, entry: Entry) -> StoreVerdict:
        """What the entry is.

        A negative entry has no version: it and what follows it are ordered by their fetches.
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
        """Know this answer from now on."""
        self.last, self.digest, self.raised_from = _kind(entry), entry.digest, None
        if before(self.updated_at, entry.updated_at):
            self.updated_at = entry.updated_at
        self.started = max(self.started, entry.confirmed_at)
        self.trusts_next = False
        if self.doubt is not None and self.doubt.is_ended_by(entry):
            self.doubt = None

    def believes(self, entry: Entry, believe_after: float) -> bool:
        """Note an answer that was refused; whether enough of them agreed, over `believe_after`
        seconds at least."""
        behind = before(entry.updated_at, self.updated_at)
        ahead = entry.is_ahead and not behind
        if entry.updated_at is None or not (behind or ahead) or entry.confirmed_at < self.started:
            return False  # refused for its fetch, which others have overtaken
        doubt = doubt_of(entry) if self.doubt is None else self.doubt.after(entry, self.updated_at)
        self.doubt, self.trusts_next = doubt, False
        return doubt.is_believed(believe_after)


def before(one: Instant | None, other: Instant | None) -> bool:
    """Whether a version precedes another; None precedes all of them."""
    return other is not None and (one is None or one < other)


def _kind(entry: Entry) -> Last:
    return Last.NEGATIVE if entry.updated_at is None else Last.VERSION


# However short the time in which they have to agree: one answer may be a hiccup, two its echo.
ENOUGH: Final = 3


@dataclass(frozen=True, slots=True)
class Doubt:
    """What refused answers in a row agreed upon.

    `first` and `last` are when the fetches of the first and the last of them began.
    """

    updated_at: Instant
    digest: str
    answers: int
    first: float
    last: float

    def after(self, entry: Entry, known: Instant | None) -> Doubt:
        """The doubt after another refused answer, where `known` is the latest version known.

        The same version and bytes agree, and so does a later version, edited since, as long as
        it is on the same side of what is known. A fetch that began earlier says nothing new.
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
        """Whether enough answers agreed, over at least so many seconds."""
        over = round((self.last - self.first) * 1_000_000)  # as Redis counts
        return self.answers >= ENOUGH and over >= round(believe_after * 1_000_000)

    def is_ended_by(self, entry: Entry) -> bool:
        """Whether an answer that was taken contradicts it, or was fetched before it arose."""
        return entry.confirmed_at >= self.first


def doubt_of(entry: Entry) -> Doubt:
    """The doubt that a first refused answer raises."""
    assert entry.updated_at is not None, "a negative entry has no version to doubt"
    return Doubt(entry.updated_at, entry.digest, 1, entry.confirmed_at, entry.confirmed_at)


def _is_above(updated_at: Instant, known: Instant | None) -> bool:
    return known is None or updated_at > known
