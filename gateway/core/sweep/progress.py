"""The progress of the sweep of a partition, and when a sweep counts as complete.

This module has values only. Times are seconds on the clock that the replicas share. A new leader
continues from the progress of the leader before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.core.sweep.list_item import UNPROVEN, Likeness
from gateway.core.upstream.list_page import Page


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a sweep.

    offset   the row of the next page, which is asked for at `next_at` or later
    total    the number of trainings by the last page; None: no page was read yet
    steady   whether all pages of this sweep stated the same total and had only valid items
    pages    when each page of this sweep was asked for; `before`: those of the sweep before
    last_id  the id of the last training of the last page
    off_until, off_why  no page is asked for until that time, and the reason
    complete how many sweeps in a row, after a cold start, saw all trainings
    """

    sweeps: int = 0
    offset: int = 0
    total: int | None = None
    steady: bool = True
    pages: tuple[float, ...] = ()
    before: tuple[float, ...] = ()
    last_id: str = ""
    next_at: float = 0.0
    off_until: float = 0.0
    off_why: str = ""
    likeness: Likeness = UNPROVEN
    complete: int = 0

    @property
    def oldest(self) -> float | None:
        """The oldest of the times at which the trainings were last confirmed by a page. None if no
        page was read."""
        return min((*self.pages, *self.before[len(self.pages) :]), default=None)

    @property
    def is_proven(self) -> bool:
        """Whether the bound holds for all trainings: two complete sweeps in a row after the cold
        start. The first may be late, because filling the cache spent calls, and one sweep has seen
        each training only once."""
        return self.complete > 1

    @property
    def is_warm(self) -> bool:
        """Whether the cold start is over. The first sweep learns which trainings exist, and the
        second may store them."""
        return self.sweeps > 1

    def after(self, page: Page, asked_at: float) -> Progress:
        """The progress after another page of this sweep."""
        same = self.offset == 0 or page.total == self.total
        return replace(
            self,
            offset=self.offset + page.rows,
            total=page.total,
            steady=(self.offset == 0 or self.steady) and same and not page.rejected,
            pages=(*self.pages, asked_at),
            last_id=page.items[-1].id if page.items else self.last_id,
            off_until=0.0,
            off_why="",
        )

    def is_complete(self, distinct: int) -> bool:
        """Whether a sweep that ended with `distinct` different ids saw all trainings."""
        return self.steady and distinct == self.total

    def ended(self, *, complete: bool) -> Progress:
        """The progress with which the next sweep begins."""
        return replace(
            self,
            sweeps=self.sweeps + 1,
            complete=self.complete + self.is_warm if complete else 0,
            offset=0,
            steady=True,
            pages=(),
            before=self.pages,
            last_id="",
        )

    def off(self, why: str, until: float) -> Progress:
        """The progress while no page is asked for, until the time `until`."""
        return Progress(sweeps=self.sweeps, off_until=until, off_why=why, likeness=self.likeness)


def is_last(page: Page) -> bool:
    """Whether a sweep ends with this page. A page without rows ends it too, because the offset
    would never change."""
    return page.rows == 0 or not page.has_more
