"""What a connection sent last: it is known again, and says what reading it would say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.wire.head_cache import Form, Holed
from tests.unit.web.wire.test_head_cache import (
    PLAIN,
    Fields,
    block,
    blocks,
    meet,
    new,
    parsed,
    what,
)

SHAPES: dict[str, Callable[[bytes, bytes], Fields]] = {
    "both": lambda trace, name: [*PLAIN, (b"traceparent", trace), (b"X-Request-ID", name)],
    "turned": lambda trace, name: [(b"x-request-id", name), *PLAIN, (b"Traceparent", trace)],
    "trace": lambda trace, _: [PLAIN[0], (b"traceparent", trace), *PLAIN[1:]],
    "id": lambda _, name: [*PLAIN, (b"X-Request-ID", name)],
}


def head(fields: Fields, training_id: bytes = b"a") -> bytes:
    """As it arrives."""
    return b"GET /training/%b%b" % (training_id, block(fields))


def holed(shape: str) -> Form:
    """What a connection knows after two heads of that shape."""
    table, make = blocks(), SHAPES[shape]
    form: Form | None = None
    for number in range(4):
        fields = make(new(number)[1][1], b"n-%d" % number)
        meet(table, fields, times=1)
        form = table.find(block(fields), form)
    assert isinstance(form, Holed)
    return form


def trace(number: int) -> bytes:
    """A sound one."""
    return b"00-%032x-%016x-%02x" % (number % 16**32 or 1, number % 16**16 or 1, number % 256)


@pytest.mark.parametrize("shape", SHAPES)
@given(number=st.integers(1, 16**32 - 1), name=st.from_regex(r"[a-z0-9._-]{3}", fullmatch=True))
def test_it_says_what_reading_it_says(shape: str, number: int, name: str) -> None:
    """Whatever trace and id stand where others stood."""
    form = holed(shape)
    fields = SHAPES[shape](trace(number), name.encode())

    assert head(fields).endswith(form.tail)
    assert form.takes(head(fields))
    assert what(form) == parsed(fields)
    assert head(fields)[: -form.length] == b"GET /training/a"


@pytest.mark.parametrize(
    "fields",
    [
        SHAPES["both"](b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01", b"n-1"),
        SHAPES["both"](b"ff-" + b"1" * 32 + b"-" + b"1" * 16 + b"-01", b"n-1"),
        SHAPES["both"](trace(7).upper().replace(b"0", b"A"), b"n-1"),
        SHAPES["both"](trace(7), b"n\r1"),
        SHAPES["both"](trace(7), b"<1>"),
        SHAPES["both"](trace(7), b"n-10"),
        SHAPES["turned"](trace(7), b"n-1"),
        [(b"Host", b"b"), *SHAPES["both"](trace(7), b"n-1")[1:]],
        [*SHAPES["both"](trace(7), b"n-1")[:-1], (b"X-Request-Ib", b"n-1")],
    ],
)
def test_what_differs_elsewhere_is_not_taken(fields: Fields) -> None:
    """A value that is none, of another length, another field; what came before is taken again."""
    form = holed("both")

    assert not (head(fields).endswith(form.tail) and form.takes(head(fields)))

    sound = SHAPES["both"](trace(8), b"n-9")
    assert form.takes(head(sound))
    assert what(form) == parsed(sound)


@given(st.binary(max_size=40))
def test_no_bytes_before_it_are_taken_for_an_id(between: bytes) -> None:
    """A head within a head, or half of one, is as long as it is: what stands before the form is
    for those who know ids."""
    form = holed("both")
    fields = block(SHAPES["both"](trace(8), b"n-9"))

    assert form.takes(b"GET /training/" + between + fields)
    assert not form.takes(fields[1:])
    assert not form.takes(b"GET /training/" + fields[1:])


def test_each_connection_has_its_own() -> None:
    """What one was told last is not what another one says."""
    table, forms = blocks(), []
    for number in range(2):
        meet(table, PLAIN + new(number), times=1)
    for first in (2, 4):
        form: Form | None = None
        for number in (first, first + 1):
            form = table.find(block(PLAIN + new(number)), form)
        assert form is not None
        forms.append(form)

    assert [what(form) for form in forms] == [parsed(PLAIN + new(number)) for number in (3, 5)]


def test_lengths_that_change_make_none() -> None:
    """To make one costs more than to search: what is cut alike twice is expected to go on so."""
    table = blocks()
    meet(table, PLAIN + new(1))
    form: Form | None = None

    for length in (1, 2, 1, 3):
        form = table.find(block([*PLAIN, (b"X-Request-ID", b"x" * length)]), form)
        assert form is not None
        assert not isinstance(form, Holed)
