"""Which request fields chose an answer, and whether another request would have been given it.

`Vary` (RFC 9110, 12.5.5; RFC 9111, 4.1). Only what is sent on to the upstream can choose: what
it never sees is the same for everybody.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.core.http.cache_control import joined
from gateway.core.http.fields import Headers

_COMMA = re.compile(rb"[ \t]*,[ \t]*")
# Language tags are alike in either case (RFC 5646, 2.1.1).
_CASELESS: Final = frozenset({b"accept-language"})
_ABSENT: Final = b""


def varies_on(headers: Headers) -> frozenset[bytes] | None:
    """The lower-case names in `Vary`; None for `*`, which no other request matches."""
    value = joined(value for name, value in headers if name == b"vary")
    names = frozenset(name.strip().lower() for name in value.split(b",")) - {b""}
    return None if b"*" in names else names


def selecting_fields(headers: Headers, sent: Headers) -> Headers:
    """The fields among those `sent` with the request that the answer's `Vary` names, absent
    ones too, normalised."""
    return tuple((name, _presented(name, sent)) for name in sorted(varies_on(headers) or ()))


def selects(selecting: Headers, sent: Headers) -> bool:
    """Whether a request with the fields `sent` chooses the same answer."""
    return all(_presented(name, sent) == value for name, value in selecting)


def _presented(name: bytes, sent: Headers) -> bytes:
    """The field as one value, in the forms that RFC 9111, 4.1 calls the same; an empty field is
    not an absent one."""
    values = [value for key, value in sent if key == name]
    if not values:
        return _ABSENT
    value = joined(values).strip(b" \t")
    if b'"' not in value:
        value = _COMMA.sub(b",", value)
    return b"=" + (value.lower() if name in _CASELESS else value)
