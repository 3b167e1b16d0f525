"""How far the sweep of a partition has come, and when one counts as complete.

Values alone; times are seconds on the clock that the replicas share. A new leader goes on from
what the one before left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.core.sweep.list_item import UNPROVEN, Likeness
from gateway.core.upstream.list_page import Page


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a sweep stands.

    offset   the row from which the next page is asked for, at `next_at` or later
    total    how many trainings there are, as the last page said; None: nobody asked yet
    steady   whether all pages of this sweep said the same, and nothing on them was unreadable
    pages    when each page of this sweep was asked for; `before`: those of the one before
    last_id  the last training of the last page
    off_until, off_why  the list is left alone until then, and why
    complete how many sweeps in a row saw everybody, of those after a cold start
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
        """When the list last vouched for what it vouched for longest ago; None: for nothing."""
        return min((*self.pages, *self.before[len(self.pages) :]), default=None)

    @property
    def is_proven(self) -> bool:
        """Whether the list vouches for all trainings: one sweep that comes evenly may still have
        to make up for what filling a cold start spent, and a single one saw each only once."""
        return self.complete > 1

    @property
    def is_warm(self) -> bool:
        """Whether a cold start is over: the first sweep learns whom there is, the second may
        store them."""
        return self.sweeps > 1

    def after(self, page: Page, asked_at: float) -> Progress:
        """Where it stands after another page of this sweep."""
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
        """Whether a sweep that came to its end with so many different ids saw everybody."""
        return self.steady and distinct == self.total

    def ended(self, *, complete: bool) -> Progress:
        """Where the next sweep begins."""
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
        """The list is left alone for a while, and nothing is under sweep meanwhile."""
        return Progress(sweeps=self.sweeps, off_until=until, off_why=why, likeness=self.likeness)


def is_last(page: Page) -> bool:
    """Whether a sweep ends with it; one without rows would never come further."""
    return page.rows == 0 or not page.has_more
