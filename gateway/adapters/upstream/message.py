"""What of a message is passed on, and how a body is decoded."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

from gateway.core.errors import InvalidPayload
from gateway.core.http.fields import HOP_BY_HOP, Headers, without_hops
from gateway.core.vocabulary import InvalidReason
from gateway.ports import Call

WITHOUT_BODY: Final = (204, 304)

# These response fields are not passed on. The gateway decodes the body, so the stated length and
# coding are wrong. A cookie for one caller must not reach others.
_NOT_PASSED_DOWN = {b"content-length", b"content-encoding", b"set-cookie"}
_CODINGS = {"identity", "gzip", "x-gzip", "deflate"}
_NOT_PASSED_UP = HOP_BY_HOP | {
    *(b"accept", b"accept-encoding", b"authorization", b"content-length", b"cookie", b"expect"),
    *(b"host", b"if-modified-since", b"if-none-match", b"range", b"user-agent"),
}

_TRACEPARENT = b"traceparent"

# The conditions of a write are those of the caller, so they are passed on. The gateway itself sets
# the conditions of a read.
_NOT_PASSED_UP_IN_WRITES = _NOT_PASSED_UP - {b"if-modified-since", b"if-none-match"}


def request_fields(call: Call) -> list[tuple[bytes, bytes]]:
    """The request fields of this call. `call.extra` cannot set a field that the gateway sets."""
    fields = [(b"Authorization", b"Bearer " + call.token.encode())]
    if call.etag is not None:
        fields.append((b"If-None-Match", call.etag))
    if call.last_modified is not None:
        fields.append((b"If-Modified-Since", call.last_modified))
    if call.write is not None:
        fields += [each for each in call.write.fields if each[0] not in _NOT_PASSED_UP_IN_WRITES]
    fields += [each for each in call.extra if each[0].lower() not in _NOT_PASSED_UP]
    if call.span is not None:
        fields = [each for each in fields if each[0] != _TRACEPARENT]
        fields.append((_TRACEPARENT, call.span.traceparent))
    return fields


def end_to_end(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The response fields that are passed on, with names in lower case."""
    fields = without_hops(with_lower_names(raw))
    return tuple(field for field in fields if field[0] not in _NOT_PASSED_DOWN)


def is_decodable(coding: str) -> bool:
    """Whether `decoded` can decode this content coding."""
    return coding in _CODINGS


def coding_of(raw: Iterable[tuple[bytes, bytes]]) -> str:
    """The content codings that the fields name, in lower case. Each byte is one character, because
    a field can have bytes that are no text."""
    named = (value for name, value in raw if name.lower() == b"content-encoding")
    return b", ".join(named).strip().lower().decode("latin-1") or "identity"


def decoded(body: bytes, coding: str, most: int) -> bytes:
    """The body without its content coding. Some upstreams use one, although the gateway asks for
    none.

    Raises InvalidPayload if decoding fails, or makes more than `most` bytes.
    """
    if not body or coding == "identity":
        return body
    if not is_decodable(coding):
        raise InvalidPayload(InvalidReason.NOT_UTF8, "a body in an unknown content coding")
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # recognises zlib and gzip
    try:
        plain = inflater.decompress(body, most + 1)
    except zlib.error as error:
        raise InvalidPayload(
            InvalidReason.NOT_UTF8, f"a body that cannot be decoded as {coding}"
        ) from error
    check_size(len(plain), most)
    if not inflater.eof or inflater.unused_data:
        what = f"a body whose {coding} data ends too early, or is followed by other bytes"
        raise InvalidPayload(InvalidReason.TRUNCATED, what)
    return plain


def check_size(size: int, most: int) -> None:
    """Raise InvalidPayload if a body of `size` bytes is larger than `most`."""
    if size > most:
        raise InvalidPayload(InvalidReason.TOO_LARGE, f"a body of more than {most} bytes")


def with_lower_names(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The fields with names in lower case."""
    return tuple((name.lower(), value) for name, value in raw)
