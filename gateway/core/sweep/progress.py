"""How far the sweep of a partition has come, and whether a sweep was complete.

Times are seconds on the clock that the replicas share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.core.sweep.list_item import UNPROVEN, Likeness
from gateway.core.upstream.list_page import Page


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep has come.

    sweeps     how many sweeps have ended
    offset     the first row of the next page, which is asked for at `next_at` or later
    total      how many trainings there are, by the last page (None: no page was read yet)
    steady     whether all pages of this sweep stated the same total and had only valid items
    pages      when each page of this sweep was asked for, minus its `Age`
    before     the `pages` of the previous sweep
    last_id    the id of the last training that this sweep has read
    off_until  until this time no page is asked for, because of `off_why`
    refused_at when the API refused the list (0.0: the sweep is on, or it is off for another reason)
    complete   how many sweeps in a row saw all trainings. The first two sweeps (the cold start) do
               not count
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
    refused_at: float = 0.0

    @property
    def oldest(self) -> float | None:
        """The earliest time in `pages`. For pages that this sweep has not read yet, the times in
        `before` count. None if no page was read."""
        return min((*self.pages, *self.before[len(self.pages) :]), default=None)

    @property
    def is_proven(self) -> bool:
        """Whether the staleness bound holds for all trainings. The bound depends on the time
        between two confirmations, so two sweeps in a row have to be complete."""
        return self.complete > 1

    @property
    def is_warm(self) -> bool:
        """Whether the cold start is over: the first sweep finds the trainings, the second may store
        them."""
        return self.sweeps > 1

    def after(self, page: Page, as_of: float) -> Progress:
        """The progress after another page. `as_of`: when it was asked for, minus its `Age`."""
        same = self.offset == 0 or page.total == self.total
        return replace(
            self,
            offset=self.offset + page.rows,
            total=page.total,
            steady=(self.offset == 0 or self.steady) and same and not page.rejected,
            pages=(*self.pages, as_of),
            last_id=page.items[-1].id if page.items else self.last_id,
            off_until=0.0,
            off_why="",
            refused_at=0.0,
        )

    def is_complete(self, distinct: int) -> bool:
        """Whether this sweep, with `distinct` different ids, saw all trainings."""
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

    def off(self, why: str, until: float, refused_at: float = 0.0) -> Progress:
        """The progress of a sweep that asks for no page before the time `until`."""
        return Progress(
            sweeps=self.sweeps,
            off_until=until,
            off_why=why,
            likeness=self.likeness,
            refused_at=refused_at,
        )


def is_last(page: Page) -> bool:
    """Whether a sweep ends with this page. After a page without rows the offset would not change
    any more."""
    return page.rows == 0 or not page.has_more
