"""What of an HTTP message is passed on: request fields up, response fields and body down.

Functions of their arguments alone; no connection, no meaning of what is passed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from gateway.core.errors import InvalidPayload
from gateway.core.http.fields import HOP_BY_HOP, Headers, without_hops
from gateway.core.vocabulary import InvalidReason
from gateway.ports import Call

# The framing is ours once the body is read and decoded; a cookie is some other caller's.
_NOT_PASSED_DOWN = {b"content-length", b"content-encoding", b"set-cookie"}
_CODINGS = {"identity", "gzip", "x-gzip", "deflate"}
_NOT_PASSED_UP = HOP_BY_HOP | {
    *(b"accept", b"accept-encoding", b"authorization", b"content-length", b"cookie", b"expect"),
    *(b"host", b"if-modified-since", b"if-none-match", b"range", b"user-agent"),
}

_TRACEPARENT = b"traceparent"

# A write may state the conditions that it is done under.
_NEVER_WRITTEN = _NOT_PASSED_UP - {b"if-modified-since", b"if-none-match"}


def request_fields(call: Call) -> list[tuple[bytes, bytes]]:
    """The request fields of this call alone; what is ours to say, `extra` cannot say."""
    fields = [(b"Authorization", b"Bearer " + call.token.encode())]
    if call.etag is not None:
        fields.append((b"If-None-Match", call.etag))
    if call.last_modified is not None:
        fields.append((b"If-Modified-Since", call.last_modified))
    if call.write is not None:
        fields += [each for each in call.write.fields if each[0] not in _NEVER_WRITTEN]
    fields += [each for each in call.extra if each[0].lower() not in _NOT_PASSED_UP]
    if call.span is not None:
        # The caller's own span is not the one that asks.
        fields = [each for each in fields if each[0] != _TRACEPARENT]
        fields.append((_TRACEPARENT, call.span.traceparent))
    return fields


def end_to_end(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The fields that are the message's own, names lower-case, values and order untouched."""
    fields = without_hops(tuple((name.lower(), value) for name, value in raw))
    return tuple(field for field in fields if field[0] not in _NOT_PASSED_DOWN)


def bounded(size: int, most: int) -> None:
    """Raise InvalidPayload for a body of more bytes than allowed."""
    if size > most:
        raise InvalidPayload(InvalidReason.TOO_LARGE, f"a body of more than {most} bytes")


def is_ours(coding: str) -> bool:
    """Whether `decoded` can undo it."""
    return coding in _CODINGS


def coded(coding: str) -> tuple[bytes, bytes]:
    """The field that tells a content coding."""
    return (b"content-encoding", coding.encode("latin-1"))


def decoded(body: bytes, coding: str, most: int) -> bytes:
    """The body without its content coding, which we did not ask for; at most so many bytes."""
    if not body or coding == "identity":
        return body
    if not is_ours(coding):
        raise InvalidPayload(InvalidReason.NOT_UTF8, "a body in a content coding of another name")
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # the header tells zlib from gzip
    try:
        plain = inflater.decompress(body, most + 1)
    except zlib.error as error:
        raise InvalidPayload(InvalidReason.NOT_UTF8, f"a body that is no {coding}") from error
    bounded(len(plain), most)
    if not inflater.eof or inflater.unused_data:
        raise InvalidPayload(InvalidReason.TRUNCATED, f"a body that is not one whole {coding}")
    return plain
