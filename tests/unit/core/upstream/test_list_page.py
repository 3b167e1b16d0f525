"""page: what is a page of the list, and the items' own bytes."""

from __future__ import annotations

import json
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidPayload, ListRefused
from gateway.core.http.fields import Reply
from gateway.core.upstream.list_page import PAGE_SIZE, Page, read_page
from gateway.core.vocabulary import InvalidReason


def item(training_id: str = "trn_1", **members: object) -> str:
    """One training's JSON."""
    return json.dumps({"id": training_id, "updated_at": "2025-06-01T12:00:00Z", **members})


def page_of(*items: str, total: object = 2, offset: object = 0, more: object = False) -> bytes:
    """A page as upstream writes it, white space and order its own."""
    told = json.dumps({"limit": 100, "has_more": more, "total": total, "offset": offset})
    return f'{{ "items" : [ {" , ".join(items)} ], {told[1:]}'.encode()


def read(body: bytes, offset: int = 0) -> Page:
    """The page in a body."""
    reading = read_page(Reply(200, (), body), offset)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            return cast("Page", end.value)


def test_items_are_their_own_bytes() -> None:
    """Order of members, forms of numbers and white space within are the upstream's."""
    odd = '{"updated_at":"2025-06-01T12:00:00.50Z",  "n" : 1.0e2,"id":"trn_2", "t":"\\u00e9é"}'

    page = read(page_of(item(), odd, more=True))

    assert [training.body for training in page.items] == [item().encode(), odd.encode()]
    assert [training.id for training in page.items] == ["trn_1", "trn_2"]
    assert (page.rows, page.total, page.has_more, page.rejected) == (2, 2, True, ())


@pytest.mark.parametrize("content", ["x" * 60_000, "\ud83d" * 10_000], ids=["plain", "half pairs"])
def test_a_page_is_read_in_pieces(content: str) -> None:
    """A pause in 256 KiB, and one before each row, so that no request waits for a hundred."""
    rows = [item(f"trn_{n}", content=content) for n in range(PAGE_SIZE)]
    body = page_of(*rows, total=PAGE_SIZE)

    pauses = sum(1 for _ in read_page(Reply(200, (), body), 0))

    assert pauses > len(body) // (256 * 1024) + PAGE_SIZE


texts = st.text(max_size=6) | st.sampled_from(['","', "]}", '\\"', "[{", "\\ud83d"])
members = texts.filter(lambda name: name not in {"id", "updated_at"})


@given(st.lists(st.dictionaries(members, texts, max_size=3), min_size=1, max_size=4), st.data())
def test_no_text_within_an_item_moves_a_cut(
    documents: list[dict[str, str]], data: st.DataObject
) -> None:
    """Also with half a surrogate pair somewhere, which the parser would not take."""
    wanted = [item(f"trn_{at}", **each) for at, each in enumerate(documents)]
    broken = data.draw(st.integers(0, len(wanted) - 1))
    wanted[broken] = wanted[broken][:-1] + ', "cut": "\\ud83d ]"}'

    page = read(page_of(*wanted))

    assert [training.body.decode() for training in page.items] == wanted


@pytest.mark.parametrize(
    "bad",
    ['{"id": "trn_1"}', item(title=7), item("a/b"), item("{x}"), item(".."), "7", "null", "[]"],
)
def test_an_item_that_is_no_training_is_set_aside(bad: str) -> None:
    """The others of its page are as good as ever."""
    page = read(page_of(item(), bad))

    assert [training.id for training in page.items] == ["trn_1"]
    assert len(page.rejected) == 1
    assert page.rows == 2


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        page_of(total=-1),
        page_of(total="2"),
        page_of(total=2.5),
        page_of(total=10**400),
        page_of(offset=None),
        page_of(offset=100),
        page_of(more="no"),
        b'{"items": 7, "total": 1, "offset": 0, "has_more": false}',
        b'{"data": [], "total": 1, "offset": 0, "has_more": false}',
        page_of(*[item(f"trn_{at}") for at in range(PAGE_SIZE + 1)]),
    ],
)
def test_whole_json_of_another_shape_is_refused(body: bytes) -> None:
    """The list is another one than the documentation's: asking again is in vain."""
    with pytest.raises(ListRefused):
        read(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (page_of(item())[:-9], InvalidReason.TRUNCATED),
        (page_of(item()) + b"oops", InvalidReason.NOT_JSON),
        (page_of(item())[:9], InvalidReason.TRUNCATED),
        (page_of(item()).replace(b'"items"', b"7"), InvalidReason.NOT_JSON),
        (page_of(item(n=float("nan"))), InvalidReason.NOT_JSON),
        (b"", InvalidReason.TRUNCATED),
        (page_of(item()).replace(b"trn_1", b"trn_\xff"), InvalidReason.NOT_UTF8),
        (b'{"items":' + b"[" * 20_000, InvalidReason.NOT_JSON),
    ],
)
def test_what_is_no_json_may_be_the_next_time(body: bytes, reason: InvalidReason) -> None:
    """A body cut short says nothing of the list's shape."""
    with pytest.raises(InvalidPayload) as caught:
        read(body)

    assert caught.value.invalid is reason
