"""The catalogue of a partition: which trainings its list has, in the list's order.

The pages of the sweep make it. It says which trainings a request for the list gets. It has no
bodies. The replica that reads the pages makes it, and the others copy it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from math import inf
from typing import Final, NamedTuple

from gateway.core.http.fields import Headers, Reply
from gateway.core.instant import Instant
from gateway.core.upstream.list_page import PAGE_SIZE, Page, fields_of_items
from gateway.core.upstream.list_query import ListQuery

# The form in which the API documents a page.
_PAGE: Final = b'{"items":[%b],"total":%d,"limit":%d,"offset":%d,"has_more":%b}'


class Row(NamedTuple):
    """A training on the list. The first three fields decide on which lists it is. `type` and
    `is_draft` are None if they are missing or not known."""

    id: str
    type: str | None
    is_draft: bool | None
    version: Instant


class Spoke(NamedTuple):
    """For which time a page speaks: monotonic, and on the shared clock."""

    here: float
    as_of: float


class Leaf(NamedTuple):
    """The rows of a page, and for which time it speaks (shared clock)."""

    as_of: float
    rows: list[Row]


class Head(NamedTuple):
    """What a catalogue that answers has beside its pages: the header fields for them, and for each
    page its first row, and for which time it speaks (shared clock)."""

    fields: Headers
    pages: dict[int, float]


class News(NamedTuple):
    """What a page that begins at row `first` changed. `head` None: the catalogue answers
    nothing."""

    first: int
    page: Leaf
    head: Head | None


class Catalogue:
    """Answers if the last whole sweep has met all trainings of the whole sweep before, and if each
    page since then agrees. (Rows move from page to page while trainings are inserted and deleted.
    So one sweep can overlook a training that was on the list all the time.)

    fields  the header fields for its pages
    leaves  the pages that were copied, by their first rows
    stamp   another object after each change
    """

    def __init__(self) -> None:
        self._rows: list[Row] | None = None
        self._spoke: dict[int, Spoke] = {}  # by the first row of the page
        self._met: list[Row] = []  # the rows of the sweep under way, and the same of its pages
        self._met_spoke: dict[int, Spoke] = {}
        self._before: list[Row] | None = None  # the rows of the last whole sweep
        self._edition = ""
        self.fields: Headers = ()
        self.leaves: Mapping[int, Leaf] = {}
        self.stamp = object()

    @property
    def spoke_at(self) -> float:
        """The earliest time for which a page speaks (monotonic)."""
        return min((each.here for each in self._spoke.values()), default=-inf)

    def total(self, oldest: float) -> int | None:
        """How many trainings it has. None: it answers nothing, or has a page that speaks for a time
        before `oldest` (shared clock)."""
        as_of = min((each.as_of for each in self._spoke.values()), default=inf)
        return None if self._rows is None or as_of < oldest else len(self._rows)

    @property
    def edition(self) -> str:
        """A word that is the same while each list has the same trainings."""
        if not self._edition:
            text = repr(_firsts(self._rows or (), 3))
            self._edition = blake2b(text.encode(), digest_size=6).hexdigest()
        return self._edition

    def head(self) -> Head | None:
        """What replicas that copy the catalogue have to know. None: it answers nothing."""
        if self._rows is None:
            return None
        return Head(self.fields, {first: each.as_of for first, each in self._spoke.items()})

    def copy(self, head: Head, pages: Mapping[int, Leaf], ahead: float) -> None:
        """Take over what another replica noted. `ahead`: how far the shared clock is ahead of the
        monotonic one. Nothing is taken over if the pages are not those of the head: the leader has
        just noted another one."""
        rows: list[Row] = []
        for first, as_of in sorted(head.pages.items()):
            if first != len(rows) or pages[first].as_of != as_of:
                return
            rows += pages[first].rows
        before, spoke = self._rows or [], self._spoke
        if len(rows) != len(before) or any(
            one is not other and one[:3] != other[:3]
            for one, other in zip(rows, before, strict=True)
        ):
            self._edition = ""
        self._rows, self.fields, self.stamp = rows, head.fields, object()
        new = {first: Spoke(as_of - ahead, as_of) for first, as_of in head.pages.items()}
        # The clocks were perhaps set meanwhile, so a time that was known is not computed again.
        self._spoke = {
            first: spoke[first] if first in spoke and spoke[first].as_of == each.as_of else each
            for first, each in new.items()
        }
        self._met, self._before, self.leaves = [], None, pages

    def meet(self, page: Page, reply: Reply, offset: int, spoke: Spoke) -> None:
        """Note the page of the sweep that begins at row `offset`. A page can be noted again."""
        bodies = [each.body for each in page.items]
        if reply.body != page_of(bodies, page.total, PAGE_SIZE, offset):
            self.forget()
            return
        rows, self.leaves = rows_of(page), {}
        self.fields = fields_of_items(reply)
        if offset == 0:
            self._met_spoke = {}
        if offset <= len(self._met):  # otherwise this replica has not read the pages before
            self._met[offset:] = rows
        self._met_spoke[offset] = spoke
        if self._rows is None:
            return
        part = slice(offset, offset + len(rows))
        before = self._rows[part]
        if page.total != len(self._rows) or _firsts(before, 1) != _firsts(rows, 1):
            self.withdraw()
            return
        if _firsts(before, 3) != _firsts(rows, 3):
            self._edition = ""
        self._rows[part], self._spoke[offset], self.stamp = rows, spoke, object()

    def end(self, total: int | None) -> None:
        """Note that the sweep has ended. `total` None: it did not see the whole list."""
        met, before = self._met, self._before
        self._met = []
        if len(met) != total:
            return
        self._before = met
        if self._rows is not None:  # each page agreed
            self._spoke = self._met_spoke
            return
        if before is not None and {*_firsts(before, 1)} <= {*_firsts(met, 1)}:
            self._rows, self._spoke, self._edition = met, self._met_spoke, ""

    def withdraw(self) -> None:
        """Answer nothing until another whole sweep has ended."""
        self._rows, self._edition, self.stamp = None, "", object()

    def forget(self) -> None:
        """Begin anew, because pages were perhaps missed, are not believed, or have another form."""
        self.withdraw()
        self._met, self._before, self.leaves = [], None, {}

    def select(self, query: ListQuery) -> tuple[list[Row] | None, int]:
        """The trainings on the page that the query asks for, and how many there are on all pages.
        None if only the API can answer."""
        rows = self._rows
        for at, value in ((1, query.type), (2, query.is_draft)):
            if rows is not None and value is not None:
                is_known = all(each[at] is not None for each in rows)
                rows = [each for each in rows if each[at] == value] if is_known else None
        if rows is None or query.limit is None:
            return None, 0
        return rows[query.offset : query.offset + query.limit], len(rows)


def rows_of(page: Page) -> list[Row]:
    """The rows of a page."""
    return [Row(each.id, each.type, each.is_draft, each.updated_at) for each in page.items]


def page_of(bodies: Sequence[bytes], total: int, limit: int, offset: int) -> bytes:
    """The page as the API would send it, with these trainings."""
    has_more = b"true" if offset + len(bodies) < total else b"false"
    return _PAGE % (b",".join(bodies), total, limit, offset, has_more)


def _firsts(rows: Sequence[Row], count: int) -> list[tuple[object, ...]]:
    """The first fields of each row."""
    return [each[:count] for each in rows]
