"""Cache directives as they are written: `Cache-Control` of both sides, and its targeted kind.

Well and badly formed fields are read. What the upstream's directives mean is the business of
cache/rfc9111. Those of a caller say which stored response it would take (RFC 9111, 5.2.1). The flow
decides whether they are granted; `only-if-cached` always is. `Pragma` says nothing (5.4).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

# RFC 9111, 1.2.2: a delta-seconds that does not fit is the largest that does.
LARGEST_DELTA: Final = 2**31

Directives = Mapping[bytes, bytes | None]

# RFC 9111, 5.2: a token, with an argument that is a token or a quoted string. What is neither is
# passed over up to the next comma outside of quotes.
_DIRECTIVE = re.compile(
    rb"[ \t]*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)"
    rb"(?:=(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<token>[^\s,\"]*)))?[ \t]*(?=,|$)"
)
_PASSED_OVER = re.compile(rb"(?:[^,\"]|\"(?:[^\"\\]|\\.)*\"|\")*?(?=,|$)")

# RFC 8941, 3.2: the dictionary of a targeted field, with the types that directives take. Here
# one fault makes the whole field none (RFC 9213, 2.1).
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
_NUMBERS: Final = frozenset({b"max-age", b"s-maxage", b"stale-while-revalidate", b"stale-if-error"})
_INTEGER = re.compile(rb"[0-9]+")


@lru_cache(1_024)
def directives_of(value: bytes) -> Directives:
    """By lower-case name the argument of each, None where it has none; of several the first
    (RFC 9111, 4.2.1)."""
    found: dict[bytes, bytes | None] = {}
    position = 0
    while position <= len(value):
        match = _DIRECTIVE.match(value, position)
        if match is not None:
            argument = match["token"] if match["quoted"] is None else match["quoted"]
            found.setdefault(match["name"].lower(), argument)
        else:
            match = _PASSED_OVER.match(value, position)
        position = (len(value) if match is None else match.end()) + 1
    return MappingProxyType(found)


def joined(values: Iterable[bytes]) -> bytes:
    """All fields of a name as the list that they form together (RFC 9110, 5.3)."""
    return b", ".join(values)


@lru_cache(1_024)
def targeted(value: bytes) -> Directives | None:
    """The directives of a targeted field; None for an empty one and for one with a fault, which
    both are to be ignored (RFC 9213, 2.1)."""
    found: dict[bytes, bytes | None] = {}
    position = 0
    value = value.strip(b" ")
    while match := _MEMBER.match(value, position):
        name, argument = match["key"], match["value"]
        if name in _NUMBERS and (argument is None or not _INTEGER.fullmatch(argument)):
            return None
        if argument != b"?0":
            found[name] = None if argument == b"?1" else argument
        between = _BETWEEN.match(value, match.end())
        if between is None:
            return MappingProxyType(found) if match.end() == len(value) else None
        position = between.end()
    return None


def seconds(directives: Directives, name: bytes) -> float | None:
    """The seconds that a directive states, None where it is absent; 0 where it makes no sense,
    which is to be taken for stale (RFC 9111, 4.2.1)."""
    if name not in directives:
        return None
    argument = directives[name] or b""
    if _INTEGER.fullmatch(argument) is None:
        return 0.0
    return float(min(int(argument.lstrip(b"0")[:11] or b"0"), LARGEST_DELTA))


@dataclass(frozen=True, slots=True)
class RequestDirectives:
    """The directives of one request; None where one is absent.

    `max_stale` is infinite where any staleness will do.
    """

    no_cache: bool = False
    no_store: bool = False
    max_age: float | None = None
    min_fresh: float | None = None
    max_stale: float | None = None

    def refuse(self, age: float, lifetime: float) -> bool:
        """True if the caller prefers a call to the upstream to a stored response that is so old,
        and was fresh for so long.

        A request for an age or for freshness rules a stale one out, unless it says otherwise
        (5.2.1.1).
        """
        if self.no_cache or (self.max_age is not None and age > self.max_age):
            return True
        if self.min_fresh is not None and lifetime - age < self.min_fresh:
            return True
        return self.max_age is not None and age >= lifetime and not self.take_stale(age, lifetime)

    def take_stale(self, age: float, lifetime: float) -> bool:
        """True if the caller prefers it as stale as it is to waiting."""
        return self.max_stale is not None and age - lifetime <= self.max_stale


@lru_cache(1_024)
def request_directives_of(cache_control: bytes | None) -> RequestDirectives | None:
    """The directives of the field, None where it has none of these; an argument that makes no
    sense is as good as the strictest, and no permission."""
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
    """Whether the caller takes a stored answer or none (RFC 9111, 5.2.1.7)."""
    return cache_control is not None and b"only-if-cached" in directives_of(cache_control)
