"""Cache directives as they are written, well and badly."""

from __future__ import annotations

import math
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.http.cache_control import (
    LARGEST_DELTA,
    RequestDirectives,
    directives_of,
    joined,
    request_directives_of,
    seconds,
    targeted,
    wants_only_if_cached,
)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"max-age=3600", {b"max-age": b"3600"}),
        (b"MaX-aGe=3600 ,\tNO-STORE", {b"max-age": b"3600", b"no-store": None}),
        (b", ,no-store,", {b"no-store": None}),
        (b'no-cache="a, b", max-age=1', {b"no-cache": b"a, b", b"max-age": b"1"}),
        (b'extension="max-age=3600", max-age=1', {b"extension": b"max-age=3600", b"max-age": b"1"}),
        (b"max-age=1, max-age=2", {b"max-age": b"1"}),
        (b"max-age =3600, private", {b"private": None}),
        (b"max-age= 3600, private", {b"private": None}),
        (b"=x, no-store", {b"no-store": None}),
        (b'"x, y", no-store', {b"no-store": None}),
        (b"", {}),
    ],
)
def test_directives_are_told_by_name(value: bytes, found: dict[bytes, bytes | None]) -> None:
    """Names in lower case, arguments in either form, the first of several; what is no directive
    is passed over, and hides no other."""
    assert directives_of(value) == found


@given(st.binary(max_size=80))
def test_no_field_breaks_the_reading(value: bytes) -> None:
    """Whatever is sent, there is an answer; what is appended in order is read."""
    assert directives_of(value) is not None
    targeted(value)
    if b'"' not in value:
        assert b"no-store" in directives_of(joined((value, b"no-store")))


_BY_BACKTRACKING = re.compile(
    rb"[ \t]*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)"
    rb"(?:=(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<token>[^\s,\"]*)))?[ \t]*(?=,|$)"
    rb"|(?:[^,\"]|\"(?:[^\"\\]|\\.)*\"|\")*?(?=,|$)"
)


@given(st.lists(st.sampled_from([bytes([each]) for each in b'",\\ \t=aB-;\x80']), max_size=24))
def test_elements_are_split_as_by_backtracking(pieces: list[bytes]) -> None:
    """One pattern says the same, in quadratic time."""
    value, position = b"".join(pieces), 0
    expected: dict[bytes, bytes | None] = {}
    while position <= len(value):
        match = _BY_BACKTRACKING.match(value, position)
        assert match is not None
        if match["name"] is not None:
            argument = match["token"] if match["quoted"] is None else match["quoted"]
            expected.setdefault(match["name"].lower(), argument)
        position = match.end() + 1

    assert directives_of(value) == expected


@pytest.mark.parametrize(
    "piece",
    [
        *(
            b'"',
            b'"\\',
            b'\\"',
            b'"\\",',
            b'a="\\",',
            b'",',
            b'"",',
            b'a="",',
            b'"a"',
            b"\\",
            b'"\\"',
        ),
        *(b",", b" ", b"\t,", b"a", b"a=", b"a ", b"=", b'a="b" ', b"a;b", b'a="b";c=', b"1.1"),
    ],
)
@pytest.mark.parametrize("end", [b"", b'"', b"\\", b"\x80"])
def test_any_field_is_read_in_linear_time(piece: bytes, end: bytes) -> None:
    """The longest that a head may hold: a few milliseconds, not seconds."""
    value = piece * (16_384 // len(piece)) + end
    began = time.thread_time()  # only the CPU of this thread: others may use the cores

    directives_of(value)
    targeted(value)

    assert time.thread_time() - began < 0.3


@pytest.mark.parametrize(
    ("value", "stated"),
    [
        (b"max-age=3600", 3600.0),
        (b'max-age="3600"', 3600.0),
        (b"max-age=003600", 3600.0),
        (b"max-age=00000000000000000000000000001", 1.0),
        (b"max-age=99999999999999999999", LARGEST_DELTA),
        (b"max-age=2147483649", LARGEST_DELTA),
        *((b"max-age=" + odd, 0.0) for odd in (b"-1", b"'3600'", b"3600.0", b"1a", b"a1", b"")),
        (b"max-age", 0.0),
        (b"s-maxage=1", None),
    ],
)
def test_seconds_that_make_no_sense_are_stale(value: bytes, stated: float | None) -> None:
    """They are whole and not negative, at most the largest; anything else is 0, absent is None."""
    assert seconds(directives_of(value), b"max-age") == stated


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"max-age=3600", {b"max-age": b"3600"}),
        (b"max-age=1;a=b, private", {b"max-age": b"1", b"private": None}),
        (b'no-store=?1, x="y, z", n=1.5', {b"no-store": None, b"x": b'"y, z"', b"n": b"1.5"}),
        (b"no-store=?0, private", {b"private": None}),
    ],
)
def test_a_targeted_field_is_a_dictionary(value: bytes, found: dict[bytes, bytes | None]) -> None:
    """Of structured fields (RFC 8941, 3.2)."""
    assert targeted(value) == found


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"max-age=1,", b"max-age=1, &&&", b'max-age="1"', b"max-age=1.5", b"max-age"),
        *(b"max-age=-1", b"MaX-aGe=1", b"max-age=1 private", b"max-age =1", b"a, , b"),
    ],
)
def test_a_targeted_field_with_a_fault_is_none(value: bytes) -> None:
    """One fault, or nothing in it: it is to be ignored as a whole (RFC 9213, 2.1)."""
    assert targeted(value) is None


@pytest.mark.parametrize(
    ("value", "directives"),
    [
        (None, None),
        (b"", None),
        (b"only-if-cached, nothing-to-see-here", None),
        (b"No-Cache", RequestDirectives(no_cache=True)),
        (b"no-store", RequestDirectives(no_store=True)),
        (b"max-age=10, min-fresh=5", RequestDirectives(max_age=10.0, min_fresh=5.0)),
        (b"max-age=x", RequestDirectives(max_age=0.0)),
        (b"max-stale", RequestDirectives(max_stale=math.inf)),
        (b"max-stale=60", RequestDirectives(max_stale=60.0)),
        (b"max-stale=x", RequestDirectives(max_stale=0.0)),
    ],
)
def test_directives_are_read(value: bytes | None, directives: RequestDirectives | None) -> None:
    """Where the caller has any; what makes no sense is the strictest, and no permission."""
    assert request_directives_of(value) == directives


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, False),
        (b"", False),
        (b"only-if-cached", True),
        (b"max-age=0,Only-If-Cached", True),
        (b"max-age=0 , only-if-cached , no-cache", True),
        (b"x-only-if-cached", False),
        (b"only-if-cached-please", False),
        (b'x="only-if-cached"', False),
        (b'x="a, only-if-cached, b"', False),
    ],
)
def test_only_if_cached(value: bytes | None, wanted: bool) -> None:
    """The directive, wherever it stands in the list, and nothing that looks like it."""
    assert wants_only_if_cached(value) is wanted
