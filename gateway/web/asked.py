"""What the head of a request asks, in our words; both ways in read it by the same rules.

Functions of bytes alone: who the caller is, and what there is to answer with, is looked up
each time. What is anything but plain is for the ordinary way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.core.access import Caller
from gateway.core.entry import Headers, Key
from gateway.core.headers import UNCONDITIONAL, Conditions, is_sound
from gateway.core.wishes import wants_only_if_cached, wishes_of
from gateway.flow.serve import Ask
from gateway.web.heads import is_host
from gateway.web.ids import ID

_PLAIN_TARGET = re.compile(rf"/training/(?!\.\.?\Z)({ID})".encode("ascii"))
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:+/=@-]{1,128}")
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
# What announces more than a head, or wants more than an answer.
_ODD: Final = frozenset(
    b"content-length expect http2-settings te trailer transfer-encoding upgrade".split()
)


class Asked:
    """A plain question for a training; `request_id` None where none is given."""

    __slots__ = (
        *("_ask", "_extra", "_only_if_cached", "_traceparent", "authorization", "conditions"),
        *("is_head", "request_id", "training_id"),
    )

    def __init__(
        self, training_id: str, fields: dict[bytes, bytes], extra: Headers, *, is_head: bool
    ) -> None:
        given = fields.get
        self.is_head = is_head
        self.training_id = training_id
        authorization = given(b"authorization")
        self.authorization = () if authorization is None else (authorization,)
        tag, since = given(b"if-none-match"), given(b"if-modified-since")
        unconditional = tag is None and since is None
        self.conditions = UNCONDITIONAL if unconditional else Conditions(tag, since)
        self.request_id = request_id_of(given(b"x-request-id"))
        self._traceparent = given(b"traceparent")
        control = given(b"cache-control")
        self._only_if_cached = control is not None and wants_only_if_cached(control)
        self._extra = extra
        self._ask: Ask | None = None

    @property
    def trace_id(self) -> str | None:
        """The caller's trace, read when somebody wants to know."""
        return trace_id_of(self._traceparent)

    def by(self, caller: Caller) -> Ask:
        """The question, asked by that caller; as a rule the same one as last time."""
        ask = self._ask
        if ask is None or ask.caller is not caller:
            key = Key(caller.partition, self.training_id)
            ask = self._ask = Ask(key, caller, self._only_if_cached, self._extra)
        return ask


def plain(
    method: bytes,
    target: bytes,
    fields: Sequence[tuple[bytes, bytes]],
    forwarded: frozenset[bytes],
    *,
    heeds_wishes: bool,
) -> Asked | None:
    """What an HTTP/1.1 head asks; None unless it is sound, has no body, names one training and
    no field twice, the connection is to be kept, and any stored answer will do."""
    by_name = dict(fields)
    if len(by_name) != len(fields) or not _ODD.isdisjoint(by_name):
        return None
    if not is_host(by_name.get(b"host", b"\n")) or method not in (b"GET", b"HEAD"):
        return None
    if b"connection" in by_name and by_name[b"connection"].lower() != b"keep-alive":
        return None
    if heeds_wishes and wishes_of(by_name.get(b"cache-control")) is not None:
        return None
    match = _PLAIN_TARGET.fullmatch(target)
    if match is None:
        return None
    extra = _extra_of_these(by_name, fields, forwarded)
    return Asked(match[1].decode("ascii"), by_name, extra, is_head=method == b"HEAD")


def _extra_of_these(
    by_name: dict[bytes, bytes], fields: Sequence[tuple[bytes, bytes]], forwarded: frozenset[bytes]
) -> Headers:
    """As `extra_of`; as a rule there is nothing, or a sound `traceparent` alone."""
    if not forwarded.isdisjoint(by_name):
        return extra_of(fields, forwarded)
    traceparent = by_name.get(b"traceparent")
    if traceparent is None:
        return ()
    if _TRACE.fullmatch(traceparent):
        return ((b"traceparent", traceparent),)
    return extra_of(fields, forwarded)


def request_id_of(given: bytes | None) -> bytes | None:
    """The caller's own id, if it is harmless."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else None


def trace_id_of(traceparent: bytes | None) -> str | None:
    """The trace of a sound `traceparent` (W3C Trace Context, 3.2)."""
    match = None if traceparent is None else _TRACE.fullmatch(traceparent)
    return None if match is None else match[1].decode("ascii")


def extra_of(fields: Sequence[tuple[bytes, bytes]], forwarded: frozenset[bytes]) -> Headers:
    """What is sent on with a call upstream."""
    return tuple(
        [
            (name, value.strip())
            for name, value in fields
            if (name == b"traceparent" or name in forwarded) and _is_fit(name, value)
        ]
    )


def _is_fit(name: bytes, value: bytes) -> bool:
    """What cannot be sent on would fail the call that others wait for as well."""
    if name == b"traceparent":
        return _TRACE.fullmatch(value.strip()) is not None
    return is_sound(value)
