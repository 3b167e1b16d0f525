"""The fields of an entry: what is kept of upstream's, what we say ourselves."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.cache.entry import Entry
from gateway.core.cache.entry_headers import (
    Conditions,
    etag_of,
    from_lines,
    has_etag,
    head_of,
    is_not_modified,
    last_modified_of,
    not_modified_fields,
    stored_fields,
    to_lines,
)
from gateway.core.http.fields import (
    Headers,
    Reply,
    are_sound,
    as_text,
    delta_seconds,
    end_to_end,
    first,
)
from gateway.core.instant import Instant, parse_http_date, parse_instant, to_rfc3339
from tests.doubles.stored import entry_of
from tests.support.call_counts import entering

SECOND = 1_000_000_000
DATE = "Wed, 01 Jan 2025 12:00:00 GMT"
NOON = parse_instant("2025-01-01T12:00:00Z")

HOP_BY_HOP = (
    *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authentication-info"),
    *(b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"transfer-encoding"),
    b"upgrade",
)
# What we say ourselves, or what is untrue once the body was read and decoded.
REPLACED = (
    *(b"age", b"alt-svc", b"cache-control", b"cache-status", b"content-encoding"),
    *(b"content-length", b"date", b"expires", b"pragma", b"set-cookie"),
    *(b"training-updated-at", b"vary", b"x-request-id"),
)
KEPT = (b"content-type", b"content-language", b"server", b"x-one", b"x-two", b"link")
VALIDATORS = (b"etag", b"last-modified")

_mixed_case = st.sampled_from([*HOP_BY_HOP, *KEPT]).flatmap(
    lambda name: st.sampled_from([name, name.upper(), b" " + name, name + b"\t"])
)
_connections = st.lists(_mixed_case, max_size=3).map(
    lambda names: (b"connection", b",".join(names))
)
_fields = st.tuples(st.sampled_from([*HOP_BY_HOP, *REPLACED, *KEPT, *VALIDATORS]), st.just(b"v"))
messages = st.lists(_fields | _connections, max_size=12).map(tuple)


def with_fields(*headers: tuple[bytes, bytes], updated_at: Instant | None = NOON) -> Entry:
    """An entry whose upstream sent these, dated DATE."""
    return entry_of(updated_at=updated_at, headers=headers).but(date=DATE)


@given(messages)
def test_only_end_to_end_fields_pass(headers: Headers) -> None:
    """Nothing hop-by-hop, nothing that Connection names, no cookie; the rest as it came."""
    named: list[bytes] = []
    for name, value in headers:
        if name == b"connection":
            named += [part.strip().lower() for part in value.split(b",")]
    expected = []
    for name, value in headers:
        if name in (*KEPT, *VALIDATORS) and name not in named:
            expected.append((name, value))

    assert list(end_to_end(headers)) == expected


@pytest.mark.parametrize("name", [b"", b"a b", b"A", b"a:b", b"a\r\nb", b"\xff"])
def test_what_is_no_field_does_not_pass(name: bytes) -> None:
    """A name that is no token would break the answer that repeats it."""
    assert end_to_end(((name, b"v"), (b"server", b"v"))) == ((b"server", b"v"),)
    assert not are_sound(((b"server", b"v"), (name, b"v")))
    assert not are_sound(((b"server", b"a\nb"),))


def test_what_is_stored_does_not_frame_an_answer() -> None:
    """Whoever wrote it: a length and a coding together are two answers to some readers."""
    forged = with_fields((b"transfer-encoding", b"chunked"), (b"content-length", b"9"))
    lengths = [(b"content-length", b"%d" % len(forged.body))]

    told = stored_fields(forged, vary=True)

    assert [each for each in told if each[0] in (b"content-length", *HOP_BY_HOP)] == lengths


def test_first_is_the_first_of_a_name() -> None:
    """Order counts; a missing field is None, an empty one is empty."""
    headers = ((b"a", b""), (b"b", b"1"), (b"b", b"2"))

    assert (first(headers, b"a"), first(headers, b"b"), first(headers, b"c")) == (b"", b"1", None)


def test_as_text_takes_the_first_of_a_name() -> None:
    """A second field of a name adds nothing, and no byte is refused."""
    assert as_text(((b"a", b"1"), (b"a", b"2"), (b"b", b"\xff"))) == {"a": "1", "b": "\xff"}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0.0),
        (b"", 0.0),
        (b"0", 0.0),
        (b" 17\t", 17.0),
        (b"17, 99", 17.0),
        (b"-1", 0.0),
        (b"1.5", 0.0),
        (b"soon", 0.0),
        (b"\xb2", 0.0),
        (b"2147483648", 2.0**31),
        (b"2147483649", 2.0**31),
        (b"9" * 10_000, 2.0**31),
    ],
)
def test_delta_seconds(value: bytes | None, seconds: float) -> None:
    """RFC 9111, 1.2.2 and 5.1: bounded, of a list the first, of anything else nothing."""
    assert delta_seconds(value) == seconds


def test_etag_is_the_upstreams_or_ours() -> None:
    """Theirs verbatim, weak or not; else a strong one that tells bodies apart."""
    ours, other = etag_of(entry_of(body=b"1")), etag_of(entry_of(body=b"2"))

    assert etag_of(with_fields((b"etag", b'W/"theirs"'))) == b'W/"theirs"'
    assert ours == b'"%s"' % entry_of(body=b"1").digest.encode()
    assert ours != other


@given(st.integers(0, 120_000_000).map(lambda micros: micros * 1_000))
@example(60 * SECOND)
@example(60 * SECOND - 1_000)
def test_last_modified_only_a_minute_after_the_edit(before: int) -> None:
    """Until then a second edit within the same second could still make a false 304."""
    updated_at = Instant(NOON - before)

    text = last_modified_of(with_fields(updated_at=updated_at))

    assert (text is not None) is (before >= 60 * SECOND)
    if text is not None:
        assert parse_http_date(text.decode()) == updated_at // SECOND


def test_last_modified_is_the_upstreams_where_it_sends_one() -> None:
    """Theirs verbatim, however young."""
    assert last_modified_of(with_fields((b"last-modified", b"theirs"))) == b"theirs"


def test_without_a_date_there_is_no_last_modified() -> None:
    """How old the version was when it was confirmed is not known then."""
    assert last_modified_of(entry_of().but(date="")) is None


def test_the_stored_fields_of_a_training() -> None:
    """The upstream's fields, then ours, each once."""
    earlier = Instant(NOON - 61 * SECOND)
    entry = with_fields((b"content-type", b"application/json; v=2"), updated_at=earlier)

    assert stored_fields(entry.but(freshness_lifetime=28.9), vary=True) == (
        (b"content-type", b"application/json; v=2"),
        (b"content-length", b"%d" % len(entry.body)),
        (b"etag", etag_of(entry)),
        (b"last-modified", b"Wed, 01 Jan 2025 11:58:59 GMT"),
        (b"date", DATE.encode()),
        (b"cache-control", b"private, max-age=28"),
        (b"vary", b"Authorization"),
        (b"training-updated-at", to_rfc3339(earlier).encode()),
    )


def test_a_negative_entry_has_no_validators() -> None:
    """There is nothing that a 304 could confirm, whatever the upstream sent with its 404."""
    theirs = ((b"etag", b'"theirs"'), (b"last-modified", DATE.encode()))
    fields = dict(stored_fields(with_fields(*theirs, updated_at=None), vary=True))

    assert not fields.keys() & {b"etag", b"last-modified", b"training-updated-at"}
    assert fields[b"cache-control"] == b"private, max-age=30"


def test_vary_is_said_where_answers_depend_on_the_caller() -> None:
    """In mode `open` they do not; the upstream's own Vary is no word about us."""
    entry = with_fields((b"vary", b"Accept-Encoding"))

    assert dict(stored_fields(entry, vary=True))[b"vary"] == b"Authorization"
    assert b"vary" not in dict(stored_fields(entry, vary=False))


def test_json_is_said_where_the_upstream_named_no_type() -> None:
    """Nobody has to guess what the bytes are."""
    assert dict(stored_fields(with_fields(), vary=True))[b"content-type"] == b"application/json"


@given(messages, st.booleans(), st.booleans())
def test_no_stored_field_is_said_twice(headers: Headers, vary: bool, negative: bool) -> None:
    """Whatever an older release stored, what we say replaces the upstream's."""
    entry = with_fields(*headers, updated_at=None if negative else NOON)
    ours = {*REPLACED, *VALIDATORS}

    names = [name for name, _ in stored_fields(entry, vary=vary) if name in ours]

    assert len(names) == len(set(names))
    assert not {b"set-cookie", b"content-encoding", b"age"} & set(names)


def test_a_304_carries_what_rfc_9110_wants() -> None:
    """15.4.5: the fields that would have been sent with 200 and guide caches; no others."""
    earlier = Instant(NOON - 61 * SECOND)
    entry = with_fields((b"server", b"x"), (b"content-location", b"/t/1"), updated_at=earlier)
    stored = stored_fields(entry, vary=True)

    fields = not_modified_fields(stored)

    assert set(fields) <= set(stored)
    assert {name for name, _ in fields} == {
        *(b"cache-control", b"content-location", b"date", b"etag"),
        *(b"last-modified", b"training-updated-at", b"vary"),
    }


@pytest.mark.parametrize("value", [b"a\x01b", b"a\x7fb", b"a\x00", b"\x1f"])
def test_a_control_character_ends_a_fields_way(value: bytes) -> None:
    """No server would send it again, and the answer would be lost with it."""
    fields = ((b"x-a", value), (b"x-b", b"kept\ttoo"))

    assert end_to_end(fields) == ((b"x-b", b"kept\ttoo"),)


def test_a_header_is_the_first_of_its_name() -> None:
    """A missing one is None."""
    reply = Reply(200, ((b"a", b"1"), (b"a", b"2")), b"")

    assert reply.header(b"a") == b"1"
    assert reply.header(b"b") is None


@pytest.mark.parametrize(
    ("kind", "body", "is_html"),
    [
        (b"text/html", b"{}", True),
        (b"Text/HTML; charset=utf-8", b"", True),
        (b"application/xhtml+xml", b"", True),
        (b"application/json", b"<!DOCTYPE html>", True),
        (b"text/plain", b"\r\n\t <html>", True),
        (b"application/json", b'{"content": "<b>"}', False),
        (b"text/plain", b"html", False),
        (b"", b"", False),
    ],
)
def test_a_page_is_known_by_label_or_looks(kind: bytes, body: bytes, is_html: bool) -> None:
    """Either is enough; tags within JSON are none of it."""
    assert Reply(200, ((b"content-type", kind),), body).is_html is is_html


def test_without_a_label_the_looks_decide() -> None:
    """A missing Content-Type hides no page."""
    assert Reply(503, (), b"<html>").is_html
    assert not Reply(503, (), b"{}").is_html


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
