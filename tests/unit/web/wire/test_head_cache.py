"""Blocks of fields: which are known, what is cut out of them, and that nobody fills the table."""

from __future__ import annotations

import pytest

from gateway.core.access.caller import Caller
from gateway.web.wire.head_cache import Blocks, Form
from gateway.web.wire.hot_path import plain
from gateway.web.wire.request_head import PlainHead

CALLER = Caller("passthrough", "default", "p1", "default", "t-1", owns_token=True)
Fields = list[tuple[bytes, bytes]]
PLAIN: Fields = [(b"Host", b"a"), (b"Authorization", b"Bearer t-1"), (b"Accept", b"*/*")]
TRACES = [b"00-%032x-%016x-01" % (n + 1, n + 1) for n in range(9)]
EXTRA = frozenset((b"x-extra",))


def block(fields: Fields) -> bytes:
    """As it stands in a head."""
    return b" HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"


def blocks(forwarded: frozenset[bytes] = EXTRA, most: int = 100) -> Blocks:
    """A table that has met nothing."""
    return Blocks(forwarded, max_head=8_000, max_fields=20, most=most)


def meet(table: Blocks, fields: Fields, times: int = 2) -> None:
    """Let the fields come so often, parsed as the door parses them."""
    lower = [(name.lower(), value) for name, value in fields]
    asked = plain(b"GET", b"/training/a", lower, EXTRA, heeds_directives=True)
    assert asked is not None
    for _ in range(times):
        table.meet(block(fields), asked.said, lower)


def parsed(fields: Fields) -> tuple[object, ...]:
    """What they say when they are read one by one."""
    asked = plain(
        b"GET", b"/training/a", [(n.lower(), v) for n, v in fields], EXTRA, heeds_directives=True
    )
    assert asked is not None
    return all_of(asked.said)


def what(form: Form | None) -> tuple[object, ...]:
    """All that is said."""
    assert form is not None
    return all_of(form.said)


def all_of(said: PlainHead) -> tuple[object, ...]:
    """Each of its words; `extra` as it is sent on."""
    words = {name: getattr(said, name) for name in PlainHead.__slots__}
    words["extra"] = said.ask(CALLER, "a").extra
    return tuple(words.values())


def new(number: int, name: bytes = b"traceparent") -> Fields:
    """Fields that no other request has."""
    return [(b"X-Request-ID", b"n-%d" % number), (name, TRACES[number])]


def test_a_block_is_known_when_it_came_twice() -> None:
    """Not before."""
    table = blocks()
    meet(table, PLAIN, times=1)
    assert table.known(block(PLAIN)) is None

    meet(table, PLAIN, times=1)

    assert what(table.known(block(PLAIN))) == parsed(PLAIN)


@pytest.mark.parametrize(
    "fields",
    [
        PLAIN + new(3),
        new(3) + PLAIN,
        [PLAIN[0], *new(3, b"Traceparent"), *PLAIN[1:]],
        [*PLAIN, *new(3), (b"If-None-Match", b'"tag"')],
        [(b"if-none-match", b'W/"tag"'), *PLAIN],
    ],
)
def test_what_is_new_each_time_is_read_where_it_stands(fields: Fields) -> None:
    """It says what parsing it says."""
    table = blocks()
    meet(table, PLAIN + new(1), times=1)
    meet(table, new(2) + PLAIN, times=1)

    assert table.known(block(fields)) is None
    assert what(table.find(block(fields))) == parsed(fields)


def test_a_tag_is_cut_out_until_its_block_comes_again() -> None:
    """Who has it asks with it again and again; a trace never comes twice."""
    table = blocks()
    meet(table, PLAIN + new(1))
    meet(table, [*PLAIN, (b"If-None-Match", b'"other"')])
    tagged = [*PLAIN, (b"If-None-Match", b'"tag"')]
    traced = tagged + new(2)[1:]
    for fields in (tagged, traced) * 2:
        table.find(block(fields))

    assert what(table.known(block(tagged))) == parsed(tagged)
    assert table.known(block(traced)) is None


@pytest.mark.parametrize(
    "odd",
    [
        [(b"traceparent", TRACES[3].upper().replace(b"0", b"A"))],
        [(b"traceparent", b"nonsense")],
        [(b"traceparent", b" " + TRACES[3])],
        [(b"X-Request-ID", b"<script>")],
        [(b"If-None-Match", b'"a", "b"')],
        [(b"If-None-Match", b"*")],
        [(b"traceparent ", TRACES[3])],
        [*new(3), (b"traceparent", TRACES[4])],
        [*new(3), *new(3)],
        [*new(3), (b"Content-Length", b"5")],
        [(b"X-Other", b"traceparent: " + TRACES[3])],
    ],
)
def test_what_is_not_as_it_ought_to_be_is_parsed(odd: Fields) -> None:
    """A value of another form, a name that comes twice, a field more."""
    table = blocks()
    meet(table, PLAIN)
    for number in range(2):
        meet(table, PLAIN + new(number))

    assert table.find(block(PLAIN + odd)) is None


def test_what_stands_behind_a_head_is_not_cut_out_of_it() -> None:
    """Nor is a block remembered with what came behind it."""
    table, line = blocks(), b"traceparent: " + TRACES[3] + b"\r\n"
    for number in range(2):
        meet(table, PLAIN + new(number))
    assert table.find(block(PLAIN)[:-2] + line + b"\r\n") is not None

    assert table.find(block(PLAIN) + line) is None
    assert table.find(block(PLAIN) + line + b"\r\n") is None
    assert table.find(block(PLAIN + new(4)) + b"\r\n") is None
    form = table.find(block(PLAIN))
    assert form is not None
    for _ in range(3):
        table.meet(block(PLAIN) + b"\r\n", form.said, list(PLAIN))
    assert table.known(block(PLAIN) + b"\r\n") is None


def test_what_is_sent_on_is_not_cut_out() -> None:
    """Its order, and what an operator wants sent on, is for the parser."""
    fields = [*PLAIN, *new(1), (b"x-extra", b"1")]
    table = blocks()
    meet(table, fields)
    assert table.find(block([*PLAIN, *new(2), (b"x-extra", b"1")])) is None

    table = blocks(forwarded=frozenset((b"x-request-id",)))
    meet(table, PLAIN + new(1))
    assert table.find(block(PLAIN + new(2))) is None
    assert table.known(block(PLAIN + new(1))) is not None


def test_the_bounds_of_a_head_hold() -> None:
    """In bytes with the longest line, and in fields with all that may be cut out."""
    long: Fields = [*PLAIN, (b"X-Long", b"x" * 500)]
    small = Blocks(EXTRA, max_head=600, max_fields=20)
    for fields in (long, PLAIN + new(1)):
        meet(small, fields)
    assert small.known(block(long)) is None
    assert small.find(block(PLAIN + new(2))) is not None
    assert small.find(block([*PLAIN, (b"If-None-Match", b'"%b"' % (b"x" * 500))])) is None

    few = Blocks(EXTRA, max_head=8_000, max_fields=5)
    meet(few, PLAIN + new(1))
    assert few.find(block(PLAIN + new(2))) is None


def test_blocks_that_never_repeat_fill_nothing() -> None:
    """Whatever their number."""
    table = blocks()

    for number in range(1_000):
        meet(table, [*PLAIN, (b"X-New", b"%d" % number)], times=1)

    found = [table.known(block([*PLAIN, (b"X-New", b"%d" % n)])) for n in range(1_000)]
    assert found == [None] * 1_000


def test_the_table_is_bounded() -> None:
    """What is asked for on and on is soon back."""
    table = blocks(most=10)

    for number in range(25):
        meet(table, [*PLAIN, (b"X-New", b"%d" % number)])

    found = [table.known(block([*PLAIN, (b"X-New", b"%d" % n)])) for n in range(25)]
    assert 1 <= sum(said is not None for said in found) <= 10
    meet(table, [*PLAIN, (b"X-New", b"0")])
    assert table.known(block([*PLAIN, (b"X-New", b"0")])) is not None
