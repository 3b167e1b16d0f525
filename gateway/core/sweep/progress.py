"""How far the sweep of a partition has come, and how it ended.

Times are seconds on the clock that the replicas share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from gateway.core.sweep.belief import NO_LOOKS, Belief
from gateway.core.upstream.list_page import Page

# A sweep ends if it has read this many times as many rows as the list states.
_MOST_ROWS: Final = 2
_FEW_ROWS: Final = 1_000
# The pause (seconds) after the API refused the list: the first one, and the longest.
_FIRST_PAUSE: Final = 60.0
LONGEST_PAUSE: Final = 3600.0


class SweepEnd(StrEnum):
    """How a sweep ended."""

    COMPLETE = "complete"  # it saw each training of the list once
    CHANGED = "changed"  # the total changed, or rows moved from page to page
    REPEATED = "repeated"  # a training stood on the list twice
    INVALID = "invalid"  # some rows are no trainings
    ENDLESS = "endless"  # pages went on without new trainings
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
    offset      the first row of the next page, which is asked for at `next_at` or later
    total       how many trainings there are, by the last page (None: no page was read yet)
    met         how many different trainings this sweep has met, as far as its leaders knew
    spoilt      why this sweep cannot be complete (None: it can)
    pages       when each page of this sweep was asked for, minus its `Age`
    before      the `pages` of the previous sweep
    failures    how many calls for a page failed in a row
    refusals    how often the API refused the list in a row
    off_until   until this time no page is asked for, because of `off_why`
    is_complete whether the last sweep saw all trainings
    belief      how far the list is believed
    """

    sweeps: int = 0
    offset: int = 0
    total: int | None = None
    met: int = 0
    spoilt: SweepEnd | None = None
    pages: tuple[float, ...] = ()
    before: tuple[float, ...] = ()
    next_at: float = 0.0
    failures: int = 0
    refusals: int = 0
    off_until: float = 0.0
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

    def after(self, page: Page, as_of: float, new: int) -> Progress:
        """The progress after another page, which speaks for the moment `as_of`. `new`: how many
        trainings of the page were on no earlier page."""
        return replace(
            self,
            offset=self.offset + page.rows,
            total=page.total,
            met=self.met + new,
            spoilt=self.spoilt or self._spoilt_by(page, new),
            pages=(*self.pages, as_of),
            failures=0,
            refusals=0,
            off_until=0.0,
            off_why="",
        )

    def _spoilt_by(self, page: Page, new: int) -> SweepEnd | None:
        if page.rejected:
            return SweepEnd.INVALID
        if self.offset and page.total != self.total:
            return SweepEnd.CHANGED
        return SweepEnd.REPEATED if new < len(page.items) else None

    def is_endless(self, page: Page, new: int) -> bool:
        """Whether the list goes on after `page` without an end."""
        rows = self.offset + page.rows
        brings_nothing = page.rows > 0 and new == 0 and not page.rejected
        return brings_nothing or rows > _MOST_ROWS * page.total + _FEW_ROWS

    def end(self) -> SweepEnd:
        """How this sweep, which has read its last page, ended."""
        if self.spoilt is not None:
            return self.spoilt
        return SweepEnd.COMPLETE if self.met == self.total else SweepEnd.CHANGED

    def ended(self, end: SweepEnd) -> Progress:
        """The progress with which the next sweep begins."""
        return replace(
            self,
            sweeps=self.sweeps + 1,
            is_complete=end is SweepEnd.COMPLETE,
            offset=0,
            met=0,
            spoilt=None,
            pages=(),
            before=self.pages,
        )

    def off(self, why: str, now: float) -> Progress:
        """The progress of a sweep whose list was refused. It asks again after a minute, and each
        time after twice as long, up to an hour."""
        pause = min(_FIRST_PAUSE * 2**self.refusals, LONGEST_PAUSE)
        return Progress(
            sweeps=self.sweeps,
            off_until=now + pause,
            off_why=why,
            refusals=min(self.refusals + 1, 10),
            belief=self.belief,
        )


def is_last(page: Page) -> bool:
    """Whether a sweep ends with this page. After a page without rows the offset would not change
    any more."""
    return page.rows == 0 or not page.has_more
