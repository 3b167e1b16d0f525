"""Conditional requests (RFC 9110, 13): lists of entity tags, dates, and their precedence."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.cache.entry import Entry
from gateway.core.cache.entry_headers import Conditions, is_not_modified
from tests.doubles.stored import entry_of

MODIFIED = b"Wed, 01 Jan 2025 12:00:00 GMT"
BEFORE = b"Wed, 01 Jan 2025 11:59:59 GMT"
AFTER = b"Wed, 01 Jan 2025 12:00:01 GMT"
STORED = entry_of(headers=((b"etag", b'"a"'), (b"last-modified", MODIFIED)))

# etagc of RFC 9110, 8.8.3, and few of them, so that tags meet and contain one another.
_opaque = st.text("aA,;W/\\!", max_size=3).map(lambda text: f'"{text}"'.encode())
_weak = st.sampled_from([b"", b"W/"])
_tags = st.tuples(_weak, _opaque)
_spaces = st.sampled_from([b"", b" ", b"\t", b"  "])
_separators = st.tuples(_spaces, st.sampled_from([b",", b",,", b", ,"]), _spaces).map(b"".join)


def matches(if_none_match: bytes, etag: bytes = b'"a"') -> bool:
    """Whether the list has the stored tag."""
    return is_not_modified(Conditions(if_none_match), entry_of(headers=((b"etag", etag),)))


@given(st.lists(st.tuples(_tags, _separators), max_size=5), _tags, st.sampled_from([b"", b" , "]))
def test_a_list_matches_by_weak_comparison(
    listed: list[tuple[tuple[bytes, bytes], bytes]], stored: tuple[bytes, bytes], before: bytes
) -> None:
    """The opaque parts decide, wherever in the list; commas within a tag separate nothing."""
    value = before + b"".join(weak + opaque + comma for (weak, opaque), comma in listed)

    found = matches(value, b"".join(stored))

    assert found is any(opaque == stored[1] for (_, opaque), _ in listed)


@pytest.mark.parametrize(
    ("value", "etag", "found"),
    [
        (b'"a"', b'"a"', True),
        (b'W/"a"', b'"a"', True),
        (b'"a"', b'W/"a"', True),
        (b'W/"a"', b'W/"a"', True),
        (b'"b", "a"', b'"a"', True),
        (b'"b",W/"a"', b'"a"', True),
        (b', ,"b",, "a",', b'"a"', True),
        (b'"b"', b'"a"', False),
        (b'"A"', b'"a"', False),
        (b'"x,"a",y"', b'"a"', False),
        (b'"x, y"', b'"y"', False),
        (b'"b,a"', b'"a"', False),
        (b'"\xff"', b'"\xff"', True),
        (b'""', b'""', True),
    ],
)
def test_lists_by_example(value: bytes, etag: bytes, found: bool) -> None:
    """Weak comparison, empty elements, tags that look like two."""
    assert matches(value, etag) is found


@pytest.mark.parametrize("value", [b"*", b" *\t"])
def test_a_star_matches_whatever_is_there(value: bytes) -> None:
    """Any current representation will do."""
    assert matches(value)


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b" ", b",", b"a", b'"a', b'a"', b"'a'", b'w/"a"', b'W/ "a"', b'"a"x', b'x"a"'),
        *(b'"a""b"', b'"a" "b"', b'*, "b"', b'x, "a"', b'"b" x, "a"', b'"\x7f", "a"'),
    ],
)
def test_garbage_matches_nothing(value: bytes) -> None:
    """What is no list of tags costs a full answer, never a false 304."""
    assert not matches(value)


@given(st.binary(max_size=30) | st.text('"a,W/* \t', max_size=12).map(str.encode))
@example(b'"' * 10_000)
@example(b" ," * 10_000)
def test_nothing_raises_and_no_match_is_made_up(value: bytes) -> None:
    """Any bytes are judged at once, and only a star or the tag itself matches."""
    if matches(value):
        assert value.strip() == b"*" or b'"a"' in value


@pytest.mark.parametrize(
    ("since", "not_modified"),
    [
        (MODIFIED, True),
        (AFTER, True),
        (BEFORE, False),
        (b"Wednesday, 01-Jan-25 12:00:00 GMT", True),
        (b"Wed Jan  1 12:00:00 2025", True),
        (b"yesterday", False),
        (b"", False),
        (MODIFIED + b", " + MODIFIED, False),
        (b"\xff", False),
    ],
)
def test_if_modified_since(since: bytes, not_modified: bool) -> None:
    """Modified at that second or before; what is no date is ignored."""
    assert is_not_modified(Conditions(None, since), STORED) is not_modified


@pytest.mark.parametrize(
    "stored",
    [
        entry_of(updated_at=None),
        entry_of(headers=((b"last-modified", b"yesterday"),)),
    ],
)
def test_without_a_stored_date_everything_is_modified(stored: Entry) -> None:
    """No Last-Modified, or none that can be read: the whole answer."""
    assert not is_not_modified(Conditions(None, AFTER), stored)


@pytest.mark.parametrize("since", [None, BEFORE, AFTER, b"yesterday"])
def test_tags_have_precedence(since: bytes | None) -> None:
    """With If-None-Match the date says nothing, neither yes nor no (RFC 9110, 13.2.2)."""
    assert is_not_modified(Conditions(b'"a"', since), STORED)
    assert not is_not_modified(Conditions(b'"b"', since), STORED)
    assert not is_not_modified(Conditions(b"", since), STORED)


def test_without_conditions_nothing_is_not_modified() -> None:
    """An unconditional request gets its body."""
    assert not is_not_modified(Conditions(), STORED)
