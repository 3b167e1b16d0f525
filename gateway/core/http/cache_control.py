"""Parses cache directives: `Cache-Control`, and targeted fields such as `CDN-Cache-Control`.

Malformed `Cache-Control` is read as far as possible. `Pragma` is ignored (RFC 9111, 5.4).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.core.http.memoized import memoized

# RFC 9111, 1.2.2: a larger delta-seconds counts as this value.
LARGEST_DELTA: Final = 2**31

Directives = Mapping[bytes, bytes | None]

# RFC 9111, 5.2: a token, perhaps with an argument (a token or a quoted string). Text of another
# form is ignored.
_DIRECTIVE = re.compile(
    rb"[ \t]*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)"
    rb"(?:=(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<token>[^\s,\"]*)))?[ \t]*"
)
# Text up to a comma outside of quotes, or up to a quote that is never closed.
_TO_COMMA = re.compile(rb"(?:[^,\"]++|\"(?:[^\"\\]|\\.)*+\")*+")

# A targeted field is a dictionary (RFC 8941, 3.2). One fault makes the whole field invalid (RFC
# 9213, 2.1).
_VALUE: Final = (
    rb"(?:-?[0-9]{1,12}\.[0-9]{1,3}|-?[0-9]{1,15}|\"(?:[ !#-\[\]-~]|\\[\"\\])*\"|\?[01]"
    rb"|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*)"
)
_KEY: Final = rb"[a-z*][a-z0-9_.*-]*"
_MEMBER = re.compile(
    rb"(?P<key>" + _KEY + rb")(?:=(?P<value>" + _VALUE + rb"))?(?:;[ ]*"
    rb"" + _KEY + rb"(?:=" + _VALUE + rb")?)*"
)
_BETWEEN = re.compile(rb"[ \t]*,[ \t]*")
# The directives whose value has to be a number of seconds.
_IN_SECONDS: Final = frozenset(
    {b"max-age", b"s-maxage", b"stale-while-revalidate", b"stale-if-error"}
)
_INTEGER = re.compile(rb"[0-9]+")


@memoized(1_024)
def directives_of(value: bytes) -> Directives:
    """The directives by lower-case name, each with its argument or None. The first directive of a
    name counts (RFC 9111, 4.2.1)."""
    found: dict[bytes, bytes | None] = {}
    for match in map(_DIRECTIVE.fullmatch, _elements(value)):
        if match is not None:
            argument = match["token"] if match["quoted"] is None else match["quoted"]
            found.setdefault(match["name"].lower(), argument)
    return MappingProxyType(found)


def _elements(value: bytes) -> list[bytes]:
    """Split at commas outside of quotes, and at each comma after a quote that is never closed. This
    takes linear time: after such a quote, no further search for the end of a quote is made."""
    found: list[bytes] = []
    start = 0
    while (match := _TO_COMMA.match(value, start)) is not None:
        end = match.end()
        if value[end : end + 1] != b",":
            last, *rest = value[end:].split(b",")
            return [*found, value[start:end] + last, *rest]
        found.append(value[start:end])
        start = end + 1
    return found


def joined(values: Iterable[bytes]) -> bytes:
    """Combine the values of several fields with one name (RFC 9110, 5.3)."""
    return b", ".join(values)


@memoized(1_024)
def targeted(value: bytes) -> Directives | None:
    """The directives of a targeted field. None if it is empty or has a fault."""
    found: dict[bytes, bytes | None] = {}
    position = 0
    value = value.strip(b" ")
    while match := _MEMBER.match(value, position):
        name, argument = match["key"], match["value"]
        if name in _IN_SECONDS and (argument is None or not _INTEGER.fullmatch(argument)):
            return None
        if argument != b"?0":
            found[name] = None if argument == b"?1" else argument
        between = _BETWEEN.match(value, match.end())
        if between is None:
            return MappingProxyType(found) if match.end() == len(value) else None
        position = between.end()
    return None


def seconds(directives: Directives, name: bytes) -> float | None:
    """The seconds that a directive states, None without the directive. A missing or invalid
    argument counts as 0: a response with an invalid lifetime is stale (RFC 9111, 4.2.1)."""
    if name not in directives:
        return None
    argument = directives[name] or b""
    if _INTEGER.fullmatch(argument) is None:
        return 0.0
    return float(min(int(argument.lstrip(b"0")[:11] or b"0"), LARGEST_DELTA))


@dataclass(frozen=True, slots=True)
class RequestDirectives:
    """The directives of one request (None: absent). `max_stale` is infinite if any staleness is
    accepted."""

    no_cache: bool = False
    no_store: bool = False
    max_age: float | None = None
    min_fresh: float | None = None
    max_stale: float | None = None


@memoized(1_024)
def request_directives_of(cache_control: bytes | None) -> RequestDirectives | None:
    """The directives of the field. None if none of them is in `RequestDirectives`."""
    if cache_control is None:
        return None
    found = directives_of(cache_control)
    stale = seconds(found, b"max-stale")
    directives = RequestDirectives(
        no_cache=b"no-cache" in found,
        no_store=b"no-store" in found,
        max_age=seconds(found, b"max-age"),
        min_fresh=seconds(found, b"min-fresh"),
        max_stale=math.inf if stale is not None and found[b"max-stale"] is None else stale,
    )
    return None if directives == RequestDirectives() else directives


def wants_only_if_cached(cache_control: bytes | None) -> bool:
    """Whether the caller accepts only a stored response (RFC 9111, 5.2.1.7)."""
    return cache_control is not None and b"only-if-cached" in directives_of(cache_control)
