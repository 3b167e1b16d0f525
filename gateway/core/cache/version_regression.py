"""Answers refused for their version: what is remembered of them, and when they are believed.

An upstream restored from a backup goes back behind versions that were seen; a wrong clock
writes dates far ahead. Neither is taken at its word, and neither may freeze a training for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from gateway.core.cache.entry import Entry
from gateway.core.instant import Instant

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
