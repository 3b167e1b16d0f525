"""How far the sweep of a partition has come, and how it ended.

Times are seconds on the clock that the replicas share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from gateway.core.sweep.belief import NO_LOOKS, Belief
from gateway.core.upstream.breaker import backoff
from gateway.core.upstream.list_page import Page

LONGEST_PAUSE: Final = 3600.0
# The first and the longest pause (seconds) after a failed call, and after the API refused the list.
_FAILED: Final = (1.0, 60.0)
_REFUSED: Final = (60.0, LONGEST_PAUSE)


class SweepEnd(StrEnum):
    """How a sweep ended."""

    COMPLETE = "complete"  # it saw each training of the list once
    CHANGED = "changed"  # the total changed, or rows moved from page to page
    REPEATED = "repeated"  # a training stood on the list twice
    INVALID = "invalid"  # some rows are no trainings
    ENDLESS = "endless"  # pages went on after as many rows as the list states
    REFUSED = "refused"  # the API refused the list, or answered something else


class SweepState(StrEnum):
    """What a sweep does now."""

    UNKNOWN = "unknown"  # Redis is away, or the sweep has not begun
    WARMING = "warming"  # no whole sweep has ended, or the bound is not kept
    ON = "on"  # the staleness bound is stated
    PAUSED = "paused"  # no caller reads
    BEHIND = "behind"  # the list is older than single answers, and confirms nothing
    OFF = "off"  # the API refused the list


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep has come.

    sweeps      how many sweeps have ended
    offset      the first row of the next page
    next_at     the next page is asked for at this time or later
    total       how many trainings there are, by the last page (None: no page was read yet)
    spoilt      why this sweep cannot be complete (None: it can)
    pages       when each page of this sweep was asked for, minus its `Age`
    before      the `pages` of the previous sweep
    failures    how many calls for a page failed or were refused in a row
    off_why     why the API refused the list ("": it did not)
    is_complete whether the last sweep saw all trainings
    belief      how far the list is believed
    """

    sweeps: int = 0
    offset: int = 0
    total: int | None = None
    spoilt: SweepEnd | None = None
    pages: tuple[float, ...] = ()
    before: tuple[float, ...] = ()
    next_at: float = 0.0
    failures: int = 0
    off_why: str = ""
    is_complete: bool = False
    belief: Belief = NO_LOOKS

    @property
    def oldest(self) -> float | None:
        """The earliest time in `pages`. For pages that this sweep has not read yet, the times in
        `before` count. None if no page was read."""
        return min((*self.pages, *self.before[len(self.pages) :]), default=None)

    @property
    def is_first(self) -> bool:
        """Whether no sweep has ended yet."""
        return self.sweeps == 0

    def after(self, page: Page, as_of: float, *, repeats: bool) -> Progress:
        """The progress after another page, which speaks for the moment `as_of`. `repeats`: this
        sweep has met a training of the page twice."""
        return replace(
            self,
            offset=self.offset + page.rows,
            total=page.total,
            spoilt=self.spoilt or self._spoilt_by(page, repeats=repeats),
            pages=(*self.pages, as_of),
            failures=0,
            off_why="",
        )

    def _spoilt_by(self, page: Page, *, repeats: bool) -> SweepEnd | None:
        if page.rejected:
            return SweepEnd.INVALID
        if self.offset and page.total != self.total:
            return SweepEnd.CHANGED
        return SweepEnd.REPEATED if repeats else None

    def end(self, last: Page) -> SweepEnd | None:
        """How this sweep ended. None if it goes on after the page `last`. After a page without rows
        the offset would not change any more."""
        if last.rows > 0 and last.has_more:
            return SweepEnd.ENDLESS if self.offset > last.total else None
        if self.spoilt is not None:
            return self.spoilt
        return SweepEnd.COMPLETE if self.offset == self.total else SweepEnd.CHANGED

    def ended(self, end: SweepEnd) -> Progress:
        """The progress with which the next sweep begins."""
        return replace(
            self,
            sweeps=self.sweeps + 1,
            is_complete=end is SweepEnd.COMPLETE,
            offset=0,
            spoilt=None,
            pages=(),
            before=self.pages,
        )

    def failed(self, now: float, why: str = "") -> Progress:
        """The progress after a call for a page failed, or after the API refused the list (`why`).
        The page is asked for again after a second, and each time after twice as long, up to a
        minute. A refused list is asked for from its first row, after a minute up to an hour, and a
        failure then counts like another refusal."""
        off_why = why or self.off_why
        failures = self.failures + 1 if bool(off_why) is bool(self.off_why) else 1
        first, longest = _REFUSED if off_why else _FAILED
        begun = Progress(sweeps=self.sweeps, belief=self.belief) if why else self
        pause = backoff(failures, first, longest, jitter=0.0)
        return replace(begun, failures=failures, off_why=off_why, next_at=now + pause)
