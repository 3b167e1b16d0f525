"""The catalogue by itself: pages of a list that changes meanwhile, and what it answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.http.fields import Reply
from gateway.core.sweep.catalogue import Catalogue, Head, Leaf, Spoke, page_of, rows_of
from gateway.core.sweep.progress import Progress, SweepEnd
from gateway.core.upstream.list_page import Page, read_page
from gateway.core.upstream.list_query import ListQuery, read_query

SIZE = 3
ALL = read_query(b"limit=100")


@dataclass
class Api:
    """A list, newest first or last, whose pages have three rows; and the sweep of it."""

    rows: list[dict[str, object]] = field(default_factory=list)
    made: int = 0
    grows_at_end: bool = False
    catalogue: Catalogue = field(default_factory=Catalogue)
    copied: Catalogue = field(default_factory=Catalogue)
    leaves: dict[int, Leaf] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    now: float = 0.0
    met: set[str] = field(default_factory=set)

    def insert(self) -> None:
        """Another training."""
        self.made += 1
        at = len(self.rows) if self.grows_at_end else 0
        self.rows.insert(at, row(f"t{self.made}"))

    def page(self, offset: int, **members: object) -> Reply:
        """As the API sends it."""
        shown = self.rows[offset : offset + SIZE]
        more = offset + len(shown) < len(self.rows)
        numbers = {"total": len(self.rows), "limit": 100, "offset": offset, "has_more": more}
        page = {"items": shown} | numbers | members
        return Reply(200, (), json.dumps(page, separators=(",", ":")).encode())

    def step(self, **members: object) -> SweepEnd | None:
        """The sweep reads a page. Returns how it ended."""
        offset = self.progress.offset
        reply, self.now = self.page(offset, **members), self.now + 1.0
        page = parsed(reply, offset)
        self.catalogue.meet(page, reply, offset, Spoke(self.now, self.now + 7.0))
        self.leaves[offset] = Leaf(self.now + 7.0, rows_of(page))
        self.met = self.met if offset else set()
        repeats = any(each.id in self.met for each in page.items)
        self.met |= {each.id for each in page.items}
        self.progress = self.progress.after(page, self.now, repeats=repeats)
        end = self.progress.end(page)
        if end is not None:
            self.catalogue.end(page.total if end is SweepEnd.COMPLETE else None)
            self.progress = self.progress.ended(end)
        self.copy()
        return end

    def copy(self) -> None:
        """Another replica copies the catalogue, and answers the same."""
        made, head = self.catalogue, self.catalogue.head()
        if head is not None:
            self.copied.copy(head, {first: self.leaves[first] for first in head.pages}, 7.0)
            assert self.copied.select(ALL) == made.select(ALL)
            assert (self.copied.edition, self.copied.spoke_at) == (made.edition, made.spoke_at)

    def sweep(self) -> None:
        """All pages."""
        while self.step() is None:
            pass


def row(name: str) -> dict[str, object]:
    """A training as it is on the list."""
    updated_at = "2026-01-01T00:00:00Z"
    return {"id": name, "updated_at": updated_at, "type": "BEHAVIORAL", "is_draft": False}


def parsed(reply: Reply, offset: int) -> Page:
    """The page."""
    reading = read_page(reply, offset)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            page: Page = end.value
            return page


def ids(api: Api, query: ListQuery = ALL) -> list[str] | None:
    """What it answers."""
    rows, _ = api.catalogue.select(query)
    return None if rows is None else [each.id for each in rows]


def swept(count: int = 7, *, grows_at_end: bool = False) -> Api:
    """A catalogue that answers."""
    api = Api(grows_at_end=grows_at_end)
    for _ in range(count):
        api.insert()
    api.sweep()
    assert ids(api) is None  # one sweep proves nothing
    api.sweep()
    assert ids(api) == [each["id"] for each in api.rows]
    return api


@given(
    st.lists(st.tuples(st.sampled_from(("page", "insert", "delete", "edit")), st.integers(0, 9)))
)
def test_no_training_is_there_twice_or_missing(steps: list[tuple[str, int]]) -> None:
    """While a list is changed, newest first, whatever happens between its pages."""
    api = swept()
    kept = {str(each["id"]) for each in api.rows}
    for what, at in [*steps, *[("page", 0)] * 12]:
        if what == "insert":
            api.insert()
        elif what == "delete" and at < len(api.rows):
            kept.discard(str(api.rows.pop(at)["id"]))
        elif what == "edit" and at < len(api.rows):
            api.rows[at] = api.rows[at] | {"is_draft": not api.rows[at]["is_draft"]}
        elif what == "page":
            api.step()
        answered = ids(api)
        assert answered is None or (len(set(answered)) == len(answered) and kept <= set(answered))
    for is_empty in (False, False, True, True, True):
        if is_empty:  # a copy of it has another edition, too
            api.copied.forget()
            api.rows.clear()
        api.sweep()
    assert ids(api) == []


def test_a_training_that_one_sweep_overlooked() -> None:
    """The first row of the next page moved to the page before, and the total stayed the same."""
    api = swept(grows_at_end=True)
    overlooked = api.rows[SIZE]["id"]
    api.step()
    del api.rows[0]
    api.insert()

    while (end := api.step()) is None:
        pass

    assert end is SweepEnd.COMPLETE
    for _ in range(2):
        assert ids(api) is None
        api.sweep()
    assert overlooked in (ids(api) or ())


@pytest.mark.parametrize("change", ["insert", "delete", "delete last", "edit", "draft", "none"])
def test_what_a_change_does(change: str) -> None:
    """A page with other rows ends the answers, until a whole sweep has met all; after a deletion,
    another one. A change of a filter is a new edition; another version is not."""
    api = swept()
    before, stamp = api.catalogue.edition, api.catalogue.stamp
    if change == "insert":
        api.insert()
    elif change.startswith("delete"):
        del api.rows[-1 if "last" in change else 0]
    elif change == "edit":
        api.rows[0] = api.rows[0] | {"updated_at": "2027-01-01T00:00:00Z"}
    elif change == "draft":
        api.rows[0] = api.rows[0] | {"is_draft": True}

    api.step()
    after_page, edition = ids(api), api.catalogue.edition
    api.sweep()
    after_sweep = ids(api)
    api.sweep()

    moved = change.startswith(("insert", "delete"))
    assert (after_page is None) == moved
    assert (after_sweep is None) == change.startswith("delete")
    assert ids(api) == [each["id"] for each in api.rows]
    assert moved or (edition == before) == (change != "draft")
    assert api.catalogue.stamp is not stamp


def test_a_sweep_that_was_seen_in_part_does_not_count() -> None:
    """Another replica has read its first pages."""
    api = Api()
    for _ in range(7):
        api.insert()
    api.step()
    api.catalogue = Catalogue()
    api.sweep()
    api.sweep()

    assert ids(api) is None


def test_how_old_it_is() -> None:
    """As old as the page that was read the longest ago."""
    api = swept()
    began = api.now - 2.0

    assert api.catalogue.spoke_at == began
    api.step()
    assert api.catalogue.spoke_at == began + 1.0


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=2", [0, 1]),
        ("limit=2&offset=1", [1, 2]),
        ("limit=9&offset=9&sort_by=created_at", []),
        ("limit=9&type=BEHAVIORAL", [0, 2]),
        ("limit=9&is_draft=true&type=BEHAVIORAL", [2]),
        ("limit=9&is_draft=false", [0, 1]),
        ("", None),
        ("offset=1", None),
        ("limit=9&type=OTHER", None),
        ("limit=9&type=BEHAVIORAL&type=BEHAVIORAL", None),
        ("limit=9&is_draft=1", None),
        ("limit=9&sort_by=handoff_count", None),
        ("limit=9&search=x", None),
    ],
)
def test_which_rows_a_query_gets(query: str, expected: list[int] | None) -> None:
    """None: only the API can answer."""
    api = Api([row("a"), row("b") | {"type": "SCENARIO_SPECIFIC"}, row("c") | {"is_draft": True}])
    api.sweep()
    api.sweep()
    wanted = read_query(query.encode())

    found = ids(api, wanted)

    assert found == (None if expected is None else [str(api.rows[each]["id"]) for each in expected])


def test_a_row_without_the_field_is_on_no_known_list() -> None:
    """A list without a filter is answered nevertheless."""
    api = Api([row("a"), {"id": "b", "updated_at": "2026-01-01T00:00:00Z", "type": "NEW"}])
    api.sweep()
    api.sweep()

    assert ids(api) == ["a", "b"]
    assert ids(api, read_query(b"limit=1&type=BEHAVIORAL")) is None
    assert ids(api, read_query(b"limit=1&is_draft=false")) is None


@pytest.mark.parametrize("members", [{"next": None}, {"limit": 50}, {"has_more": True}])
def test_pages_of_another_form_are_not_made(members: dict[str, object]) -> None:
    """What stands in them beside the items is not known for other pages."""
    api = swept(2)

    api.step(**members)

    assert ids(api) is None


def test_a_page_is_made_as_the_api_writes_it() -> None:
    """Byte for byte."""
    assert page_of([b'{"a":1}', b"{}"], 5, 2, 1) == (
        b'{"items":[{"a":1},{}],"total":5,"limit":2,"offset":1,"has_more":true}'
    )


@pytest.mark.parametrize(("first", "as_of"), [(1, 2.0), (2, 3.0), (3, 2.0)])
def test_pages_that_do_not_join_are_not_copied(first: int, as_of: float) -> None:
    """Or that are later than the head. (The page that begins at row 2 joins the other.)"""
    api, other = Api(), Api()
    api.insert()
    rows = rows_of(parsed(api.page(0), 0))
    pages = {0: Leaf(1.0, rows * 2), first: Leaf(as_of, rows)}
    other.catalogue.copy(Head((), {0: 1.0, first: 2.0}), pages, 0.0)

    assert other.catalogue.total(0.0) is None
