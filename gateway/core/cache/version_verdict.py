"""Finds the later of two answers, and compares an answer's version with the known versions.

The script store.lua has the same rules. The gateway uses `Known` if it has no Redis, while Redis is
away, and after Redis has lost the version floor of a training.

The upstream can go back to older versions after a restore from a backup. If the upstream's clock is
wrong, versions can be far in the future. Answers with such versions are refused, and recorded as a
doubt. If enough of these answers agree for long enough, the gateway believes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Self

from gateway.core.cache.entry import Entry
from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict


def supersedes(entry: Entry, other: Entry) -> bool:
    """Whether the entry may replace `other`. If either has no version, only the times of the
    fetches are compared."""
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
    """The known versions of a training.

    updated_at   the version below which no answer is accepted (None: no such version)
    raised_from  the stored version, if the list or a soft order named a later version
    digest       the digest of the last accepted answer ("": not known)
    started      the time of the last accepted answer, page of the list, or order, as
                 `Floor.started` in core/cache/entry
    doubt        the refused answers (None: no answer was refused, or the doubt has ended)
    trusts_next  whether the next answer is accepted even if its version is far in the future
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
        """The versions that are known from an entry alone."""
        if entry is None:
            return cls(doubt=doubt)
        return cls(entry.updated_at, _kind(entry), entry.digest, entry.confirmed_at, doubt)

    def verdict(self, entry: Entry) -> StoreVerdict:
        """Whether the entry is accepted, and whether it changes the stored response."""
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
        return self._first_or_changed()

    def _verdict_on_negative(self, is_later: bool) -> StoreVerdict:
        if not is_later:
            return StoreVerdict.OLDER
        return StoreVerdict.UNCHANGED if self.last is Last.NEGATIVE else self._first_or_changed()

    def _first_or_changed(self) -> StoreVerdict:
        known_nothing = self.last is Last.NONE and self.updated_at is None
        return StoreVerdict.FIRST if known_nothing else StoreVerdict.CHANGED

    def take(self, entry: Entry) -> None:
        """Record that this answer was accepted."""
        self.last, self.digest, self.raised_from = _kind(entry), entry.digest, None
        if before(self.updated_at, entry.updated_at):
            self.updated_at = entry.updated_at
        self.started = max(self.started, entry.confirmed_at)
        self.trusts_next = False
        if self.doubt is not None and self.doubt.is_ended_by(entry):
            self.doubt = None

    def believes(self, entry: Entry, believe_after: float) -> bool:
        """Record a refused answer. Returns whether the refused answers are believed now."""
        behind = before(entry.updated_at, self.updated_at)
        ahead = entry.is_ahead and not behind
        if entry.updated_at is None or not (behind or ahead) or entry.confirmed_at < self.started:
            return False
        doubt = doubt_of(entry) if self.doubt is None else self.doubt.after(entry, self.updated_at)
        self.doubt, self.trusts_next = doubt, False
        return doubt.is_believed(believe_after)


def before(one: Instant | None, other: Instant | None) -> bool:
    """Whether the version `one` is lower than `other`. None is lower than every version."""
    return other is not None and (one is None or one < other)


def _kind(entry: Entry) -> Last:
    return Last.NEGATIVE if entry.updated_at is None else Last.VERSION


# At least this number of answers has to agree, because a short fault can cause two wrong answers.
ENOUGH: Final = 3


@dataclass(frozen=True, slots=True)
class Doubt:
    """The last refused answer, and how many refused answers in a row agree.

    answers  how many agree. The count stops at ENOUGH
    first    when the fetch of the first of these answers began
    last     when the fetch of the last one began
    """

    updated_at: Instant
    digest: str
    answers: int
    first: float
    last: float

    def after(self, entry: Entry, known: Instant | None) -> Doubt:
        """The doubt after another refused answer. `known`: the latest known version.

        The answer agrees with the last refused answer in two cases:

        - Both have the same version and the same digest.
        - The answer has a later version, because the training was perhaps edited. Either both
          versions are above `known`, or both are not.

        If the answer does not agree, a new doubt begins. An answer whose fetch did not begin after
        `last` changes nothing.
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
        """Whether enough answers agreed over at least `believe_after` seconds."""
        over = round((self.last - self.first) * 1_000_000)  # in microseconds, as Redis counts
        return self.answers >= ENOUGH and over >= round(believe_after * 1_000_000)

    def is_ended_by(self, entry: Entry) -> bool:
        """Whether an accepted answer ends the doubt: its fetch did not begin before `first`."""
        return entry.confirmed_at >= self.first


def doubt_of(entry: Entry) -> Doubt:
    """The doubt after a first refused answer."""
    assert entry.updated_at is not None, "a negative entry has no version to doubt"
    return Doubt(entry.updated_at, entry.digest, 1, entry.confirmed_at, entry.confirmed_at)


def _is_above(updated_at: Instant, known: Instant | None) -> bool:
    return known is None or updated_at > known
