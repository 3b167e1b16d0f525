"""Request heads: what is sound, and what is answered where one is not. The list of what may be
malformed is asked on raw sockets, in tests/integration/test_wire_heads.py."""

from __future__ import annotations

import pytest

from gateway.core.vocabulary import AccessRefusal
from gateway.web.wire.request_head import (
    Fields,
    Limits,
    Refusal,
    fault_of,
    large_head,
    long_body,
    malformed,
    no_room,
    relative,
    size_of,
    slow_head,
)

LIMITS = Limits(
    max_head=1_000,
    max_fields=3,
    max_body=10,
    max_connections=5,
    head_timeout=2.5,
    write_timeout=3.0,
)
HOST = (b"host", b"a")


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ("1.1", [HOST]),
        ("1.1", [(b"host", b"")]),
        ("1.1", [(b"host", b"[::1]:80 ")]),
        ("1.1", [HOST, (b"content-length", b"10")]),
        ("1.1", [HOST, (b"transfer-encoding", b"Chunked ")]),
        ("1.1", [HOST, (b"x", b""), (b"x", b"")]),
        ("1.0", []),
        ("1.0", [HOST]),
    ],
)
def test_a_sound_head_passes(version: str, fields: Fields) -> None:
    """HTTP/1.0 needs no `Host`; fields may repeat where they may."""
    assert fault_of(version, b"/a?b", fields, LIMITS) is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([HOST, (b"content-length", b"11")], AccessRefusal.BODY_TOO_LARGE),
        ([HOST] + [(b"x", b"")] * 3, AccessRefusal.HEAD_TOO_LARGE),
        ([], AccessRefusal.MALFORMED),
    ],
)
def test_what_goes_beyond_is_refused(fields: Fields, reason: AccessRefusal) -> None:
    """Each bound with its own word."""
    refused = fault_of("1.1", b"/", fields, LIMITS)

    assert refused is not None
    assert refused.reason is reason


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://b:81/x?y=/z", b"/x?y=/z", b"b:81"),
        (b"HTTPS://b", b"/", b"b"),
        (b"http://b?x", b"/?x", b"b"),
        (b"/x", b"/x", b"a"),
        (b"http://u@b/x", b"http://u@b/x", b"a"),
        (b"http://b/x#y", b"http://b/x#y", b"a"),
        (b"ftp://b/x", b"ftp://b/x", b"a"),
        (b"*", b"*", b"a"),
    ],
)
def test_an_absolute_target_names_path_and_host(target: bytes, path: bytes, host: bytes) -> None:
    """What cannot be one stays, and is then no path."""
    assert relative(target, [(b"x", b"1"), HOST]) == (path, [(b"x", b"1"), (b"host", host)])


def test_a_head_is_as_large_as_on_the_wire() -> None:
    """To within a few bytes."""
    raw = b"GET /abc HTTP/1.1\r\nhost: a\r\nx: yz\r\n\r\n"

    assert abs(size_of(b"/abc", [HOST, (b"x", b"yz")]) - len(raw)) < 8


@pytest.mark.parametrize(
    ("refusal", "status", "tells"),
    [
        (malformed("why"), b"400 Bad Request", b'"detail":"why"'),
        (slow_head(LIMITS), b"408 Request Timeout", b"within 2.5 s"),
        (long_body(LIMITS), b"413 ", b"10 bytes"),
        (large_head(LIMITS), b"431 Request Header Fields Too Large", b"1000 bytes and 3 fields"),
        (no_room(), b"503 Service Unavailable", b'"type":"urn:gateway:problem:too-many'),
    ],
)
def test_a_refusal_is_a_whole_response(refusal: Refusal, status: bytes, tells: bytes) -> None:
    """A problem with its length, and the end of the connection."""
    head, _, body = refusal.written("id-1", "today").partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 " + status)
    assert {b"connection: close", b"date: today", b"x-request-id: id-1"} <= set(head.split(b"\r\n"))
    assert b"content-length: %d" % len(body) in head
    assert tells in body
    assert (b"retry-after: 1" in head) is status.startswith(b"503")
