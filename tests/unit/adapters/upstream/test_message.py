"""Unit: what of an HTTP message is passed on."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.upstream.message import check_size, decoded, end_to_end, request_fields
from gateway.core.errors import InvalidPayload
from gateway.core.vocabulary import InvalidReason, Purpose
from gateway.ports import Call


def _call(**more: object) -> Call:
    return Call("t1", "token", Purpose.MISS, 0.0, **more)  # type: ignore[arg-type]


def test_names_become_lower_case_and_values_stay_in_order() -> None:
    """End-to-end fields pass with their bytes and their order, repetitions included."""
    raw = [(b"ETag", b'"A"'), (b"Vary", b"Accept"), (b"X-Odd", b"\xe9 B"), (b"vary", b"Origin")]

    passed = end_to_end(raw)

    assert passed == (
        (b"etag", b'"A"'),
        (b"vary", b"Accept"),
        (b"x-odd", b"\xe9 B"),
        (b"vary", b"Origin"),
    )


@pytest.mark.parametrize(
    "name",
    [
        *("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "TE", "Trailer"),
        *("Transfer-Encoding", "Upgrade", "Set-Cookie", "Content-Length", "Content-Encoding"),
    ],
)
def test_fields_of_one_hop_are_dropped(name: str) -> None:
    """Connection management, framing and cookies end at the gateway."""
    assert end_to_end([(name.encode(), b"x"), (b"Date", b"now")]) == ((b"date", b"now"),)


def test_fields_that_connection_names_are_dropped() -> None:
    """`Connection: a, b` makes both fields ones of this hop, in whatever case, in every line."""
    raw = [
        *((b"Connection", b"close, X-Hop"), (b"connection", b" x-TWO ,")),
        *((b"x-hop", b"1"), (b"X-Two", b"2"), (b"X-Three", b"3")),
    ]

    assert end_to_end(raw) == ((b"x-three", b"3"),)


def test_proxy_status_passes() -> None:
    """`Proxy-Status` is end-to-end in spite of its name (RFC 9209)."""
    assert end_to_end([(b"Proxy-Status", b"cdn")]) == ((b"proxy-status", b"cdn"),)


def test_validators_are_sent_only_where_given() -> None:
    """The conditional fields are exactly those that the call carries."""
    plain = request_fields(_call())
    conditional = request_fields(_call(etag=b'W/"x"', last_modified=b"yesterday"))

    assert plain == [(b"Authorization", b"Bearer token")]
    assert conditional[1:] == [(b"If-None-Match", b'W/"x"'), (b"If-Modified-Since", b"yesterday")]


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "Host", "Cookie", "accept-encoding", "Content-Length", "Range"),
        *("Transfer-Encoding", "Connection", "If-None-Match", "User-Agent", "Expect"),
    ],
)
def test_extra_fields_cannot_replace_ours(name: str) -> None:
    """What the gateway says itself, or what would change the framing, is not passed up."""
    extra = ((name.encode(), b"theirs"), (b"X-Tenant", b"7"))

    assert request_fields(_call(extra=extra))[1:] == [(b"X-Tenant", b"7")]


@given(st.binary(min_size=1, max_size=300), st.booleans())
def test_decoding_gives_back_the_bytes(body: bytes, is_gzip: bool) -> None:
    """gzip and deflate come out as what went in."""
    encoded = gzip.compress(body) if is_gzip else zlib.compress(body)

    assert decoded(encoded, "gzip" if is_gzip else "deflate", 300) == body


@pytest.mark.parametrize("size", [999, 1000])
def test_a_decoded_body_may_reach_the_bound(size: int) -> None:
    """The bound itself is allowed."""
    assert decoded(gzip.compress(b"a" * size), "gzip", 1000) == b"a" * size


def test_a_bomb_stops_at_the_bound() -> None:
    """A small body that would become a huge one is refused for its size."""
    bomb = gzip.compress(b"\0" * 10_000_000)

    with pytest.raises(InvalidPayload) as caught:
        decoded(bomb, "gzip", 1000)

    assert caught.value.invalid is InvalidReason.TOO_LARGE


@pytest.mark.parametrize(
    ("body", "coding", "reason"),
    [
        (gzip.compress(b"{}" * 50, mtime=0)[:-9], "gzip", InvalidReason.TRUNCATED),
        (gzip.compress(b"{}", mtime=0) + b"more", "gzip", InvalidReason.TRUNCATED),
        (b"{}", "gzip", InvalidReason.NOT_UTF8),
        (b"{}", "br", InvalidReason.NOT_UTF8),
        (b"{}", "secret-token", InvalidReason.NOT_UTF8),
        (
            gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0),
            "gzip, gzip",
            InvalidReason.NOT_UTF8,
        ),
    ],
)
def test_what_cannot_be_decoded_is_refused(body: bytes, coding: str, reason: InvalidReason) -> None:
    """A stream cut short, followed by something, broken, or in a coding that we lack; its name is
    the upstream's choice, and not repeated."""
    with pytest.raises(InvalidPayload) as caught:
        decoded(body, coding, 1000)

    assert caught.value.invalid is reason
    assert "secret-token" not in caught.value.what


def test_no_body_needs_no_decoding() -> None:
    """A 304 may state the coding of the body that it does not carry."""
    assert decoded(b"", "gzip", 10) == b""


def test_a_body_of_exactly_the_bound_is_allowed() -> None:
    """One byte more is not."""
    check_size(10, 10)

    with pytest.raises(InvalidPayload):
        check_size(11, 10)
