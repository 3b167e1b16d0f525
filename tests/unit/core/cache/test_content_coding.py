"""The compressed form of an entry: for which requests, when it is made, and its fields."""

from __future__ import annotations

import gzip
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cache.content_coding import (
    coded_body,
    coded_entry,
    is_worth_coding,
    tag_of,
    takes_gzip,
)
from gateway.core.cache.entry_headers import coded_head, from_lines, head_of
from gateway.core.http.fields import Headers
from tests.doubles.stored import HEADERS, entry_of

LONG = b'{"words": "%b"}' % (b"again and " * 200)


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (None, False),
        (b"", False),
        (b"gzip", True),
        (b"GZIP, deflate, br", True),
        (b"x-gzip", True),
        (b"br;q=1.0, gzip;q=0.5", True),
        (b"gzip ; q=0.001", True),
        (b"gzip;q=0", False),
        (b"gzip;q=0.0, *", False),
        (b"*", True),
        (b"*;q=0", False),
        (b"identity", False),
        (b"identity, gzip;q=0.5", False),
        (b"identity;q=0.5, gzip;q=0.5", True),
        (b"identity;q=0, gzip;q=0.1", True),
        (b"deflate, br", False),
        (b"gzipped", False),
        (b"gzip;q=2", False),
    ],
)
def test_who_takes_it(value: bytes | None, taken: bool) -> None:
    """By weight: whoever would rather have the text as it is gets it so (RFC 9110, 12.5.3)."""
    assert takes_gzip(value) is taken


@given(st.binary(max_size=60))
def test_no_field_breaks_the_choice(value: bytes) -> None:
    """Whatever is sent, there is a choice."""
    assert takes_gzip(value) in (True, False)


@pytest.mark.parametrize(
    ("body", "headers", "worth"),
    [
        (LONG, HEADERS, True),
        (LONG, (), True),
        (LONG, ((b"content-type", b"text/plain"),), True),
        (LONG[:1_000], HEADERS, False),
        (LONG, ((b"content-type", b"image/png"),), False),
        (LONG, (*HEADERS, (b"content-encoding", b"br")), False),
        (LONG, (*HEADERS, (b"cache-control", b"max-age=1, no-transform")), False),
    ],
)
def test_when_it_is_had(body: bytes, headers: Headers, worth: bool) -> None:
    """Of a text of some length, which nobody coded before and nobody forbids to."""
    assert is_worth_coding(entry_of(body=body, headers=headers)) is worth
    assert not is_worth_coding(entry_of(updated_at=None, body=LONG))


@pytest.mark.parametrize("times", [1, 100])
def test_it_is_the_same_text(times: int) -> None:
    """And the same bytes each time, however long."""
    coded = coded_body(LONG * times)

    assert coded is not None
    assert gzip.decompress(coded) == LONG * times
    assert coded == coded_body(LONG * times)


def test_what_gains_nothing_is_not_made() -> None:
    """Noise, or what was compressed before."""
    noise = b"".join(sha256(bytes((number,))).digest() for number in range(100))

    assert coded_body(noise) is None


def test_it_says_what_it_is() -> None:
    """A coding, a strong tag and a length of its own; all else as the other form says it, which
    says that there are two."""
    entry = entry_of(body=LONG, headers=(*HEADERS, (b"etag", b'W/"theirs"')))
    plain, _ = head_of(entry, vary=True)

    coded, brief_at = coded_head(plain, entry, 7)

    of_plain, of_coded = set(from_lines(plain)), set(from_lines(coded))
    assert (b"vary", b"Accept-Encoding") in of_plain & of_coded
    assert of_coded - of_plain == {
        (b"content-encoding", b"gzip"),
        (b"content-length", b"7"),
        (b"etag", tag_of(entry)),
    }
    assert coded[brief_at:].startswith(b"etag: %b\r\n" % tag_of(entry))
    assert coded_entry(entry, b"1234567").headers[-1] == (b"etag", tag_of(entry))


@pytest.mark.parametrize("name", [b"content-digest", b"repr-digest", b"digest", b"content-md5"])
def test_it_has_no_digest_of_the_other_form(name: bytes) -> None:
    """The digest of the API is of the uncompressed body (RFC 9530, 2 and 3)."""
    digest = (name, b"sha-256=:AAAA:")
    plain, _ = head_of(entry_of(body=LONG, headers=(*HEADERS, digest)), vary=True)

    coded, _ = coded_head(plain, entry_of(body=LONG), 7)

    assert digest in from_lines(plain)
    assert digest not in from_lines(coded)
