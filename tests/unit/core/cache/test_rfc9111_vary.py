"""`Vary`: which request fields chose an answer, and who else is given it."""

from __future__ import annotations

import time

import pytest

from gateway.core.cache.rfc9111 import selecting_fields, selects, varies_on
from gateway.core.http.fields import Headers


def vary(*values: bytes) -> Headers:
    """Response fields with these lines of `Vary`."""
    return ((b"x", b"y"), *((b"vary", value) for value in values))


@pytest.mark.parametrize("values", [(b"*",), (b"*, *",), (b", *",), (b"", b"*"), (b"Foo", b"*")])
def test_a_star_matches_nobody(values: tuple[bytes, ...]) -> None:
    """Wherever in the list it stands (RFC 9110, 12.5.5)."""
    assert varies_on(vary(*values)) is None


def test_names_are_gathered_over_all_lines() -> None:
    """In lower case, empty elements left out."""
    assert varies_on(vary(b"Foo, ,BAR", b"baz")) == frozenset({b"foo", b"bar", b"baz"})
    assert varies_on(((b"x", b"y"),)) == frozenset()


@pytest.mark.parametrize(
    ("chosen_by", "presented", "same"),
    [
        (((b"foo", b"1"),), ((b"foo", b"1"),), True),
        (((b"foo", b"1"),), ((b"foo", b"2"),), False),
        (((b"foo", b"1"),), (), False),
        ((), ((b"foo", b"1"),), False),
        ((), ((b"foo", b""),), False),
        ((), ((b"other", b"1"),), True),
        (((b"foo", b"1,2"),), ((b"foo", b" 1, 2 "),), True),
        (((b"foo", b"1, 2"),), ((b"foo", b"1"), (b"foo", b"2")), True),
        (((b"foo", b'"1, 2"'),), ((b"foo", b'"1,2"'),), False),
        (((b"foo", b"A"),), ((b"foo", b"a"),), False),
    ],
)
def test_who_presents_the_same_fields_is_given_the_same(
    chosen_by: Headers, presented: Headers, same: bool
) -> None:
    """Present and absent alike; spaces around commas and several lines make no difference."""
    assert selects(selecting_fields(vary(b"Foo"), chosen_by), presented) is same


def test_languages_are_alike_in_either_case() -> None:
    """RFC 5646, 2.1.1."""
    chosen = selecting_fields(vary(b"Accept-Language"), ((b"accept-language", b"en, de"),))

    assert selects(chosen, ((b"accept-language", b"eN,De"),))
    assert not selects(chosen, ((b"accept-language", b"de, en"),))


def test_what_does_not_vary_is_for_everybody() -> None:
    """Nothing is remembered of the request."""
    assert selecting_fields((), ((b"foo", b"1"),)) == ()


@pytest.mark.parametrize("piece", [b" ", b"\t", b", ", b" a"])
def test_a_long_field_is_compared_in_linear_time(piece: bytes) -> None:
    """Sixteen kilobytes of it: less than a millisecond, not seconds."""
    value = b"a" + piece * (16_384 // len(piece)) + b"a"
    began = time.thread_time()  # only the CPU of this thread: others may use the cores

    selects(((b"foo", b"=a"),), ((b"foo", value),))

    assert time.thread_time() - began < 0.1
