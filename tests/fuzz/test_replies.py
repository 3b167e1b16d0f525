"""Whatever the upstream answers: judged by our own words, stored only as what passes again."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.redis.records import decode, encode
from gateway.core.cache.entry import Entry, FetchStart, Key
from gateway.core.cache.entry_headers import (
    Conditions,
    is_not_modified,
    not_modified_fields,
    stored_fields,
)
from gateway.core.cache.policy import Windows, admit, renew, why_not_stored
from gateway.core.errors import InvalidPayload, UpstreamFailure
from gateway.core.http.cache_control import directives_of, wants_only_if_cached
from gateway.core.http.fields import HOP_BY_HOP, Headers, Reply, are_sound, delta_seconds
from gateway.core.http.rate_limit_headers import retry_hint
from gateway.core.instant import parse_http_date, parse_instant, to_rfc3339
from gateway.core.upstream.classification import Confirmed, Gone, Question, judge
from gateway.core.upstream.training import MAX_DRIFT, Training, digest, parse
from tests.doubles.stored import WORDS as TICKET
from tests.doubles.stored import entry_of as stored_with
from tests.fuzz.examples import damaged, times

TOKEN = b"tok-5ecre7-93ab"
NOW = 1_700_000_000.0
KEY = Key("0123456789abcdef" * 2, "t1")
START = FetchStart(NOW, TICKET)
WINDOWS = Windows()

SOUND = (
    b'{"id": "t1", "updated_at": "2025-01-01T00:00:00Z", "x": 1.0}',
    b'{"id":"t1","title":"R","content":"\\ud83d\\ude42","draft_title":null,"type":"BEHAVIORAL",'
    b'"is_draft":false,"directory_id":null,"restricted_to_channels":["web"],"current_version":3,'
    b'"restricted_to_segments":[],"published_at":null,"created_at":"2025-01-01T00:00:00Z",'
    b'"updated_at":"2025-06-01T12:00:00.123456789+02:00"}',
    b'{"statusCode":404,"message":"Not Found","error":"Not Found"}',
    b"<!DOCTYPE html><title>Just a moment...</title>",
    b'{"id": "t1", "id": "t1", "updated_at": "2016-12-31T23:59:60Z"}',
)
WORDS = (
    *(b'"id"', b'"updated_at"', b'"t1"', b'"type":', b"null", b"true", b"1e999", b"[", b"{", b"]"),
    *(b"}", b",", b":", b'"', b"\\", b"\\ud800", b"\\u0000", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    *(b"NaN", b"-0", b"[" * 2_000, b'{"a":' * 2_000, b"9" * 400, b'"2025-02-30T00:00:00Z"'),
)
bodies = damaged(SOUND, WORDS) | st.binary(max_size=80)

NAMES = (
    *(b"age", b"cache-control", b"connection", b"content-type", b"date", b"etag", b"retry-after"),
    *(
        b"last-modified",
        b"ratelimit",
        b"x-ratelimit-remaining",
        b"x-ratelimit-reset",
        b"set-cookie",
    ),
    *(b"transfer-encoding", b"content-length", b"content-encoding", b"vary", b"x-a", b"set-cookie"),
)
VALUES = (
    *(
        b"0",
        b"60",
        b"-1",
        b"1e5",
        b"9" * 400,
        b" \t7\t",
        b"1,2",
        b"no-store",
        b"max-age=5, no-store",
    ),
    *(b'"a,no-store"', b'"a"', b'W/"a"', b"*", b"Sun, 06 Nov 1994 08:49:37 GMT", b"text/html"),
    *(b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"),
    *(b"\tSun, 06 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 1994"),
    *(b'"default";r=0;t=60', b"limit=10, remaining=0, reset=7", b"1700000060000", b"x-a, etag"),
    *(b"Mon, 30 Feb 2025 00:00:00 GMT", b"a\r\nb: c", b"a\0b", b"\xff" * 4, b"only-if-cached"),
)
fields = st.tuples(
    st.sampled_from(NAMES) | st.binary(max_size=8).map(bytes.lower),
    damaged(VALUES, VALUES) | st.binary(max_size=30),
)
messages = st.lists(fields, max_size=8).map(tuple)
statuses = st.sampled_from([200, 200, 304, 401, 403, 404, 410, 429, 500, 503]) | st.integers(
    100, 599
)
replies = st.builds(Reply, statuses, messages, bodies)


def entry_of(reply: Reply, judged: object, jitter: float) -> Entry | None:
    """What is stored of it, None where nothing is."""
    match judged:
        case Training():
            return admit(reply, judged, START, WINDOWS, jitter)
        case Gone():
            return admit(reply, None, START, WINDOWS, jitter)
        case Confirmed():
            held = Reply(200, ((b"etag", b'"a"'),), SOUND[0])
            first = admit(held, parse(SOUND[0], "t1"), START, WINDOWS, 0.0)
            return renew(first, reply, START, WINDOWS, jitter)
        case _:
            return None


@times(1_500)
@given(bodies, st.sampled_from(["t1", None]))
def test_a_body_is_a_training_or_invalid(body: bytes, expected: str | None) -> None:
    """What is taken is the same bytes, and taken again for the same version. The drift is looked
    for in a single answer alone."""
    with suppress(InvalidPayload):
        training = parse(body, expected)
        asked_for = parse(body, training.id)

        assert training.body == body
        no_item = replace(training, type=None, is_draft=None)
        assert replace(no_item, drift=asked_for.drift) == asked_for
        assert training.drift == (() if expected is None else asked_for.drift)
        assert parse_instant(to_rfc3339(training.updated_at)) == training.updated_at
        assert parse_instant(training.updated_at_text) == training.updated_at
        assert len(asked_for.drift) <= MAX_DRIFT
        assert all(each.field.isascii() and len(each.field) <= 64 for each in asked_for.drift)


@times(1_500)
@given(replies, st.booleans(), st.booleans(), st.sampled_from([0.0, 0.999]))
def test_what_is_stored_passes_its_checks(
    reply: Reply, conditional: bool, owns: bool, jitter: float
) -> None:
    """Read back from Redis it is the same; parsed again it has the same version; and what is
    sent of it is sound."""
    why_not_stored(reply.headers, WINDOWS)
    with suppress(UpstreamFailure):
        entry = entry_of(reply, judge(reply, Question("t1", conditional, owns), NOW), jitter)
        if entry is None:
            return
        assert decode(KEY, entry.facts, encode(KEY, entry)) == entry
        assert entry.digest == digest(entry.body)
        if not entry.is_negative:
            assert parse(entry.body, "t1").updated_at == entry.updated_at
        assert 0.0 <= entry.age(NOW) < 2**32
        _check_fields(entry)


def _check_fields(entry: Entry) -> None:
    told = stored_fields(entry, vary=True)
    names = [name for name, _ in told]
    assert are_sound(told)
    assert are_sound(not_modified_fields(told))
    assert names.count(b"content-length") == 1
    assert not HOP_BY_HOP & set(names)
    assert {b"set-cookie", b"content-encoding"}.isdisjoint(names)


@times(800)
@given(statuses, messages, bodies, st.booleans())
def test_a_failure_tells_no_header_and_no_text(
    status: int, headers: Headers, body: bytes, owns: bool
) -> None:
    """A token that comes back in a field or as a text of the body is in no message."""
    echoed = (*headers, (b"x-echo", TOKEN), (b"set-cookie", TOKEN), (b"retry-after", TOKEN))
    told = body.replace(b'"R"', b'"' + TOKEN + b'"') + TOKEN
    failure = None
    try:
        judge(Reply(status, echoed, told), Question("t1", False, owns), NOW)
    except UpstreamFailure as raised:
        failure = raised

    if failure is not None:
        assert TOKEN.decode() not in f"{failure} {failure!r} {failure.what}"
        assert failure.retry_after is None or 0.0 <= failure.retry_after < math.inf


@times(800)
@given(messages, damaged(VALUES, VALUES))
def test_fields_are_read_without_a_fault(headers: Headers, value: bytes) -> None:
    """Dates, ages, directives, hints and conditions: something sane, or nothing."""
    hint = retry_hint(
        {name.decode("latin-1"): each.decode("latin-1") for name, each in headers}, NOW
    )
    assert hint is None or 0.0 <= hint < math.inf
    assert 0.0 <= delta_seconds(value) <= 2**31
    date = parse_http_date(value.decode("latin-1"))
    assert date is None or math.isfinite(date)
    assert all(name == name.strip().lower() for name in directives_of(value))
    assert isinstance(wants_only_if_cached(value), bool)
    stored = ((b"etag", b'"never-sent"'), (b"last-modified", b"Sun, 06 Nov 1994 08:49:37 GMT"))
    matched = is_not_modified(Conditions(value, None), stored_with(headers=stored))
    assert matched is (value.strip() == b"*")
    assert not is_not_modified(Conditions(None, value), stored_with(updated_at=None))


@times(400)
@given(
    damaged((b"2025-06-01T12:00:00.123456789+02:00", b"2016-12-31T23:59:60Z"), (b"+24:00", b"T"))
)
def test_a_date_is_an_instant_or_none(text: bytes) -> None:
    """What is read is written as the same instant."""
    with suppress(ValueError):
        instant = parse_instant(text.decode("latin-1"))

        assert parse_instant(to_rfc3339(instant)) == instant
