"""What a caller says of the stored answer it would take: `Cache-Control` of a request.

Reading it, and whether a stored response does (RFC 9111, 5.2.1). Whether a directive is granted at
all is the flow's business; `only-if-cached` always is. `Pragma` says nothing (5.4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from gateway.core.http.cache_control import directives_of, seconds


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
