"""Remembers the results of functions whose argument is the value of a header field.

The memory is bounded, because callers choose the values (a value can be as long as a head).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Final, TypeVar

# A value of at most this many bytes is short.
_LONGEST_SHORT: Final = 256

T = TypeVar("T", bound=bytes | None)
R = TypeVar("R")


def memoized(most: int) -> Callable[[Callable[[T], R]], Callable[[T], R]]:
    """Remember the results for `most` short values, and the result for the last long value: one
    request can need this result several times."""

    def decorate(function: Callable[[T], R]) -> Callable[[T], R]:
        of_short, of_long = lru_cache(most)(function), lru_cache(1)(function)

        @wraps(function)
        def remembered(value: T) -> R:
            if value is None or len(value) <= _LONGEST_SHORT:
                return of_short(value)
            return of_long(value)

        return remembered

    return decorate
