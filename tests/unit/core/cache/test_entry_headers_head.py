"""An entry's head as bytes, and the fields of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cache.entry_headers import (
    etag_of,
    from_lines,
    has_etag,
    head_of,
    not_modified_fields,
    stored_fields,
    to_lines,
)
from tests.doubles.stored import entry_of
from tests.support.call_counts import entering

_names = st.from_regex(rb"[a-z-]{1,8}", fullmatch=True)
_values = st.from_regex(rb"[\x20-\x7e\x80-\xff\t]{0,20}", fullmatch=True)


@given(st.lists(st.tuples(_names, _values), max_size=5).map(tuple))
def test_what_is_written_can_be_read(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    """Also values with a colon, or none at all."""
    assert from_lines(to_lines(fields)) == fields


def test_a_head_has_all_fields_and_those_of_a_304_last() -> None:
    """One piece for a 200; from the place on that is named, what a 304 says."""
    entry = entry_of(headers=((b"content-location", b"/t/1"), (b"x-cluster", b"eu-1")))
    fields = stored_fields(entry, vary=True)

    head, brief_at = head_of(entry, vary=True)

    assert sorted(from_lines(head)) == sorted(fields)
    assert sorted(from_lines(head[brief_at:])) == sorted(not_modified_fields(fields))


def test_a_head_knows_its_tag() -> None:
    """That one, and neither a part of it nor another."""
    entry = entry_of(headers=((b"content-location", b"/t/1"),))
    tag = etag_of(entry)
    head, brief_at = head_of(entry, vary=False)

    assert has_etag(head, brief_at, tag)
    assert not has_etag(head, brief_at, tag[:-1])
    assert not has_etag(head, brief_at, b"*")


def test_a_head_is_made_in_few_steps() -> None:
    """Each entry that comes from Redis has its head made, before it is answered with."""
    entry = entry_of(headers=tuple((b"x-%d" % n, b"v") for n in range(20)))

    _, entered = entering(lambda: head_of(entry, vary=True))

    # One a function, however many fields; a comprehension is one of its own before Python 3.12.
    assert len(entered) <= 30, entered
